// A model small enough for the plain reference, in which no gradient is negligible, and a batch
// with every kind of row.
#pragma once

#include <map>
#include <string>

#include "comm/layout.hpp"
#include "model/transformer.hpp"
#include "support/batches.hpp"
#include "support/reference_model.hpp"

namespace switchyard::test {

inline ModelConfig small_model() {
  ModelConfig c;
  c.vocab_size = 40;
  c.d_model = 16;
  c.d_ff = 24;
  c.d_kv = 6;
  c.num_heads = 3;
  c.num_layers = c.num_decoder_layers = 2;
  c.dropout_rate = c.moe.expert_dropout_rate = 0.1f;
  c.initializer_scale = 2.0f;  // large enough that no path's gradient is negligible
  c.moe.num_experts = 3;
  c.moe.capacity_factor = 0.8;
  c.moe.min_capacity = 1;
  c.moe.aux_loss_coef = 0.05;
  c.moe.z_loss_coef = 0.02;
  c.moe.jitter_eps = 0.05;
  return c;
}

// V virtual ranks with b rows each; some rows partly padded, one empty.
inline Batch ragged_batch(const ModelConfig& config, int virtual_ranks, std::int64_t rows) {
  Batch batch;
  batch.rows = rows;
  batch.input_length = 7;
  batch.target_length = 5;
  const RandomStream stream(5, Purpose::data_order, 0, 0);
  for (std::int64_t r = 0; r < virtual_ranks * rows; ++r) {
    const bool empty = r == 3;
    const auto draw = stream.block(static_cast<std::uint64_t>(r), 0);
    const auto length = static_cast<std::int32_t>(empty ? 0 : 3 + draw[0] % 5);
    const auto target_length = static_cast<std::int32_t>(empty ? 0 : 2 + draw[1] % 4);
    batch.input_lengths.push_back(length);
    batch.target_lengths.push_back(target_length);
    batch.samples.push_back(100 + r);
    const auto id = [&](std::int64_t i, std::uint64_t side) {
      return static_cast<std::int32_t>(
          stream.block(static_cast<std::uint64_t>(r * 100 + i), 1 + side)[0] %
          static_cast<std::uint32_t>(config.vocab_size));
    };
    for (std::int64_t i = 0; i < batch.input_length; ++i)
      batch.inputs.push_back(i < length ? id(i, 0) : 0);
    for (std::int64_t i = 0; i < batch.target_length; ++i)
      batch.targets.push_back(i < target_length ? id(i, 1) : 0);
  }
  count_tokens(batch);
  return batch;
}

inline std::map<std::string, reference::Weights> all_weights(const ModelConfig& config,
                                                             std::uint64_t seed) {
  const Layout alone(1, 1, 1, config.moe.num_experts);
  Transformer whole(config, alone, Rank(0), seed, Transformer::Gradients::no);
  std::map<std::string, reference::Weights> weights;
  for (const Param& p : whole.parameters().params()) {
    reference::Weights w{p.value.rows, p.value.cols, {}};
    for (float x : p.value.flat()) w.values.push_back(static_cast<double>(x));
    weights[p.name()] = std::move(w);
  }
  return weights;
}

}  // namespace switchyard::test
