// The configuration of a run as plain structs. The messages of run.proto are read here and nowhere
// in the layers below; this header only names them, so that what takes steps (train/learner) can be
// built without protobuf.
#pragma once

#include <cstdint>
#include <optional>

#include "data/span_corruption.hpp"
#include "model/config.hpp"
#include "optim/optimizer.hpp"
#include "optim/schedule.hpp"

namespace switchyard {

class RunConfig;  // of run.proto

struct Settings {
  ModelConfig model;
  int virtual_ranks = 1;  // V
  int groups = 1;         // G
  bool overlap_reduction = true;
  bool two_level_exchange = false;
  int exchange_chunks = 1;
  // parallel.shard_optimizer: automatic: as config/update_sharing.hpp has it.
  enum class ShardOptimizer { automatic, on, off } shard_optimizer = ShardOptimizer::automatic;
  // Whether data.train is a file of examples, with rows of spans.input_length and
  // spans.target_length.
  bool examples = false;
  SpanCorruptionConfig spans;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  double gradient_clipping = 0;  // largest global norm; 0: no clipping

  std::int64_t batch_size = 0;  // B: rows of the global batch
  int accumulation_steps = 1;   // A: parts that the batch is divided into (gradient accumulation)
  std::int64_t steps = 0;       // of the whole run
  std::uint64_t seed = 1;
  std::optional<double> max_minutes;  // wall-clock limit of one start
  std::int64_t log_interval = 1;
  // Steps from one record with the tokens of each expert to the next.
  std::int64_t routing_log_interval = 1;
  std::int64_t eval_interval = 0;  // 0: only at the end
  std::int64_t eval_samples = 0;
  bool tensorboard = false;              // whether event files are written
  std::int64_t checkpoint_interval = 0;  // 0: only at the end, or when stopped
  int keep_last = 1;

  // Rows that pass through the model at once, over all virtual ranks: one micro-step.
  std::int64_t rows_at_once() const { return batch_size / accumulation_steps; }
};

// `config` must be valid and must name its vocabulary: where model.vocab_size is unset, the caller
// fills in that of the data first.
Settings read_settings(const RunConfig& config);

// Settings::routing_log_interval where the option is unset: 1 while a record's numbers of tokens,
// one for each expert of each sparse layer, are few; else `log_interval`.
std::int64_t default_routing_log_interval(const ModelConfig& model, std::int64_t log_interval);

}  // namespace switchyard
