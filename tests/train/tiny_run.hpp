// A training run small enough for a test: a task that can be learnt, a model with a few thousand
// weights, and a run directory shared by all processes.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/philox.hpp"
#include "checkpoint/digest.hpp"
#include "checkpoint/store.hpp"
#include "train/trainer.hpp"

namespace switchyard::test {

// Inputs are 4 … 12 ids; targets are a sentinel, the first inputs in reverse order, and EOS.
class ReversalTask final : public ExampleSource {
 public:
  static constexpr Vocabulary vocabulary{.pieces = 20};
  static constexpr std::int64_t input_length = 13, target_length = 8;

  explicit ReversalTask(std::uint64_t seed) : stream_(seed, Purpose::data_order, 0, 0) {}

  Example example(std::int64_t sample) const override {
    if (before_example) before_example(sample);
    const auto item = static_cast<std::uint64_t>(sample);
    const std::int64_t inputs = 4 + stream_.block(item, 0)[0] % 9;
    Example example;
    for (std::int64_t i = 0; i < inputs; ++i) {
      const std::uint32_t word = stream_.block(item, 1 + static_cast<std::uint64_t>(i))[0];
      example.inputs.push_back(3 + static_cast<std::int32_t>(word % 17));
    }
    example.targets.push_back(vocabulary.sentinel(0));
    const std::int64_t reversed = std::min<std::int64_t>(inputs, target_length - 2);
    for (std::int64_t i = reversed; i > 0; --i) example.targets.push_back(example.inputs[i - 1]);
    example.inputs.push_back(Vocabulary::eos);
    example.targets.push_back(Vocabulary::eos);
    return example;
  }

  // Called before an example is made, so that a test can act in the middle of a run.
  std::function<void(std::int64_t sample)> before_example;

 private:
  RandomStream stream_;
};

inline ModelConfig tiny_model() {
  ModelConfig model;
  model.vocab_size = ReversalTask::vocabulary.rows();
  model.d_model = 16;
  model.d_ff = 24;
  model.d_kv = 8;
  model.num_heads = 2;
  model.num_layers = model.num_decoder_layers = 2;
  model.dropout_rate = model.moe.expert_dropout_rate = 0.1f;
  model.moe.num_experts = 5;
  model.moe.min_capacity = 1;
  model.moe.capacity_factor = 1.0;
  return model;
}

class TinyRun {
 public:
  TinyRun(const Comm& comm, const std::string& directory)
      : directory(directory), comm_(comm), log_(comm.rank() == Rank(0) ? &console : nullptr) {
    settings.model = tiny_model();
    settings.virtual_ranks = 4;
    settings.spans.input_length = ReversalTask::input_length;
    settings.schedule = {.learning_rate = 0.5, .warmup_steps = 100};
    settings.batch_size = 8;
    settings.steps = 6;
    settings.eval_interval = 2;
    settings.eval_samples = 11;
    settings.keep_last = 10;
    settings.log_interval = 2;
  }

  ExitCode train() {
    const TrainingData data{.training = training,
                            .validation = validation,
                            .validation_samples = 50,
                            .target_length = ReversalTask::target_length,
                            .vocabulary = ReversalTask::vocabulary,
                            .digest = "data",
                            .tokenizer_digest = tokenizer_digest,
                            .description = "made up"};
    const TrainJob job{.comm = comm_,
                       .env = *disk,
                       .log = log_,
                       .signals = signals_,
                       .settings = settings,
                       .data = data,
                       .run_directory = directory,
                       .restart = restart,
                       .config_text = "made up",
                       .build = BuildInfo(),
                       .host = "here",
                       .version_text = "a test\n",
                       .continue_command = "switchyard train --output RUN",
                       .changed_fixed_fields = [&](const std::string&) { return changes; }};
    return switchyard::train(job);
  }

  // The lines of metrics.jsonl.
  std::vector<nlohmann::json> records() const {
    const std::string path = RunPaths{directory}.metrics();
    std::istringstream lines(read_file(env, path, env.file_size(path)));
    std::vector<nlohmann::json> records;
    for (std::string line; std::getline(lines, line);)
      records.push_back(nlohmann::json::parse(line));
    return records;
  }

  // Everything that must have the same bits however a run was executed: all but times and traffic.
  std::vector<std::string> trajectory() const {
    std::vector<std::string> steps;
    for (nlohmann::json record : records()) {
      for (auto field = record.begin(); field != record.end();) {
        const std::string& key = field.key();
        const bool varies = key.starts_with("time/") || key.starts_with("bytes/") ||
                            key.starts_with("memory/") || key == "seconds" ||
                            key == "tokens_per_second";
        field = varies ? record.erase(field) : std::next(field);
      }
      steps.push_back(record.dump());
    }
    return steps;
  }

  std::vector<std::int64_t> checkpoint_steps() const {
    std::vector<std::int64_t> steps;
    for (const auto& entry : list_checkpoints(env, RunPaths{directory}.checkpoints())) {
      steps.push_back(entry.step);
    }
    return steps;
  }

  // The digest of all tensors of the newest checkpoint.
  std::string digest() const {
    const auto entries = list_checkpoints(env, RunPaths{directory}.checkpoints());
    return overall_digest(digest_checkpoint({env, entries.at(0).directory}));
  }

  Settings settings;
  ReversalTask training{1}, validation{2};
  std::string directory, tokenizer_digest = "tokenizer";
  std::vector<std::string> changes;
  bool restart = false;
  std::ostringstream console;
  PosixEnv env;
  Env* disk = &env;  // where training writes

 private:
  const Comm& comm_;
  Log log_;
  StopSignals signals_;
};

}  // namespace switchyard::test
