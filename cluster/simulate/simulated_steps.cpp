// Some training steps of a tiny model on synthetic tokens under SimGrid, with the program's own
// Learner: prints each step's loss and norm with all bits, what was sent, what was allocated, and
// one hash over all weights, none of which may depend on the number of processes unless it says so.
// run.sh starts it and reads its lines. It knows no files and no protobuf.
//
//   smpirun … ./simulated_steps NAME=VALUE…     the names are listed in `options` below
#include <cxxabi.h>
#include <dlfcn.h>
#include <mpi.h>
#include <omp.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "comm/comm.hpp"
#include "config/settings.hpp"
#include "data/zipf_source.hpp"
#include "model/weights.hpp"
#include "plan/operations.hpp"
#include "plan/traffic.hpp"
#include "rank_counters.hpp"
#include "train/learner.hpp"

namespace switchyard::simulated {
namespace {

struct Case {
  Settings settings;
  std::int64_t rows = 1;            // b: rows of a virtual rank in a micro-step
  std::int64_t target_length = 16;  // T
  double speed = 0;  // operations per second of a process; 0: computing takes no time
};

Case default_case() {
  Case all;
  Settings& s = all.settings;
  s.model = {.vocab_size = 96,
             .d_model = 16,
             .d_ff = 32,
             .d_kv = 8,
             .num_heads = 2,
             .input_length = 16,
             .num_layers = 2,
             .num_decoder_layers = 2,
             .dropout_rate = 0.1f};
  s.model.moe.num_experts = 8;
  s.virtual_ranks = 4;
  s.schedule = {.shape = ScheduleConfig::Shape::constant, .learning_rate = 0.01};
  s.gradient_clipping = 1;
  s.steps = 3;
  return all;
}

[[noreturn]] void refuse(const std::string& what) { throw Error(ExitCode::usage, what); }

std::int64_t integer(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    refuse("'" + text + "' is not a number");
  return value;
}

template <class T>
T one_of(const std::map<std::string, T>& names, const std::string& text) {
  const auto at = names.find(text);
  if (at == names.end()) refuse("'" + text + "' is not among the values of this option");
  return at->second;
}

void choose_routing(Settings& s, const std::string& text) {
  MoeConfig& moe = s.model.moe;
  moe.encoder_routing = one_of<RoutingMethod>({{"SWITCH", RoutingMethod::switch_top1},
                                               {"TOP2", RoutingMethod::top2},
                                               {"TOPK", RoutingMethod::topk},
                                               {"EXPERT_CHOICE", RoutingMethod::expert_choice},
                                               {"SOFT", RoutingMethod::soft},
                                               {"HASH", RoutingMethod::hash},
                                               {"NTLB", RoutingMethod::ntlb}},
                                              text);
  moe.decoder_routing =
      sees_whole_row(moe.encoder_routing) ? RoutingMethod::switch_top1 : moe.encoder_routing;
  moe.router_topk = moe.encoder_routing == RoutingMethod::topk ? 3 : 1;
}

// A tiny model has no side of 128, Adafactor's default for factoring.
void choose_optimizer(Settings& s, const std::string& text) {
  s.optimizer =
      one_of<OptimizerConfig>({{"ADAFACTOR", AdafactorConfig{.min_dim_size_to_factor = 16}},
                               {"ADAMW", AdamWConfig{}},
                               {"SGD", SgdConfig{.momentum = 0.9}}},
                              text);
}

// A further switch of the program is a further line here.
using Option = std::function<void(Case&, const std::string&)>;
const std::map<std::string, Option>& options() {
  static const std::map<std::string, Option> all = {
      {"virtual_ranks",
       [](Case& c, const std::string& v) {
         c.settings.virtual_ranks = static_cast<int>(integer(v));
       }},
      {"groups",
       [](Case& c, const std::string& v) { c.settings.groups = static_cast<int>(integer(v)); }},
      {"micro_steps",
       [](Case& c, const std::string& v) {
         c.settings.accumulation_steps = static_cast<int>(integer(v));
       }},
      {"steps", [](Case& c, const std::string& v) { c.settings.steps = integer(v); }},
      {"rows", [](Case& c, const std::string& v) { c.rows = integer(v); }},
      {"input_length",
       [](Case& c, const std::string& v) { c.settings.model.input_length = integer(v); }},
      {"target_length", [](Case& c, const std::string& v) { c.target_length = integer(v); }},
      {"speed", [](Case& c, const std::string& v) { c.speed = std::stod(v); }},
      {"vocab_size",
       [](Case& c, const std::string& v) { c.settings.model.vocab_size = integer(v); }},
      {"d_model", [](Case& c, const std::string& v) { c.settings.model.d_model = integer(v); }},
      {"d_ff", [](Case& c, const std::string& v) { c.settings.model.d_ff = integer(v); }},
      {"d_kv", [](Case& c, const std::string& v) { c.settings.model.d_kv = integer(v); }},
      {"num_heads", [](Case& c, const std::string& v) { c.settings.model.num_heads = integer(v); }},
      {"num_layers",
       [](Case& c, const std::string& v) {
         c.settings.model.num_layers = c.settings.model.num_decoder_layers =
             static_cast<int>(integer(v));
       }},
      {"encoder_sparse_step",
       [](Case& c, const std::string& v) {
         c.settings.model.encoder_sparse_step = static_cast<int>(integer(v));
       }},
      {"decoder_sparse_step",
       [](Case& c, const std::string& v) {
         c.settings.model.decoder_sparse_step = static_cast<int>(integer(v));
       }},
      {"num_experts",
       [](Case& c, const std::string& v) {
         c.settings.model.moe.num_experts = static_cast<int>(integer(v));
       }},
      {"routing", [](Case& c, const std::string& v) { choose_routing(c.settings, v); }},
      {"optimizer", [](Case& c, const std::string& v) { choose_optimizer(c.settings, v); }},
      {"precision",
       [](Case& c, const std::string& v) {
         c.settings.model.precision = one_of<Precision>(
             {{"FLOAT32", Precision::float32}, {"BFLOAT16", Precision::bfloat16}}, v);
       }},
      {"overlap",
       [](Case& c, const std::string& v) { c.settings.overlap_reduction = integer(v) != 0; }},
      {"exchange",
       [](Case& c, const std::string& v) {
         c.settings.two_level_exchange = one_of<bool>({{"DIRECT", false}, {"TWO_LEVEL", true}}, v);
       }},
      {"exchange_chunks",
       [](Case& c, const std::string& v) {
         c.settings.exchange_chunks = static_cast<int>(integer(v));
       }},
      {"shard_optimizer",
       [](Case& c, const std::string& v) {
         c.settings.shard_optimizer =
             integer(v) != 0 ? Settings::ShardOptimizer::on : Settings::ShardOptimizer::off;
       }},
      // Tokens go to experts in turn and none is dropped, so that plans are exact.
      {"balanced",
       [](Case& c, const std::string& v) {
         c.settings.model.moe.force_load_balancing = c.settings.model.moe.dropless =
             integer(v) != 0;
       }},
  };
  return all;
}

Case read_case(int argc, char** argv) {
  Case all = default_case();
  choose_optimizer(all.settings, "ADAFACTOR");
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const std::size_t at = word.find('=');
    const auto option = options().find(word.substr(0, at));
    if (at == word.npos || option == options().end()) refuse("there is no option '" + word + "'");
    option->second(all, word.substr(at + 1));
  }
  Settings& s = all.settings;
  s.spans.input_length = s.model.input_length;
  s.batch_size = all.rows * s.virtual_ranks * s.accumulation_steps;
  return all;
}

void print(const Comm& comm, const std::string& line) {
  if (comm.rank() == Rank{0}) std::cout << line << std::endl;
}

template <class... Values>
std::string text(const char* format, Values... values) {
  char line[400];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}

std::int64_t most(const Comm& comm, std::int64_t value) {
  all_reduce_max(comm, std::span(&value, 1));
  return value;
}

std::int64_t sum(const Comm& comm, std::int64_t value) {
  all_reduce_sum(comm, std::span(&value, 1));
  return value;
}

// FNV-1a over name and bits.
std::uint64_t hash(const NamedTensor& tensor) {
  std::uint64_t h = 0xcbf29ce484222325;
  const auto mix = [&h](std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) h = (h ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3;
  };
  mix(std::as_bytes(std::span(tensor.name)));
  mix(std::as_bytes(tensor.data));
  return h;
}

// The sums of both halves of all tensors' hashes, each tensor once: dense ones from process 0, an
// expert's from its owner in the first replica group.
std::string hash_of_weights(const Comm& comm, Learner& learner) {
  std::array<std::int64_t, 3> sums{};
  for (const NamedTensor& tensor : weights(learner.model())) {
    const Rank from = tensor.expert ? learner.layout().owner(*tensor.expert, GroupId{0}) : Rank{0};
    if (comm.rank() != from) continue;
    const std::uint64_t h = hash(tensor);
    sums[0] += static_cast<std::int64_t>(h >> 32);
    sums[1] += static_cast<std::int64_t>(h & 0xffffffff);
    ++sums[2];
  }
  all_reduce_sum(comm, sums);
  return text("%012llx%012llx %lld", static_cast<unsigned long long>(sums[0]),
              static_cast<unsigned long long>(sums[1]), static_cast<long long>(sums[2]));
}

// The functions of the program that were being called, innermost first.
std::string callers(const RankCounters& own) {
  std::string names;
  for (void* const address : own.largest_from) {
    Dl_info info{};
    if (address == nullptr || dladdr(address, &info) == 0 || info.dli_sname == nullptr) continue;
    int status = 0;
    char* const readable = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status);
    std::string name = status == 0 ? readable : "";
    std::free(readable);
    name = name.substr(0, name.find('('));
    const std::size_t at = name.rfind("switchyard::");
    if (at == name.npos || name.find("allocate_storage") != name.npos ||
        name.find("simulated") != name.npos || name.find("Buffer") != name.npos ||
        name.find("Storage") != name.npos)
      continue;
    name = name.substr(at + 12);
    name = name.substr(0, name.find_first_of("<["));
    if (!name.empty() && names.find(name) == names.npos)
      names += (names.empty() ? "" : " < ") + name;
  }
  return names.empty() ? "?" : names;
}

