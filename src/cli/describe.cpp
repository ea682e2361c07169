// `switchyard describe`: what a configuration means for a given number of processes, before
// anything is started: which process hosts what, parameters, operations, traffic, memory, capacity.
// plan/ computes the figures; this file only prints them.
#include <omp.h>

#include <cstdio>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <vector>

#include "cli/arguments.hpp"
#include "cli/command.hpp"
#include "cli/memory.hpp"
#include "cli/model_vocabulary.hpp"
#include "cli/run_data.hpp"
#include "comm/comm.hpp"
#include "config/run_config.hpp"
#include "config/update_sharing.hpp"
#include "config/validate.hpp"
#include "plan/capacity.hpp"
#include "plan/operations.hpp"
#include "plan/parameters.hpp"
#include "plan/traffic.hpp"
#include "report/numbers.hpp"
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
  ReductionTraffic most;
  for (Rank p(0); p.value < plan.layout.processes(); ++p) {
    const ReductionTraffic traffic = plan_reduction(plan.model(), plan.layout, p);
    most.dense_bytes = std::max(most.dense_bytes, traffic.dense_bytes);
    most.expert_bytes = std::max(most.expert_bytes, traffic.expert_bytes);
  }
  row(out, "dense gradients", bytes_text(most.dense_bytes), "sent per process, at most");
  if (shards_optimizer(plan.settings, plan.layout.processes())) {
    const SumTraffic traffic = plan_weights(plan.model(), plan.layout, Rank(0));
    row(out, "dense weights", bytes_text(traffic.elements * std::int64_t{sizeof(float)}),
        "sent per process, about");
  }
  if (plan.is_sparse())
    row(out, "experts' gradients", bytes_text(most.expert_bytes), "sent per process, at most");
}

void print_memory(std::ostream& out, const Plan& plan) {
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
  for (Rank p(0); p.value < plan.layout.processes(); ++p) {
    const ProcessMemory memory = predict(p, Load::balanced);
    together += memory.arrays();
    print({std::to_string(p.value), bytes_text(memory.weights), bytes_text(memory.copies),
           bytes_text(memory.gradients), bytes_text(memory.optimizer),
           bytes_text(memory.activations), bytes_text(memory.buffers), bytes_text(memory.program),
           bytes_text(memory.total()), bytes_text(predict(p, Load::worst).total())});
  }
  if (const auto available = available_memory()) {
    out << "  this host has " << available_text(*available)
        << (together > available->bytes ? ": too little for all of them\n" : "\n");
  }
}

ExitCode run_describe(const Comm&, std::span<const std::string> arguments) {
  namespace po = boost::program_options;
  std::vector<std::string> configs, sets;
  int processes = 1;
  po::options_description known;
  known.add_options()                                             //
      ("config", po::value(&configs)->multitoken()->composing())  //
      ("set", po::value(&sets)->multitoken()->composing())        //
      ("processes", po::value(&processes));
  parse_arguments(describe_command, arguments, known);
  if (processes < 1) {
    throw Error(ExitCode::usage,
                "describe: --processes is " + std::to_string(processes) + ", but must be 1 or more",
                "say how many processes the run would have");
  }
  RunConfig config = load_config(configs, sets);
  validate(config, processes);
  const std::string vocabulary = resolve_vocabulary(config);
  const Settings settings = read_settings(config);
  const Plan plan{
      settings,
      {settings.virtual_ranks, processes, settings.groups, settings.model.moe.num_experts},
      step_shape(settings),
      vocabulary};
  std::ostringstream out;
  print_run(out, plan);
  print_layout(out, plan);
  print_parameters(out, plan);
  print_operations(out, plan);
  if (plan.is_sparse()) print_capacity(out, plan);
  if (processes > 1) print_traffic(out, plan);
  print_memory(out, plan);
  std::cout << out.str();
  return ExitCode::done;
}

}  // namespace

const Command describe_command = {
    "describe", "shows what a configuration needs, before it is started",
    R"help(usage: switchyard describe [--config FILE]... [--set PATH=VALUE]... [--processes R]

  --config FILE     configuration, a file or the name of a shipped one; several merge in order
  --set PATH=VALUE  one option, after all files; `switchyard options` lists them
  --processes R     number of processes of the run; default: 1

Prints which process hosts what, the parameters, the operations per step, each expert's capacity
and what uniform routing would drop, the bytes sent between processes, and the memory of each
process by part. It needs no data and no mpirun; OMP_NUM_THREADS counts as in the run.

example:
  switchyard describe --config base_128 --processes 16
)help",
    run_describe, Processes::one};

}  // namespace switchyard
