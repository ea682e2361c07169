#include "cli/run_data.hpp"

#include <array>
#include <cstdio>

#include "base/error.hpp"
#include "cli/data_check.hpp"
#include "comm/job.hpp"
#include "comm/together.hpp"
#include "config/settings.hpp"
#include "config/validate.hpp"
#include "data/span_corruption_source.hpp"
#include "files/sha256.hpp"
#include "interchange/hugging_face_files.hpp"
#include "report/numbers.hpp"
#include "report/start_report.hpp"

namespace switchyard {
namespace {

constexpr std::int64_t largest_model = std::int64_t{256} << 20;

std::string describe(const SplitInfo& split) {
  return grouped(split.summary.documents) + " documents, " + grouped(split.summary.tokens) +
         " tokens";
}

// "; 40 steps are 5.3 epochs": how often training reads all of `samples`.
std::string epochs_text(const TrainOptions& train, std::int64_t samples) {
  const double epochs = static_cast<double>(train.steps()) *
                        static_cast<double>(train.batch_size()) / static_cast<double>(samples);
  char text[32];
  std::snprintf(text, sizeof text, epochs < 10 ? "%.2f" : "%.0f", epochs);
  return "; " + grouped(train.steps()) + " steps are " + text + " epochs";
}

// The prepared data for validation, where it is separate from the training data.
std::optional<Dataset> open_validation(const Env& env, const DataOptions& options,
                                       const Dataset& training) {
  if (!options.has_validation()) return std::nullopt;
  Dataset validation = Dataset::open(env, options.validation());
  if (validation.tokenizer_digest() != training.tokenizer_digest()) {
    throw Error(
        ExitCode::mismatch,
        "the tokenizer of " + options.validation() + " (" +
            unlike(validation.tokenizer_digest(), training.tokenizer_digest()) +
            ") is not that of " + options.train(),
        "prepare the validation data with --tokenizer " + options.train() + "/tokenizer.model");
  }
  return validation;
}

class PreparedData final : public RunData {
 public:
  // Collective.
  PreparedData(const Comm& world, const Env& env, const RunPaths& run, RunConfig& config)
      : data_(Dataset::open(env, config.data().train())),
        verify_(config.data().verify()),
        other_(open_validation(env, config.data(), data_)) {
    require_same_data(world, data_);
    if (other_) require_same_data(world, *other_);
    ModelOptions& model = *config.mutable_model();
    if (!model.has_vocab_size()) model.set_vocab_size(data_.vocabulary().rows());
    require_vocabulary(model, model_origin(env, run), data_);
    const Settings settings = read_settings(config);
    training_.emplace(SpanCorruptionSource::training(data_, settings.spans, settings.seed));
    epochs_ = epochs_text(config.train(), training_->segments());
    validation_.emplace(SpanCorruptionSource::validation(held_out(), settings.spans));
  }

  void verify(const Comm& world, const Env& env, const RunPaths& run, Log& log) override {
    std::vector<const Dataset*> all = {&data_};
    if (other_) all.push_back(&*other_);
    check_.emplace(world, env, run, all, verify_, log);
  }
  void remember_verified(Env& env, const RunPaths& run) const override {
    if (check_) check_->remember(env, run);
  }

  TrainingData training_data() const override {
    return {.training = *training_,
            .validation = *validation_,
            .validation_samples = validation_->segments(),
            .target_length = training_->target_length(),
            .vocabulary = data_.vocabulary(),
            .digest = data_.data_digest(),
            .tokenizer_digest = data_.tokenizer_digest(),
            .description = describe(data_.manifest().train) +
                           "; held out: " + describe(held_out().manifest().validation) + epochs_};
  }

 private:
  const Dataset& held_out() const { return other_ ? *other_ : data_; }

  Dataset data_;
  DataOptions::Verify verify_;
  std::optional<Dataset> other_;
  std::optional<DataCheck> check_;
  std::optional<SpanCorruptionSource> training_, validation_;
  std::string epochs_;
};

void take_vocabulary(const std::optional<Tokenizer>& tokenizer, RunConfig& config) {
  ModelOptions& model = *config.mutable_model();
  if (model.has_vocab_size()) return;
  if (!tokenizer) {
    throw Error(ExitCode::usage,
                "neither model.vocab_size nor data.tokenizer is set, and " + config.data().train() +
                    " does not say how large its vocabulary is",
                "--set model.vocab_size=N, one more than the largest id, or --set "
                "data.tokenizer=FILE");
  }
  model.set_vocab_size(tokenizer->vocabulary().rows());
}

class ExampleData final : public RunData {
 public:
  // Collective.
  ExampleData(const Comm& world, const Env& env, const RunPaths& run, RunConfig& config)
      : tokenizer_(find_tokenizer(world, env, run, config)), file_(env, config.data().train()) {
    if (config.data().has_validation()) other_.emplace(env, config.data().validation());
    require_equal_on_all_ranks(world, config.data().train(), file_.sha256(), same_files_hint);
    if (other_) {
      require_equal_on_all_ranks(world, config.data().validation(), other_->sha256(),
                                 same_files_hint);
    }
    take_vocabulary(tokenizer_, config);
    const ExampleRules rules{.vocab_size = config.model().vocab_size(),
                             .input_length = config.data().input_length(),
                             .target_length = config.data().target_length(),
                             .tokenizer = tokenizer_ ? &*tokenizer_ : nullptr,
                             .sentinels_in_text = config.data().sentinels_in_text()};
    target_length_ = rules.target_length;
    training_.emplace(ExampleFileSource::training(file_, rules, config.train().seed()));
    epochs_ = epochs_text(config.train(), file_.size());
    if (other_) validation_.emplace(ExampleFileSource::validation(*other_, rules));
  }

