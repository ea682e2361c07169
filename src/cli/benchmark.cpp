// `switchyard benchmark`: the machine's rates and, next to them, a model's training steps, without
// any data.
#include "benchmark/benchmark.hpp"

#include <ctime>
#include <iostream>

#include "base/host.hpp"
#include "benchmark/benchmark_report.hpp"
#include "benchmark/calibration.hpp"
#include "cli/arguments.hpp"
#include "cli/command.hpp"
#include "cli/machine_file.hpp"
#include "cli/memory.hpp"
#include "cli/model_vocabulary.hpp"
#include "cli/output_file.hpp"
#include "cli/startup.hpp"
#include "cli/version.hpp"
#include "comm/job.hpp"
#include "config/run_config.hpp"
#include "config/validate.hpp"
#include "files/env.hpp"
#include "report/start_report.hpp"
#include "tensor/gemm.hpp"
#include "tensor/instruction_set.hpp"

namespace switchyard {
namespace {

namespace po = boost::program_options;

struct BenchmarkArguments {
  std::vector<std::string> configs, sets;
  std::int64_t steps = 10;
  std::string json, calibrate;
  bool force_load_balancing = false;
};

BenchmarkArguments parse_benchmark(std::span<const std::string> words) {
  BenchmarkArguments arguments;
  po::options_description options;
  options.add_options()                                                     //
      ("config", po::value(&arguments.configs)->multitoken()->composing())  //
      ("set", po::value(&arguments.sets)->multitoken()->composing())        //
      ("steps", po::value(&arguments.steps))                                //
      ("json", po::value(&arguments.json))                                  //
      ("calibrate", po::value(&arguments.calibrate))                        //
      ("force-load-balancing", po::bool_switch(&arguments.force_load_balancing));
  parse_arguments(benchmark_command, words, options);
  if (!arguments.calibrate.empty()) {
    if (words.size() == 2 || words.size() == 1) return arguments;
    throw Error(ExitCode::usage,
                "benchmark: --calibrate measures the machine, and takes no other option",
                "leave out the others, or leave out --calibrate");
  }
  if (arguments.configs.empty() && arguments.sets.empty()) {
    throw Error(ExitCode::usage, "benchmark: neither --config nor --set says what to measure",
                "bench_small is the model that others are measured by: --config bench_small");
  }
  if (arguments.steps < 1) {
    throw Error(
        ExitCode::usage,
        "benchmark: --steps is " + std::to_string(arguments.steps) + ", but must be 1 or more",
        "10 are enough where nothing else runs");
  }
  return arguments;
}

void force_load_balancing(ModelConfig& model) {
  for (const bool decoder : {false, true}) {
    if (model.sparse_layers(decoder) == 0 || tokens_choose(model.moe.routing(decoder))) continue;
    throw Error(ExitCode::usage,
                "benchmark: --force-load-balancing does not work with " + routing_text(model),
                "it is for routings in which tokens choose by a router");
  }
  model.moe.force_load_balancing = true;
}

std::string utc_date() {
  const std::time_t now = std::time(nullptr);
  char date[32];
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));
  return date;
}

// Measures the constants with which `describe --network` plans, and writes them to a file.
ExitCode run_calibration(const Comm& world, const std::string& path) {
  const bool leads = world.rank() == Rank(0);
  Log log(leads ? &std::cerr : nullptr);
  PosixEnv env;
  require_writable(world, env, path, "--calibrate");
  const Machine machine = calibrate(world, log);
  const std::vector<HostShare> hosts = hosts_of_job(world);
  if (!leads) return ExitCode::done;
  const std::vector<std::string> origin = {
      "Measured by `switchyard benchmark --calibrate` on " + host_name() + ", " + utc_date() + ".",
      std::to_string(world.size()) + " processes x " + std::to_string(machine.threads) +
          " threads on " + std::to_string(hosts.size()) + " hosts; oneDNN " + onednn_version() +
          " for " + onednn_isa() + "; commit " + build().commit + ".",
  };
  write_file_atomically(env, path, machine_text(machine, origin));
  std::cout << "written to " << path << ": plan with `switchyard describe --network " << path
            << "`\n";
  return ExitCode::done;
}

ExitCode run_benchmark_command(const Comm& world, std::span<const std::string> words) {
  const BenchmarkArguments arguments = parse_benchmark(words);
  if (!arguments.calibrate.empty()) return run_calibration(world, arguments.calibrate);
  RunConfig config = load_config(arguments.configs, arguments.sets);
  validate(config, world.size());
  resolve_vocabulary(config);
  require_one_configuration(world, config);
  Settings settings = read_settings(config);
  if (arguments.force_load_balancing) force_load_balancing(settings.model);
  const bool leads = world.rank() == Rank(0);
  Log log(leads ? &std::cerr : nullptr);
  warn_of_slow_precision(settings.model.precision, bfloat16_support(), log);
  require_memory(world, settings);
  PosixEnv env;
  if (!arguments.json.empty()) require_writable(world, env, arguments.json, "--json");

  const Benchmark benchmark = run_benchmark(world, log, settings, arguments.steps);
  if (!leads) return ExitCode::done;
  std::cout << benchmark_text(benchmark);
  if (!arguments.json.empty())
    write_file_atomically(env, arguments.json, benchmark_json(benchmark));
  return ExitCode::done;
}

}  // namespace

const Command benchmark_command{
    .name = "benchmark",
    .summary = "measures the machine's rates, and a model's training steps against them",
    .help =
        R"help(usage: switchyard benchmark [--config FILE]... [--set PATH=VALUE]... [--steps N]
                            [--json FILE] [--force-load-balancing]
       switchyard benchmark --calibrate FILE

  --config FILE     configuration, a file or the name of a shipped one; several merge in order
  --set PATH=VALUE  one option, after all files; `switchyard options` lists them
  --steps N         steps to measure, after two that are not counted; default: 10
  --json FILE       also writes all figures to FILE
  --force-load-balancing
                    token t of a routing group goes to expert t mod E, whatever its router says,
                    to measure perfectly balanced experts
  --calibrate FILE  measures what `switchyard describe` needs to plan times: products by shape,
                    memory, messages within a host and between hosts, and three small models; takes
                    no configuration. Start it with as many processes on a host as the run will have

Measures the rate of oneDNN's matrix products on all processes and threads at once (a yardstick of
2048 x 2048 x 2048, and the model's own products as its layers issue them), memory bandwidth, the
exchange of rows and the sum of gradients; then training steps of the model, and the yardstick once
more. It needs no data: rows are full of token ids drawn from Zipf's law, and dropout and jitter are
0. Utilisation is the model's operations per second, by the formula of `switchyard describe`,
relative to the yardstick's.

example:
  launch/local.sh -n 2 -t 1 benchmark --config bench_tiny --json tiny.json
)help",
    .run = run_benchmark_command,
    .processes = Processes::all};

}  // namespace switchyard
