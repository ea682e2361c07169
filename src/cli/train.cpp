// `switchyard train`: from arguments and files to a training job. Every mistake that a user can
// make is found here, in the same way on every process, before a model is built.
#include <omp.h>

#include <filesystem>
#include <iostream>

#include "cli/arguments.hpp"
#include "cli/command.hpp"
#include "cli/command_line.hpp"
#include "cli/memory.hpp"
#include "cli/run_data.hpp"
#include "cli/startup.hpp"
#include "cli/version.hpp"
#include "comm/job.hpp"
#include "comm/together.hpp"
#include "config/run_config.hpp"
#include "config/validate.hpp"
#include "report/start_report.hpp"
#include "tensor/gemm.hpp"
#include "tensor/instruction_set.hpp"
#include "train/trainer.hpp"

namespace switchyard {
namespace {

namespace po = boost::program_options;

struct TrainArguments {
  std::vector<std::string> configs, sets;
  std::string output;
  bool restart = false;
};

TrainArguments parse_train(std::span<const std::string> words) {
  TrainArguments arguments;
  po::options_description options;
  options.add_options()                                                     //
      ("config", po::value(&arguments.configs)->multitoken()->composing())  //
      ("set", po::value(&arguments.sets)->multitoken()->composing())        //
      ("output", po::value(&arguments.output)->required())                  //
      ("restart", po::bool_switch(&arguments.restart));
  parse_arguments(train_command, words, options);
  return arguments;
}

std::string absolute(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

// The configuration of the start. Without --config, a run continues with its own. Data paths become
// absolute, since the run may be resumed from another directory.
RunConfig configure(const Env& env, const TrainArguments& arguments, int processes) {
  std::vector<std::string> files = arguments.configs;
  const RunPaths paths{arguments.output};
  if (files.empty() && env.exists(paths.config())) files.push_back(paths.config());
  RunConfig config = load_config(files, arguments.sets);
  validate(config, processes);
  DataOptions& data = *config.mutable_data();
  if (data.train().empty() && files.empty() && arguments.sets.empty()) {
    throw Error(ExitCode::usage,
                "train: there is no run in " + arguments.output +
                    " to go on with, and neither --config nor --set says what a new one is",
                "give --output the directory of the run, or --set data.train=DIR to begin one");
  }
  if (data.train().empty()) {
    throw Error(
        ExitCode::usage, "train: data.train is not set: there is nothing to train on",
        "--set data.train=DIR, where DIR is what `switchyard prepare` wrote, or FILE.jsonl, "
        "a file of examples");
  }
  data.set_train(absolute(data.train()));
  if (data.has_validation()) data.set_validation(absolute(data.validation()));
  if (data.has_tokenizer()) data.set_tokenizer(absolute(data.tokenizer()));
  return config;
}

// Opens the data. For a run that already has its data, errors are explained in terms of the run.
std::unique_ptr<RunData> open_data(const Comm& world, const Env& env, const std::string& output,
                                   RunConfig& config) {
  const RunPaths run{output};
  const bool goes_on = env.exists(run.config());
  try {
    return open_run_data(world, env, run, config);
  } catch (const Error& error) {
    if (goes_on && error.code() == ExitCode::missing_input) {
      throw Error(error.code(), "the run in " + output + " cannot go on: " + error.what(),
                  "--set data.train=DIR (and data.validation, data.tokenizer) says where the run's "
                  "data is now");
    }
    if (goes_on && error.code() == ExitCode::usage) {
      throw Error(error.code(), "the run in " + output + " does not fit the data: " + error.what(),
                  error.hint());
    }
    throw;
  }
}

// On process 0, which alone prints it; "" elsewhere. Collective.
std::string continue_command(const Comm& world, const std::string& output) {
  const std::vector<HostShare> hosts = hosts_of_job(world);
  if (hosts.empty()) return "";
  const Placement job{.hosts = hosts,
                      .threads = omp_get_max_threads(),
                      .bound = is_bound_to_cores(),
                      .launcher = launcher_of_job()};
  return job_command_line(job, std::vector<std::string>{"train", "--output", output});
}

ExitCode run_train(const Comm& world, std::span<const std::string> words) {
  const StopSignals signals;  // includes requests since the start of main
  const TrainArguments arguments = parse_train(words);
  PosixEnv env;
  RunConfig config = configure(env, arguments, world.size());
  require_one_configuration(world, config);
  const auto data = open_data(world, env, arguments.output, config);
  const Settings settings = read_settings(config);
  Log log(world.rank() == Rank(0) ? &std::cerr : nullptr);
  warn_of_slow_precision(settings.model.precision, bfloat16_support(), log);
  require_memory(world, settings);
  const RunPaths run{arguments.output};
  data->verify(world, env, run, log);

  const std::string host = host_name();
  const TrainJob job{.comm = world,
                     .env = env,
                     .log = log,
                     .signals = signals,
                     .settings = settings,
                     .data = data->training_data(),
                     .run_directory = arguments.output,
                     .restart = arguments.restart,
                     .config_text = resolved_text(config),
                     .build = build_info(),
                     .host = host,
                     .version_text = version_text(),
                     .continue_command = continue_command(world, arguments.output),
                     .run_begins = [&] { data->remember_verified(env, run); },
                     .changed_fixed_fields =
                         [&](const std::string& earlier) {
                           return changed_fixed_fields(
                               parse_config(earlier, "the checkpoint's configuration"), config);
                         }};
  return train(job);
}

}  // namespace

const Command train_command{
    .name = "train",
    .summary = "trains a model on prepared data or on examples, or continues a run",
    .help =
        R"help(usage: switchyard train [--config FILE]... [--set PATH=VALUE]... --output RUN

  --config FILE     configuration, a file or the name of a shipped one; several merge in order.
                    Without it a run continues with its own configuration.
  --set PATH=VALUE  one option, after all files; `switchyard options` lists them
  --output RUN      the run's directory: config.textproto, metrics.jsonl, log.txt, checkpoints/.
                    If it has a checkpoint, training continues from the newest.
  --restart         begins a run whose checkpoints are gone again at step 1, which is
                    otherwise refused

Ctrl-C, TERM, HUP or `touch RUN/stop` finishes the step, saves and exits with 75; so does
train.max_minutes. The same command continues the run on any number of processes up to
parallel.virtual_ranks, with the same numbers. train.steps, train.max_minutes, intervals and
checkpoint.keep_last may change between starts.

example:
  launch/local.sh -n 2 -t 1 train --config tiny --set data.train=data --output runs/tiny
)help",
    .run = run_train,
    .processes = Processes::all,
    .saves_when_stopped = true};

}  // namespace switchyard