  void verify(const Comm& world, const Env&, const RunPaths&, Log&) override {
    verify_examples(world, *training_);
    if (validation_) verify_examples(world, *validation_);
  }

  TrainingData training_data() const override {
    return {.training = *training_,
            .validation = validation_ ? *validation_ : *training_,
            .validation_samples = validation_ ? validation_->size() : 0,
            .target_length = target_length_,
            .vocabulary = tokenizer_ ? tokenizer_->vocabulary() : Vocabulary(),
            .digest = file_.sha256(),
            .tokenizer_digest = tokenizer_ ? tokenizer_->sha256() : "",
            .description = grouped(file_.size()) + " examples; held out: " +
                           (other_ ? grouped(other_->size()) : "none") + epochs_};
  }

 private:
  std::optional<Tokenizer> tokenizer_;
  ExampleFile file_;
  std::optional<ExampleFile> other_;
  std::optional<ExampleFileSource> training_, validation_;
  std::string epochs_;
  std::int64_t target_length_ = 0;
};

// The path of the tokenizer; "" where there is none.
std::string tokenizer_path(const Env& env, const RunPaths& run, const DataOptions& data) {
  if (data.has_tokenizer()) return data.tokenizer();
  for (const std::string& path : {run.hugging_face() + "/" + hugging_face_files::tokenizer,
                                  data.train() + "/" + dataset_files::tokenizer}) {
    if (env.exists(path)) return path;
  }
  return "";
}

}  // namespace

ModelOrigin model_origin(const Env& env, const RunPaths& run) {
  if (env.exists(run.hugging_face())) return ModelOrigin::import;
  return env.exists(run.config()) ? ModelOrigin::run : ModelOrigin::configuration;
}

void require_same_data(const Comm& world, const Dataset& data) {
  require_equal_on_all_ranks(world, data.directory() + "/" + dataset_files::manifest,
                             to_text(data.manifest()), same_files_hint);
}

std::unique_ptr<RunData> open_run_data(const Comm& world, const Env& env, const RunPaths& run,
                                       RunConfig& config) {
  if (is_example_file(config.data().train()))
    return std::make_unique<ExampleData>(world, env, run, config);
  return std::make_unique<PreparedData>(world, env, run, config);
}

Tokenizer open_tokenizer(const Env& env, const std::string& path) {
  const std::string model = read_file(env, path, largest_model);
  try_tokenizer_model(model, path);
  return {model, path};
}

std::optional<Tokenizer> find_tokenizer(const Comm& world, const Env& env, const RunPaths& run,
                                        const RunConfig& config) {
  const std::string path = tokenizer_path(env, run, config.data());
  require_equal_on_all_ranks(world, "the tokenizer's path", path, same_files_hint);
  if (path.empty()) return std::nullopt;
  on_first(world, [&] {
    open_tokenizer(env, path);
    return std::string();
  });
  const std::string bytes = read_file(env, path, largest_model);
  require_equal_on_all_ranks(world, path, sha256_hex(bytes), same_files_hint);
  Tokenizer tokenizer(bytes, path);
  const std::int32_t pieces = tokenizer.vocabulary().pieces;
  if (config.model().has_vocab_size() && pieces > config.model().vocab_size()) {
    throw Error(ExitCode::usage,
                path + " has " + std::to_string(pieces) + " pieces, but model.vocab_size is " +
                    std::to_string(config.model().vocab_size()),
                "give data.tokenizer the model's own spiece.model");
  }
  return tokenizer;
}

ExampleLengths verify_examples(const Comm& world, const ExampleFileSource& source) {
  const auto begin_of = [&](std::int64_t p) { return source.size() * p / world.size(); };
  ExampleLengths own;
  all_or_none(world, [&] {
    own = source.verify(begin_of(world.rank().value), begin_of(world.rank().value + 1));
  });
  std::array<std::int64_t, 2> longest = {own.inputs, own.targets};
  all_reduce_max(world, longest);
  return {longest[0], longest[1]};
}

}  // namespace switchyard