// memory PERIOD: the largest allocation of any process and who called for it, and the most that a
// process held.
void print_memory(const Comm& comm, const std::string& period, const RankCounters& own) {
  const RankCounters then = own;
  const std::int64_t largest = most(comm, then.largest), held = most(comm, then.most);
  const std::int64_t where =
      most(comm, then.largest == largest ? comm.size() - comm.rank().value : 0);
  const std::string names = broadcast_string(comm, callers(then), Rank{comm.size() - where});
  print(comm, text("memory %s largest %lld held %lld by ", period.c_str(),
                   static_cast<long long>(largest), static_cast<long long>(held)) +
                  names);
}

// sent STEP CARGO: of the process that sends most, and of all together.
void print_sent(const Comm& comm, std::int64_t step, const RankCounters& before,
                const RankCounters& after) {
  constexpr std::array<const char*, cargoes> names = {"rows", "gradients", "figures"};
  for (std::size_t c = 0; c < cargoes; ++c) {
    const std::int64_t messages = after.sent[c].messages - before.sent[c].messages;
    const std::int64_t bytes = after.sent[c].bytes - before.sent[c].bytes;
    const std::int64_t most_messages = most(comm, messages), most_bytes = most(comm, bytes);
    const std::int64_t all_bytes = sum(comm, bytes);
    print(comm, text("sent %lld %s messages %lld bytes %lld together %lld",
                     static_cast<long long>(step), names[c], static_cast<long long>(most_messages),
                     static_cast<long long>(most_bytes), static_cast<long long>(all_bytes)));
  }
}

