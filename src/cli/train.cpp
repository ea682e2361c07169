// `switchyard train`: from words and files to a training job. Everything a user can get wrong is
// found here, alike on every process, before a model exists.
#include <omp.h>

#include <filesystem>
#include <iostream>

#include "checkpoint/together.hpp"
#include "cli/arguments.hpp"
#include "cli/command.hpp"
#include "cli/command_line.hpp"
#include "cli/config.hpp"
#include "cli/memory.hpp"
#include "cli/startup.hpp"
#include "cli/validate.hpp"
#include "cli/version.hpp"
#include "comm/job.hpp"
#include "data/span_corruption_source.hpp"
#include "files/sha256.hpp"
#include "tensor/gemm.hpp"
#include "train/start_report.hpp"
#include "train/trainer.hpp"

namespace switchyard {
namespace {

namespace po = boost::program_options;

struct TrainArguments {
  std::vector<std::string> configs, sets;
  std::string output;
};

TrainArguments parse(std::span<const std::string> words) {
  TrainArguments arguments;
  po::options_description options;
  options.add_options()                                                     //
      ("config", po::value(&arguments.configs)->multitoken()->composing())  //
      ("set", po::value(&arguments.sets)->multitoken()->composing())        //
      ("output", po::value(&arguments.output)->required());
  parse_arguments(train_command, words, options);
  return arguments;
}

std::string absolute(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

// Without --config a run goes on with its own configuration. Data paths become absolute, since the
// run may be resumed from another directory.
RunConfig configure(const Env& env, const TrainArguments& arguments, int processes) {
  std::vector<std::string> files = arguments.configs;
  const RunPaths paths{arguments.output};
  if (files.empty() && env.exists(paths.config())) files.push_back(paths.config());
  RunConfig config = load_config(files, arguments.sets);
  validate(config, processes);
  DataOptions& data = *config.mutable_data();
  if (data.train().empty()) {
    throw Error(ExitCode::usage, "train: data.train is not set: there is nothing to train on",
                "--set data.train=DIR, where DIR is what `switchyard prepare` wrote");
  }
  data.set_train(absolute(data.train()));
  if (data.has_validation()) data.set_validation(absolute(data.validation()));
  return config;
}

void take_vocabulary(const Dataset& data, RunConfig& config) {
  ModelOptions& model = *config.mutable_model();
  if (!model.has_vocab_size()) model.set_vocab_size(data.vocabulary().rows());
  require_vocabulary(model, data);
}

// The prepared data whose validation stream is used, where it is not the training data's.
std::optional<Dataset> open_validation(const Env& env, const DataOptions& options,
                                       const Dataset& training) {
  if (!options.has_validation()) return std::nullopt;
  Dataset validation = Dataset::open(env, options.validation());
  if (validation.tokenizer_digest() != training.tokenizer_digest()) {
    throw Error(
        ExitCode::mismatch,
        "the tokenizer of " + options.validation() + " is not that of " + options.train(),
        "prepare the validation data with --tokenizer " + options.train() + "/tokenizer.model");
  }
  return validation;
}

std::string digest(const Dataset& data) { return sha256_hex(to_text(data.manifest())); }

std::string describe(const SplitInfo& split) {
  return grouped(split.summary.documents) + " documents, " + grouped(split.summary.tokens) +
         " tokens";
}

std::string continue_command(const Comm& world, const std::string& host,
                             const std::string& output) {
  const std::vector<std::string> words = {"train", "--output", output};
  if (world.size() == 1) return program_command_line(words);
  for (const std::string& other : all_gather_strings(world, host)) {
    if (other != host) return mpirun_command_line(world.size(), words);
  }
  return local_command_line(world.size(), omp_get_max_threads(), words);
}

ExitCode run_train(const Comm& world, std::span<const std::string> words) {
  const StopSignals signals;  // from the start, so that no early request is lost or kills
  const TrainArguments arguments = parse(words);
  PosixEnv env;
  RunConfig config = configure(env, arguments, world.size());
  require_one_configuration(world, config);
  const Dataset data = Dataset::open(env, config.data().train());
  const std::optional<Dataset> other = open_validation(env, config.data(), data);
  const Dataset& held_out = other ? *other : data;
  require_equal_on_all_ranks(world, "the prepared data", digest(data) + " " + digest(held_out));
  take_vocabulary(data, config);
  const Settings settings = read_settings(config);
  Log log(world.rank() == Rank(0) ? &std::cerr : nullptr);
  require_precision(settings.model.precision, bfloat16_support(), log);
  require_memory(world, settings);
  const auto training = SpanCorruptionSource::training(data, settings.spans, settings.seed);
  const auto validation = SpanCorruptionSource::validation(held_out, settings.spans);
  on_first(world, [&] {
    data.verify(env);
    if (other) other->verify(env);
    return std::string();
  });

  const std::string host = host_name();
  const TrainJob job{.comm = world,
                     .env = env,
                     .log = log,
                     .signals = signals,
                     .settings = settings,
                     .data = {.training = training,
                              .validation = validation,
                              .validation_samples = validation.segments(),
                              .target_length = training.target_length(),
                              .vocabulary = data.vocabulary(),
                              .digest = data.data_digest(),
                              .tokenizer_digest = data.tokenizer_digest(),
                              .description = describe(data.manifest().train) + "; held out: " +
                                             describe(held_out.manifest().validation)},
                     .run_directory = arguments.output,
                     .config_text = resolved_text(config),
                     .build = build_info(),
                     .host = host,
                     .version_text = version_text(),
                     .continue_command = continue_command(world, host, arguments.output),
                     .changed_fixed_fields = [&](const std::string& earlier) {
                       return changed_fixed_fields(
                           parse_config(earlier, "the checkpoint's configuration"), config);
                     }};
  return train(job);
}

}  // namespace

const Command train_command{
    .name = "train",
    .summary = "pre-trains a model on prepared data, or goes on with a run",
    .help =
        "usage: switchyard train [--config FILE]... [--set PATH=VALUE]... --output RUN\n"
        "\n"
        "  --config FILE     configuration, a file or the name of a shipped one; several merge in "
        "order.\n"
        "                    Without it a run goes on with its own configuration.\n"
        "  --set PATH=VALUE  one option, after all files; `switchyard options` lists them\n"
        "  --output RUN      the run's directory: config.textproto, metrics.jsonl, log.txt, "
        "checkpoints/.\n"
        "                    Where it has a checkpoint, training goes on from the newest.\n"
        "\n"
        "Ctrl-C, TERM or `touch RUN/stop` finishes the step, saves and exits with 75; so does\n"
        "train.max_minutes. The same command goes on, on any number of processes up to\n"
        "parallel.virtual_ranks, with the same numbers. train.steps, train.max_minutes, intervals "
        "and\n"
        "checkpoint.keep_last may change between starts.\n"
        "\n"
        "example:\n"
        "  launch/local.sh -n 2 -t 1 train --config tiny --set data.train=data --output "
        "runs/tiny\n",
    .run = run_train};

}  // namespace switchyard
