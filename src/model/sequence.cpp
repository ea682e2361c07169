#include "model/sequence.hpp"

#include <algorithm>
#include <cassert>
#include <span>
#include <utility>

#include "base/buffer.hpp"

namespace switchyard {
namespace {

Sequence make_sequence(const Batch& batch, std::int64_t ranks, std::int64_t length,
                       const Buffer<std::int32_t>& row_lengths, std::int64_t real_in_step,
                       Buffer<std::int32_t> ids) {
  const auto rows = static_cast<std::size_t>(ranks * batch.rows);
  assert(row_lengths.size() == rows && batch.samples.size() == rows);
  Sequence sequence{ranks, batch.rows, length, row_lengths, {}, {}, real_in_step, std::move(ids)};
  sequence.index.reserve(static_cast<std::size_t>(sequence.positions()));
  sequence.real.reserve(static_cast<std::size_t>(sequence.positions()));
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::int64_t position = 0; position < length; ++position) {
      sequence.index.push_back(static_cast<std::uint64_t>(batch.samples[row] * length + position));
      sequence.real.push_back(position < row_lengths[row]);
    }
  }
  return sequence;
}

}  // namespace

Sequence encoder_sequence(const Batch& batch, std::int64_t ranks) {
  return make_sequence(batch, ranks, batch.input_length, batch.input_lengths, batch.input_tokens,
                       batch.inputs);
}

Sequence decoder_sequence(const Batch& batch, std::int64_t ranks) {
  return make_sequence(batch, ranks, batch.target_length, batch.target_lengths, batch.target_tokens,
                       decoder_input(batch));
}

Buffer<std::int32_t> decoder_input(const Batch& batch) {
  Buffer<std::int32_t> ids(batch.targets.size(), 0);
  for (std::size_t i = 1; i < ids.size(); ++i) {
    if (i % static_cast<std::size_t>(batch.target_length) != 0) ids[i] = batch.targets[i - 1];
  }
  return ids;
}

Buffer<std::int32_t> masked_targets(const Batch& batch) {
  Buffer<std::int32_t> ids = batch.targets;
  const std::int64_t length = batch.target_length;
  for (std::size_t row = 0; row < batch.target_lengths.size(); ++row) {
    const auto begin = ids.begin() + static_cast<std::int64_t>(row) * length;
    std::fill(begin + batch.target_lengths[row], begin + length, -1);
  }
  return ids;
}

}  // namespace switchyard