StepShape shape_of(const Case& all) {
  const Settings& s = all.settings;
  return {.rows = s.batch_size,
          .input_length = s.model.input_length,
          .target_length = all.target_length,
          .real_inputs = s.model.input_length,
          .real_targets = all.target_length,
          .micro_steps = s.accumulation_steps};
}

// plan CARGO: the same as plan/traffic predicts it, as `switchyard describe` prints it.
void print_plan(const Comm& comm, const Case& all, const Layout& layout) {
  if (comm.rank() != Rank{0}) return;
  const ModelConfig& model = all.settings.model;
  std::int64_t rows = 0, gradients = 0, most = 0;
  for (const bool decoder : {false, true}) {
    if (model.sparse_layers(decoder) > 0)
      rows += all.settings.accumulation_steps * model.sparse_layers(decoder) *
              plan_exchange(model, layout, shape_of(all), decoder).bytes_of_step();
  }
  for (Rank p(0); p.value < layout.processes(); ++p) {
    const ReductionTraffic traffic = plan_reduction(model, layout, p);
    gradients += traffic.dense_bytes + traffic.expert_bytes;
    most = std::max(most, traffic.dense_bytes + traffic.expert_bytes);
  }
  print(comm, text("plan rows together %lld", static_cast<long long>(rows)));
  print(comm, text("plan gradients bytes %lld together %lld", static_cast<long long>(most),
                   static_cast<long long>(gradients)));
}

