// `switchyard export`: writes a checkpoint as a Hugging Face directory.
#include <charconv>
#include <iostream>

#include "checkpoint/store.hpp"
#include "cli/arguments.hpp"
#include "cli/command.hpp"
#include "comm/together.hpp"
#include "config/run_config.hpp"
#include "config/settings.hpp"
#include "data/dataset.hpp"
#include "data/span_corruption.hpp"
#include "data/staging_directory.hpp"
#include "files/sha256.hpp"
#include "interchange/hugging_face.hpp"
#include "interchange/hugging_face_files.hpp"
#include "model/transformer.hpp"
#include "record/run_directory.hpp"

namespace switchyard {
namespace {

namespace po = boost::program_options;
namespace kept = hugging_face_files;

struct ExportArguments {
  std::string checkpoint, output;
  ElementType type = ElementType::float32;
  std::int64_t shard_bytes = 0;
};

// Parses a size in Hugging Face's notation, "5GB", with powers of 1000.
std::int64_t parse_size(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::int64_t unit = 0;
  const std::string name(end, text.data() + text.size());
  for (const auto& [known, bytes] : {std::pair{"", std::int64_t{1}},
                                     {"KB", std::int64_t{1'000}},
                                     {"MB", std::int64_t{1'000'000}},
                                     {"GB", std::int64_t{1'000'000'000}}}) {
    if (name == known) unit = bytes;
  }
  if (error != std::errc() || number < 1 || unit == 0 || number > (std::int64_t{1} << 60) / unit)
    throw Error(ExitCode::usage, "export: --max-shard-size " + text + " is no size",
                "write bytes, or a whole number with KB, MB or GB, such as 5GB");
  return number * unit;
}

ElementType parse_type(const std::string& text) {
  if (text == "float32") return ElementType::float32;
  if (text == "bfloat16") return ElementType::bfloat16;
  throw Error(ExitCode::usage, "export: --dtype " + text + " is not written",
              "it is float32 or bfloat16");
}

ExportArguments parse_export(std::span<const std::string> words) {
  ExportArguments arguments;
  std::string type = "float32", size = "5GB";
  po::options_description options;
  options.add_options()                                             //
      ("checkpoint", po::value(&arguments.checkpoint)->required())  //
      ("dtype", po::value(&type))                                   //
      ("max-shard-size", po::value(&size))                          //
      ("output", po::value(&arguments.output)->required());
  po::positional_options_description positional;
  positional.add("checkpoint", 1);
  parse_arguments(export_command, words, options, positional);
  arguments.type = parse_type(type);
  arguments.shard_bytes = parse_size(size);
  return arguments;
}

std::optional<std::string> read_if(const Env& env, const std::string& directory,
                                   const std::string& name, const std::string& sha256) {
  auto bytes = kept::read(env, directory, name.c_str());
  return bytes && sha256_hex(*bytes) == sha256 ? std::move(bytes) : std::nullopt;
}

// Copies the tokenizer that the model was trained with: the imported one with its companion files,
// or that of its data.
void export_tokenizer(Env& env, Log& log, const RunState& state, const DataOptions& options,
                      const std::string& imported, const std::string& to) {
  const std::string data = options.has_tokenizer()
                               ? options.tokenizer()
                               : options.train() + "/" + dataset_files::tokenizer;
  std::optional<std::string> model;
  if (!state.tokenizer_digest.empty())
    model = read_if(env, imported, kept::tokenizer, state.tokenizer_digest);
  if (model || state.tokenizer_digest.empty()) {
    for (const char* name : kept::about_tokenizer)
      kept::write(env, to, name, kept::read(env, imported, name));
  } else {
    model = read_if(env, parent_directory(data), base_name(data), state.tokenizer_digest);
    if (!model)
      log.warning("there is no " + std::string(kept::tokenizer) + " in the export: neither " +
                  imported + " nor " + data + " has the tokenizer that the model was trained with");
  }
  kept::write(env, to, kept::tokenizer, model);
}

// Fills in data.target_length, if unset, with the length that span corruption fills.
RunConfig with_target_length(RunConfig config) {
  if (!config.data().has_target_length())
    config.mutable_data()->set_target_length(fit_segment(read_settings(config).spans).targets);
  return config;
}

void export_checkpoint(Env& env, Log& log, const CheckpointReader& from,
                       const ExportArguments& arguments) {
  const std::string& checkpoint = from.directory();
  const RunState state = from.state();
  const RunConfig config = parse_config(state.config_text, checkpoint + ": configuration");
  const ModelConfig model = read_settings(config).model;
  const std::string imported = run_of(checkpoint).hugging_face();
  const ExportedConfig json =
      hugging_face_config(with_target_length(config),
                          kept::read(env, imported, kept::config).value_or(""), arguments.type);
  const auto generation = kept::read(env, imported, kept::generation);

  StagingDirectory staging(env, arguments.output, kept::config);
  const std::string& to = staging.directory();
  kept::write(env, to, kept::config, json.text);
  kept::write(env, to, kept::generation, generation.value_or(hugging_face_generation_config()));
  export_tokenizer(env, log, state, config.data(), imported, to);
  const auto specs = parameter_specs(model, {ExpertId{0}, ExpertId{model.moe.num_experts}});
  const std::int64_t tensors = export_weights(
      env, from, hugging_face_family(config), specs,
      {.directory = to, .type = arguments.type, .shard_bytes = arguments.shard_bytes});
  staging.commit();
  if (!json.difference.empty()) log.warning(json.difference);
  std::cout << "exported " << checkpoint << " to " << arguments.output << ": " << tensors
            << " tensors\n";
}

ExitCode run_export(const Comm& world, std::span<const std::string> words) {
  const ExportArguments arguments = parse_export(words);
  PosixEnv env;
  Log log(world.rank() == Rank(0) ? &std::cerr : nullptr);
  const CheckpointReader checkpoint = open_checkpoint(env, world, arguments.checkpoint, log);
  on_first(world, [&] {
    export_checkpoint(env, log, checkpoint, arguments);
    return std::string();
  });
  return ExitCode::done;
}

}  // namespace

const Command export_command{
    .name = "export",
    .summary = "writes a checkpoint as a Hugging Face directory",
    .help =
        R"help(usage: switchyard export CHECKPOINT|RUN [OPTION]... --output DIR

  --dtype TYPE           float32 (default) or bfloat16, to which weights are rounded
  --max-shard-size SIZE  starts a new file where a file's tensors, without its header, would
                         exceed SIZE; a larger tensor gets a file of its own. Bytes, or a
                         whole number with KB, MB or GB (powers of 1,000); default 5GB
  --output DIR           a new directory: config.json, generation_config.json,
                         model.safetensors or its shards and their index, spiece.model

For a run, its newest valid checkpoint. A model with experts becomes a Switch Transformer, one
without experts a T5. What an imported model's config.json said is kept. Process 0 works alone,
one tensor at a time.

example:
  switchyard export runs/tiny --output tiny-hf
)help",
    .run = run_export,
    .processes = Processes::first};

}  // namespace switchyard
