// For tests of the whole model: small configurations, batches with padding, drops and an empty row,
// and bitwise comparison of tensors.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "model/transformer.hpp"
#include "support/batches.hpp"
#include "support/mpi_main.hpp"

namespace switchyard::test {

inline ModelConfig small_config(int experts) {
  ModelConfig config;
  config.vocab_size = 48;
  config.d_model = 20;  // not a multiple of a vector
  config.d_ff = 36;
  config.d_kv = 5;
  config.num_heads = 3;
  config.num_layers = config.num_decoder_layers = 2;
  config.moe.num_experts = experts;
  return config;
}

inline std::uint32_t draw(std::uint64_t seed, std::uint64_t i) {
  return RandomStream(seed, Purpose::data_order, 0, 0).block(0, i)[0];
}

// Rows of all `ranks` virtual ranks: random ids and lengths; the last row of rank 0 is empty.
inline Batch random_batch(std::int64_t ranks, std::int64_t rows, std::int64_t input_length,
                          std::int64_t target_length, std::int64_t vocabulary) {
  Batch batch;
  batch.rows = rows;
  batch.input_length = input_length;
  batch.target_length = target_length;
  std::uint64_t drawn = 0;
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int32_t>(draw(11, drawn++) % static_cast<std::uint64_t>(n));
  };
  const auto fill = [&](std::int64_t length, bool empty, Buffer<std::int32_t>& ids,
                        Buffer<std::int32_t>& lengths) {
    lengths.push_back(empty ? 0 : static_cast<std::int32_t>(length) - below(length / 2));
    for (std::int32_t i = 0; i < length; ++i) {
      ids.push_back(i < lengths.back() ? 1 + below(vocabulary - 1) : 0);
    }
  };
  for (std::int64_t row = 0; row < ranks * rows; ++row) {
    const bool empty = row == rows - 1;
    fill(input_length, empty, batch.inputs, batch.input_lengths);
    fill(target_length, empty, batch.targets, batch.target_lengths);
    batch.samples.push_back(100 + row);
  }
  count_tokens(batch);
  return batch;
}

template <class T>
bool same_bits(View<const T> a, View<const T> b) {
  return a.rows == b.rows && a.cols == b.cols &&
         std::memcmp(a.data, b.data, static_cast<std::size_t>(a.size()) * sizeof(T)) == 0;
}

// A model with everything that one training step needs.
struct Bench {
  Layout layout;
  RowTransport transport;
  PhaseTimer timer;
  Work work;
  Transformer model;
  StepContext context;

  Bench(const Comm& comm, const ModelConfig& config, int virtual_ranks, int groups = 1)
      : layout(virtual_ranks, comm.size(), groups, config.moe.num_experts),
        transport(comm, layout),
        model(config, layout, comm.rank(), 17, Transformer::Gradients::yes),
        context{comm, transport, layout, 17, 3, Mode::train, timer, work} {
    model.parameters().zero_gradients();
  }

  // Forward and backward for the hosted rows of `whole`; gradients are those of this step alone.
  Transformer::Output step(const Batch& whole) {
    const Batch batch = slice(whole, context.hosted());
    model.parameters().zero_gradients();
    Transformer::Output output = model.forward_backward(context, batch);
    model.parameters().fill_empty_leaves();
    return output;
  }

  std::map<std::string, const Param*> by_name() const {
    std::map<std::string, const Param*> found;
    for (const Param& param : model.parameters().params()) found[param.name()] = &param;
    return found;
  }
};

}  // namespace switchyard::test