void run(const Comm& comm, const Case& all) {
  const Settings& s = all.settings;
  RankCounters& own = own_counters();
  const ZipfSource source({.vocab_size = s.model.vocab_size,
                           .input_length = s.model.input_length,
                           .target_length = all.target_length},
                          s.seed);
  start_period(own);
  Learner learner(comm, s, all.target_length);
  print_memory(comm, "start", own);
  print_plan(comm, all, learner.layout());
  const double operations =
      static_cast<double>(count_operations(s.model, learner.layout(), shape_of(all)).total()) /
      comm.size();

  for (std::int64_t step = 1; step <= s.steps; ++step) {
    barrier(comm);
    start_period(own);
    const RankCounters before = own;
    const double begin = MPI_Wtime();
    if (all.speed > 0) smpi_execute(operations / all.speed);
    const StepFigures& figures = learner.take_step(source);
    const RankCounters after = own;
    const auto nanoseconds = static_cast<std::int64_t>((MPI_Wtime() - begin) * 1e9);
    print(comm, text("step %lld loss %a norm %a seconds %.9f", static_cast<long long>(step),
                     figures.loss_total, figures.norm,
                     static_cast<double>(most(comm, nanoseconds)) / 1e9));
    if (!figures.was_taken()) throw Error(ExitCode::diverged, "the loss is not finite");
    print_sent(comm, step, before, after);
    if (step == s.steps) print_memory(comm, "step", after);
  }
  print(comm, "weights " + hash_of_weights(comm, learner));
}

int run_rank(int argc, char** argv) {
  try {
    start_counting();
    omp_set_num_threads(1);
    const Session session(argc, argv);
    const Comm comm = Comm::world(session);
    run(comm, read_case(argc, argv));
    return 0;
  } catch (const Error& error) {
    std::cerr << "simulated_steps: " << error.what() << std::endl;
    abort_job(static_cast<int>(error.code()));
  } catch (const std::exception& surprise) {
    std::cerr << "simulated_steps: " << surprise.what() << std::endl;
    abort_job(static_cast<int>(ExitCode::unexpected));
  }
}

}  // namespace
}  // namespace switchyard::simulated

int main(int argc, char** argv) { return switchyard::simulated::run_rank(argc, argv); }
