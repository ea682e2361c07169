// For tests that compare the plans with reality: small configurations, and batches of full rows.
#pragma once

#include "model/batch.hpp"
#include "model/config.hpp"
#include "plan/step_shape.hpp"
#include "support/batches.hpp"

namespace switchyard::test {

inline ModelConfig small_config(int experts) {
  ModelConfig config;
  config.vocab_size = 96;
  config.d_model = 24;
  config.d_ff = 40;
  config.d_kv = 6;
  config.num_heads = 3;
  config.num_layers = 3;
  config.num_decoder_layers = 2;
  config.moe.num_experts = experts;
  config.moe.dropless = true;
  return config;
}

inline StepShape full_rows(std::int64_t rows, std::int64_t input_length,
                           std::int64_t target_length) {
  return {rows, input_length, target_length, input_length, target_length};
}

// The rows of all virtual ranks, with every position real.
inline Batch full_batch(const ModelConfig& config, const StepShape& shape, int virtual_ranks) {
  Batch batch;
  batch.rows = shape.rows / virtual_ranks;
  batch.input_length = shape.input_length;
  batch.target_length = shape.target_length;
  std::int64_t drawn = 0;
  const auto fill = [&](std::int64_t length, auto& ids, auto& lengths) {
    lengths.push_back(static_cast<std::int32_t>(length));
    for (std::int64_t i = 0; i < length; ++i) {
      ids.push_back(static_cast<std::int32_t>(1 + 7919 * ++drawn % (config.vocab_size - 1)));
    }
  };
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    fill(shape.input_length, batch.inputs, batch.input_lengths);
    fill(shape.target_length, batch.targets, batch.target_lengths);
    batch.samples.push_back(row);
  }
  count_tokens(batch);
  return batch;
}

}  // namespace switchyard::test
