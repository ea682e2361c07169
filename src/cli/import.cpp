// `switchyard import`: makes a run from a Hugging Face directory's weights. The run has taken no
// step; its first training decides everything except the model.
#include <iostream>

#include "cli/arguments.hpp"
#include "cli/command.hpp"
#include "cli/version.hpp"
#include "comm/together.hpp"
#include "config/run_config.hpp"
#include "config/settings.hpp"
#include "config/validate.hpp"
#include "data/staging_directory.hpp"
#include "data/tokenizer.hpp"
#include "files/sha256.hpp"
#include "interchange/hugging_face.hpp"
#include "interchange/hugging_face_files.hpp"
#include "interchange/hugging_face_losses.hpp"
#include "model/transformer.hpp"
#include "plan/parameters.hpp"
#include "record/run_directory.hpp"
#include "record/saved_record.hpp"
#include "report/numbers.hpp"
#include "report/start_report.hpp"

namespace switchyard {
namespace {

namespace po = boost::program_options;
namespace kept = hugging_face_files;

struct ImportArguments {
  std::string directory, output;
  std::vector<std::string> sets;
};

ImportArguments parse_import(std::span<const std::string> words) {
  ImportArguments arguments;
  po::options_description options;
  options.add_options()                                               //
      ("directory", po::value(&arguments.directory)->required())      //
      ("set", po::value(&arguments.sets)->multitoken()->composing())  //
      ("output", po::value(&arguments.output)->required());
  po::positional_options_description positional;
  positional.add("directory", 1);
  parse_arguments(import_command, words, options, positional);
  return arguments;
}

// The model's configuration according to config.json, and that file's text.
struct Described {
  RunConfig config;
  std::string path, text;  // config.json
  LossNotes losses;
};

Described read_config(const Env& env, const ImportArguments& arguments) {
  const std::string path = arguments.directory + "/" + kept::config;
  const auto text = kept::read(env, arguments.directory, kept::config);
  if (!text)
    throw Error(ExitCode::missing_input,
                env.exists(arguments.directory) ? arguments.directory + " has no " + kept::config
                                                : arguments.directory + " does not exist",
                "name a directory that Hugging Face's save_pretrained wrote");
  RunConfig config = read_hugging_face_config(*text, path);
  LossNotes losses = loss_notes(config);
  for (const std::string& assignment : arguments.sets) set_option(config, assignment);
  validate(config, 1);
  return {std::move(config), path, *text, std::move(losses)};
}

// A config.json of a few bytes can describe more tensors than fit in memory, so the number of
// weights is compared first.
void require_as_many_tensors(const ModelConfig& model, const SafetensorsReader& weights) {
  std::int64_t at_least = 0;
  for (const bool decoder : {false, true}) {
    at_least += block_count(model, decoder) + model.sparse_layers(decoder) * model.moe.num_experts;
  }
  const std::int64_t stored = std::ssize(weights.names());
  if (at_least <= stored) return;
  throw Error(ExitCode::mismatch,
              weights.directory() + " has " + grouped(stored) + " tensors, and the model of its " +
                  kept::config + " at least " + grouped(at_least),
              "its weights are of another model than its config.json (or --set) describes");
}

std::vector<ParamSpec> all_specs(const ModelConfig& model) {
  return parameter_specs(model, {ExpertId{0}, ExpertId{model.moe.num_experts}});
}

void keep_companions(Env& env, const std::string& directory, const std::string& into) {
  env.make_directories(into);
  for (const char* name : {kept::config, kept::generation, kept::tokenizer})
    kept::write(env, into, name, kept::read(env, directory, name));
  for (const char* name : kept::about_tokenizer)
    kept::write(env, into, name, kept::read(env, directory, name));
}

void require_rows(const Tokenizer& tokenizer, const std::string& path, const ModelOptions& model) {
  const std::int32_t pieces = tokenizer.vocabulary().pieces;
  if (pieces <= model.vocab_size()) return;
  throw Error(ExitCode::mismatch,
              path + " has " + grouped(pieces) + " pieces, but the vocabulary of the model has " +
                  grouped(model.vocab_size()) + " rows",
              "it is the tokenizer of another model: take it out, or put the right one there");
}

// The SHA-256 of the tokenizer that is copied into the run, after a trial of it; "" without one. A
// valid tokenizer without T5's conventions is copied too, since examples given as ids do not need
// it.
std::string tokenizer_digest(const Env& env, Log& log, const std::string& directory,
                             const ModelOptions& model) {
  const auto bytes = kept::read(env, directory, kept::tokenizer);
  if (!bytes) return "";
  const std::string path = directory + "/" + kept::tokenizer;
  try_tokenizer_model(*bytes, path);
  try {
    require_rows(Tokenizer(*bytes, path), path, model);
  } catch (const Error& error) {
    if (error.code() != ExitCode::usage) throw;
    log.warning(std::string(error.what()) + ": no text can be prepared with it");
  }
  return sha256_hex(*bytes);
}

SafetensorsReader open_weights(const Env& env, const ImportArguments& arguments,
                               const Described& described, const ModelConfig& model) {
  SafetensorsReader weights(env, arguments.directory, hugging_face_embedding_names);
  require_as_many_tensors(model, weights);
  if (ties_without_scaling(described.text, described.path)) require_own_logits(weights);
  return weights;
}

void import_directory(Env& env, const Comm& alone, Log& log, const ImportArguments& arguments) {
  const Described described = read_config(env, arguments);
  const RunConfig& config = described.config;
  const Settings settings = read_settings(config);
  const SafetensorsReader weights = open_weights(env, arguments, described, settings.model);
  if (const auto text = kept::read(env, arguments.directory, kept::generation))
    kept::require_json(*text, arguments.directory + "/" + kept::generation);
  const RunState state{
      .config_text = resolved_text(config),
      .tokenizer_digest = tokenizer_digest(env, log, arguments.directory, config.model()),
      .build = build_info()};

  // The configuration appears last, after the checkpoint: a run without a checkpoint would be
  // trained from random weights.
  StagingDirectory staging(env, arguments.output, base_name(RunPaths{""}.config()));
  const RunPaths run{staging.directory()};
  keep_companions(env, arguments.directory, run.hugging_face());
  write_file_atomically(env, run.config(), state.config_text);
  const Layout layout(settings.virtual_ranks, 1, settings.groups, settings.model.moe.num_experts);
  import_weights(env, weights, hugging_face_family(config), all_specs(settings.model),
                 {.alone = alone,
                  .layout = layout,
                  .checkpoints_directory = run.checkpoints(),
                  .state = state});
  remember_saved(env, run, state.step);
  staging.commit();
  if (!described.losses.unequal_stacks.empty()) log.warning(described.losses.unequal_stacks);
  std::cout << "imported " << arguments.directory << " into " << arguments.output << ": "
            << grouped(count_parameters(settings.model).total()) << " parameters in "
            << grouped(std::ssize(weights.names())) << " tensors, "
            << (state.tokenizer_digest.empty() ? "no " : "with ") << kept::tokenizer << "\n";
  if (!described.losses.conversion.empty()) std::cout << described.losses.conversion << "\n";
}

ExitCode run_import(const Comm& world, std::span<const std::string> words) {
  const ImportArguments arguments = parse_import(words);
  const Comm alone = world.split(static_cast<int>(world.rank().value), 0);
  PosixEnv env;
  Log log(world.rank() == Rank(0) ? &std::cerr : nullptr);
  on_first(world, [&] {
    import_directory(env, alone, log, arguments);
    return std::string();
  });
  return ExitCode::done;
}

}  // namespace

const Command import_command{
    .name = "import",
    .summary = "makes a run of a Hugging Face directory: Switch Transformers, T5",
    .help =
        R"help(usage: switchyard import DIR [--set PATH=VALUE]... --output RUN

  DIR               config.json and model.safetensors, or its shards and their index;
                    F32, F16 or BF16. spiece.model and generation_config.json are kept
  --set PATH=VALUE  one option of the run, such as parallel.virtual_ranks=4
  --output RUN      a new run, at step 0

Process 0 works alone, one tensor at a time. The model's options come from config.json. Options
of training may still be set when `train --output RUN` takes the first step. expert_capacity has
no counterpart in this program: see moe.capacity_factor. The coefficients of the router losses
are converted: Hugging Face's weigh a mean over layers, this program's each layer.

example:
  switchyard import switch-base-8 --output runs/base8
  switchyard train --set data.train=data --output runs/base8
where `data` was prepared with runs/base8/hugging_face/spiece.model as its tokenizer
)help",
    .run = run_import,
    .processes = Processes::first};

}  // namespace switchyard
