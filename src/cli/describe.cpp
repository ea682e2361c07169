// `switchyard describe`: what a configuration means for a given number of processes, before
// anything is started: which process hosts what, parameters, operations, traffic, memory, capacity.
// plan/ computes the figures; this file and cli/planned_run only print them.
#include <omp.h>

#include <cstdio>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>
#include <tuple>
#include <vector>

#include "cli/arguments.hpp"
#include "cli/command.hpp"
#include "cli/machine_file.hpp"
#include "cli/memory.hpp"
#include "cli/model_vocabulary.hpp"
#include "cli/output_file.hpp"
#include "cli/planned_run.hpp"
#include "cli/run_data.hpp"
#include "comm/comm.hpp"
#include "config/run_config.hpp"
#include "config/update_sharing.hpp"
#include "config/validate.hpp"
#include "data/dataset.hpp"
#include "data/sample_order.hpp"
#include "files/env.hpp"
#include "plan/capacity.hpp"
#include "plan/operations.hpp"
#include "plan/parameters.hpp"
#include "plan/traffic.hpp"
#include "report/numbers.hpp"
#include "report/scaling_picture.hpp"
#include "report/start_report.hpp"
#include "tensor/instruction_set.hpp"

namespace switchyard {
namespace {

struct Plan {
  Settings settings;
  Layout layout;
  StepShape shape;
  std::string vocabulary;  // where model.vocab_size comes from

  const ModelConfig& model() const { return settings.model; }
  bool is_sparse() const { return model().sparse_layers() > 0; }
};

void title(std::ostream& out, const std::string& text) { out << "\n" << text << "\n"; }

void row(std::ostream& out, const std::string& name, const std::string& value,
         const std::string& note = "") {
  out << "  " << std::left << std::setw(24) << name << std::right << std::setw(20) << value;
  if (!note.empty()) out << "  " << note;
  out << "\n";
}

// "1.250e+12": four significant digits.
std::string scientific(std::int64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3e", static_cast<double>(number));
  return text;
}

const char* stack_text(bool decoder) { return decoder ? "decoder" : "encoder"; }

void print_run(std::ostream& out, const Plan& plan) {
  const StepShape& shape = plan.shape;
  out << "model       " << model_text(plan.model()) << "\n"
      << "vocabulary  " << grouped(plan.model().vocab_size) << " rows (" << plan.vocabulary << ")\n"
      << "step        " << grouped(shape.rows) << " rows of " << shape.input_length << " + "
      << shape.target_length << " positions"
      << (plan.settings.examples
              ? ", taken to be full"
              : ", of which span corruption fills " + std::to_string(shape.real_inputs) + " + " +
                    std::to_string(shape.real_targets))
      << "\n"
      << "precision   " << precision_text(plan.model().precision) << "\n";
  if (plan.is_sparse()) out << "routing     " << routing_text(plan.model()) << "\n";
  if (plan.model().recompute != Recompute::none)
    out << "recompute   " << recompute_text(plan.model().recompute) << "\n";
  out << "libraries   oneDNN " << onednn_version() << " for " << onednn_isa() << ", "
      << Session::library_version() << "\n";
}

void print_layout(std::ostream& out, const Plan& plan) {
  const Layout& layout = plan.layout;
  title(out, "layout: " + std::to_string(layout.virtual_ranks()) + " virtual ranks on " +
                 std::to_string(layout.processes()) +
                 (layout.processes() == 1 ? " process" : " processes"));
  for (const std::string& line : share_lines(layout)) out << "  " << line << "\n";
}

void print_parameters(std::ostream& out, const Plan& plan) {
  const ParameterCount count = count_parameters(plan.model());
  title(out, "parameters");
  row(out, "embedding", grouped(count.embedding));
  if (count.logits > 0) row(out, "logits", grouped(count.logits));
  row(out, "attention", grouped(count.attention));
  row(out, "dense feed-forward", grouped(count.feed_forward));
  if (plan.is_sparse()) {
    row(out, "routers", grouped(count.routers));
    row(out, "experts", grouped(count.experts));
  }
  row(out, "norms", grouped(count.norms));
  row(out, "total", grouped(count.total()));
  row(out, "active per token", grouped(count.active()));
}

void print_operations(std::ostream& out, const Plan& plan) {
  const Operations operations = count_operations(plan.model(), plan.layout, plan.shape);
  title(out, "operations per step, forward and backward, of all processes");
  row(out, "attention kernels", scientific(operations.attention_kernels));
  row(out, "attention scores", scientific(operations.attention_scores));
  row(out, "dense feed-forward", scientific(operations.feed_forward));
  if (plan.is_sparse()) row(out, "experts", scientific(operations.experts));
  if (operations.mixing > 0) row(out, "mixing", scientific(operations.mixing));
  row(out, "logits", scientific(operations.logits));
  row(out, "total", scientific(operations.total()));
  if (plan.is_sparse()) row(out, "besides, of routers", scientific(operations.routers));
  if (operations.recomputed > 0) row(out, "besides, recomputed", scientific(operations.recomputed));
}

// The expert capacity per routing group, and the share of tokens dropped because of it.
std::string places_text(const MoeConfig& moe, const CapacityPlan& capacity) {
  if (moe.dropless) return "dropless";
  const std::string places = grouped(capacity.capacity) + " places";
  if (capacity.dropped_share) {
    return places + ", " + percent(2, *capacity.dropped_share) +
           (capacity.choices > 1 ? " of choices dropped" : " dropped");
  }
  return places + "; how many are dropped depends on the gates";
}

void print_capacity(std::ostream& out, const Plan& plan) {
  title(out, "capacity of an expert in training, and what uniform routing drops");
  for (const bool decoder : {false, true}) {
    if (plan.model().sparse_layers(decoder) == 0) continue;
    const CapacityPlan capacity = plan_capacity(plan.model(), plan.layout, plan.shape, decoder);
    if (capacity.by_row) {
      row(out, std::string(stack_text(decoder)) + " row",
          grouped(plan.shape.length(decoder)) + " positions",
          grouped(capacity.capacity / plan.shape.rows_of_rank(plan.layout)) +
              " places, all of them taken");
    } else {
      row(out, std::string(stack_text(decoder)) + " group",
          grouped(capacity.positions) + " positions", places_text(plan.model().moe, capacity));
    }
  }
}

void print_traffic(std::ostream& out, const Plan& plan) {
  title(out, "bytes between processes per step");
  std::int64_t exchanged = 0;
  for (const bool decoder : {false, true}) {
    const int layers = plan.model().sparse_layers(decoder);
    if (layers == 0) continue;
    const ExchangeTraffic traffic = plan_exchange(plan.model(), plan.layout, plan.shape, decoder);
    exchanged += plan.shape.micro_steps * layers * traffic.bytes_of_step();
    row(out, std::string(stack_text(decoder)) + " exchange",
        bytes_text(traffic.bytes_of_transfer()),
        grouped(static_cast<std::int64_t>(traffic.rows + 0.5)) + " rows of " +
            grouped(traffic.row_bytes) + " bytes; " + std::to_string(layers) + " layers x " +
            std::to_string(traffic.transfers) + " transfers" +
            (plan.shape.micro_steps > 1
                 ? " x " + std::to_string(plan.shape.micro_steps) + " micro-steps"
                 : ""));
  }
  if (plan.is_sparse()) row(out, "exchanges together", bytes_text(exchanged));
  if (shards_optimizer(plan.settings, plan.layout.processes())) {
    const SumTraffic traffic = plan_weights(plan.model(), plan.layout, Rank(0));
    row(out, "dense weights", bytes_text(traffic.elements * std::int64_t{sizeof(float)}),
        "sent per process, about");
  }
}

// Processes that need the same memory: hosted virtual ranks, owned experts and replica groups.
using MemoryClass = std::tuple<std::int64_t, std::int64_t, std::int64_t>;

// One of the first few, "0", or all others with the same demand, "2040 more".
struct MemoryRow {
  std::string whose;
  Rank one;
  std::int64_t processes = 1;
};

std::vector<MemoryRow> memory_rows(const Layout& layout) {
  std::vector<MemoryRow> rows;
  std::map<MemoryClass, std::size_t> known;  // beyond the first few
  for (Rank p(0); p.value < layout.processes(); ++p) {
    const MemoryClass demand{layout.hosted(p).size(), layout.owned_experts(p).size(),
                             layout.groups_of(p).size()};
    if (p.value < most_process_lines) {
      rows.push_back({std::to_string(p.value), p});
    } else if (const auto at = known.find(demand); at != known.end()) {
      MemoryRow& row = rows[at->second];
      ++row.processes;
      row.whose = std::to_string(row.processes) + " more";
    } else {
      known.emplace(demand, rows.size());
      rows.push_back({"1 more", p});
    }
  }
  return rows;
}

void print_memory(std::ostream& out, const Plan& plan, std::int64_t hosts) {
  const auto predict = [&](Rank p, Load load) {
    return predicted_memory(plan.settings, plan.layout, p, load, omp_get_max_threads());
  };
  const std::vector<std::string> names = {"process",   "weights",     "copies",  "gradients",
                                          "optimizer", "activations", "buffers", "program",
                                          "total",     "at worst"};
  const auto print = [&](const std::vector<std::string>& cells) {
    for (std::size_t i = 0; i < names.size(); ++i)
      out << std::setw(static_cast<int>(std::max<std::size_t>(names[i].size(), 7)) + 3) << cells[i];
    out << "\n";
  };
  std::int64_t together = 0;
  title(out, "memory of each process" +
                 std::string(plan.is_sparse() ? ", experts balanced, and at worst" : ""));
  print(names);
  for (const MemoryRow& row : memory_rows(plan.layout)) {
    const Rank p = row.one;
    const ProcessMemory memory = predict(p, Load::balanced);
    together += row.processes * memory.arrays();
    print({row.whose, bytes_text(memory.weights), bytes_text(memory.copies),
           bytes_text(memory.gradients), bytes_text(memory.optimizer),
           bytes_text(memory.activations), bytes_text(memory.buffers), bytes_text(memory.program),
           bytes_text(memory.total()), bytes_text(predict(p, Load::worst).total())});
  }
  if (const auto available = available_memory()) {
    out << "  this host has " << available_text(*available)
        << (together / hosts > available->bytes
                ? hosts == 1 ? ": too little for all of them\n" : ": too little for its share\n"
                : "\n");
  }
}

struct DescribeArguments {
  std::vector<std::string> configs, sets, network;
  int processes = 1;
  std::int64_t hosts = 1;
  double imbalance = 1.2;
  std::string picture;
};

[[noreturn]] void refuse_describe(const std::string& what, const std::string& hint) {
  throw Error(ExitCode::usage, "describe: " + what, hint);
}

DescribeArguments parse_describe(std::span<const std::string> words) {
  namespace po = boost::program_options;
  DescribeArguments arguments;
  po::options_description known;
  known.add_options()                                                        //
      ("config", po::value(&arguments.configs)->multitoken()->composing())   //
      ("set", po::value(&arguments.sets)->multitoken()->composing())         //
      ("processes", po::value(&arguments.processes))                         //
      ("hosts", po::value(&arguments.hosts))                                 //
      ("network", po::value(&arguments.network)->multitoken()->composing())  //
      ("imbalance", po::value(&arguments.imbalance))                         //
      ("picture", po::value(&arguments.picture));
  parse_arguments(describe_command, words, known);
  if (arguments.processes < 1) {
    refuse_describe(
        "--processes is " + std::to_string(arguments.processes) + ", but must be 1 or more",
        "say how many processes the run would have");
  }
  if (arguments.hosts < 1 || arguments.hosts > arguments.processes) {
    refuse_describe("--hosts is " + std::to_string(arguments.hosts) +
                        ", but must be from 1 to --processes, " +
                        std::to_string(arguments.processes),
                    "say on how many hosts the processes would run");
  }
  if (!(arguments.imbalance >= 1 && arguments.imbalance <= 1000))
    refuse_describe("--imbalance must be from 1 to 1000",
                    "1.2 is usual in a run that has learnt to balance");
  if (!arguments.picture.empty() && arguments.network.empty())
    refuse_describe("--picture needs --network",
                    "`switchyard help describe` shows how to get the file");
  return arguments;
}

// Samples of one epoch, where the data is prepared and says so.
std::optional<std::int64_t> rows_of_data(const RunConfig& config, const Settings& settings) {
  if (config.data().train().empty() || settings.examples) return std::nullopt;
  const Dataset data = Dataset::open(PosixEnv(), config.data().train());
  return SampleOrder::training(data.manifest().train.summary.tokens,
                               fit_segment(settings.spans).raw, settings.seed)
      .segments();
}

void print_steps(std::ostream& out, const Plan& plan, const RunConfig& config,
                 const DescribeArguments& arguments, const Comm& world) {
  const PlannedRun run =
      planned_run(plan.settings, plan.layout, arguments.hosts, arguments.imbalance);
  if (arguments.processes > 1) print_job_traffic(out, run);
  std::optional<Machine> machine;
  if (!arguments.network.empty()) {
    machine = read_machine_files(arguments.network);
    print_step_time(out, run, *machine, {plan.settings.steps, rows_of_data(config, plan.settings)});
  }
  if (plan.is_sparse() && arguments.processes > 1) print_replicas(out, run, machine);
  if (!machine) {
    out << "\nseconds, hours and other numbers of processes need --network FILE, which\n"
           "`switchyard benchmark --calibrate FILE` writes\n";
    return;
  }
  const std::vector<ScalingRow> rows = plan_scaling(run, machine);
  print_scaling(out, rows, run);
  if (arguments.picture.empty()) return;
  PosixEnv env;
  require_writable(world, env, arguments.picture, "--picture");
  write_file_atomically(
      env, arguments.picture,
      scaling_picture(rows, static_cast<double>(plan.shape.input_length + plan.shape.target_length),
                      "Predicted speed: " + model_text(plan.model()),
                      grouped(run.placement.most_on_a_host()) +
                          " processes on each host, batch of " + grouped(plan.shape.rows) +
                          " rows up to V = " + grouped(plan.layout.virtual_ranks()) +
                          "; planned, not measured"));
}

ExitCode run_describe(const Comm& world, std::span<const std::string> words) {
  const DescribeArguments arguments = parse_describe(words);
  RunConfig config = load_config(arguments.configs, arguments.sets);
  validate(config, arguments.processes);
  const std::string vocabulary = resolve_vocabulary(config);
  const Settings settings = read_settings(config);
  const Plan plan{settings,
                  {settings.virtual_ranks, arguments.processes, settings.groups,
                   settings.model.moe.num_experts},
                  step_shape(settings),
                  vocabulary};
  std::ostringstream out;
  print_run(out, plan);
  print_layout(out, plan);
  print_parameters(out, plan);
  print_operations(out, plan);
  if (plan.is_sparse()) print_capacity(out, plan);
  if (plan.is_sparse() && arguments.processes > 1) print_traffic(out, plan);
  print_memory(out, plan, arguments.hosts);
  print_steps(out, plan, config, arguments, world);
  std::cout << out.str();
  return ExitCode::done;
}

}  // namespace

const Command describe_command = {
    "describe", "shows what a configuration needs, before it is started",
    R"help(usage: switchyard describe [--config FILE]... [--set PATH=VALUE]... [--processes R]
                           [--hosts N] [--network FILE]... [--imbalance X] [--picture FILE.svg]

  --config FILE     configuration, a file or the name of a shipped one; several merge in order
  --set PATH=VALUE  one option, after all files; `switchyard options` lists them
  --processes R     number of processes of the run; default: 1
  --hosts N         number of hosts they run on, equally many on each; default: 1
  --network FILE    what machine and network can do, as `switchyard benchmark` measures it when it
                    calibrates; several merge in order, such as a network that is only stated
  --imbalance X     tokens of the busiest expert / the mean, for the time of a step; default: 1.2
  --picture FILE    draws the table of other numbers of processes as an SVG; needs --network

Prints which process hosts what, the parameters, the operations per step, each expert's capacity
and what uniform routing would drop, the memory of each process by part, and messages and bytes
that a process and a host send. With --network also the seconds of a step by phase, the hours of
the run, and the same for other numbers of processes up to 65,536. It needs no data and no mpirun;
OMP_NUM_THREADS counts as in the run.

example:
  switchyard describe --config base_128 --processes 16 --hosts 2
)help",
    run_describe, Processes::one};

}  // namespace switchyard
