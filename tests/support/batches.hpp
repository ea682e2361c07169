// Batches for tests: the part of a step's batch that belongs to some virtual ranks.
#pragma once

#include <numeric>

#include "base/index.hpp"
#include "model/batch.hpp"

namespace switchyard::test {

// Sets the counts over all virtual ranks from the row lengths of a batch that contains all of them.
inline void count_tokens(Batch& whole) {
  whole.input_tokens =
      std::accumulate(whole.input_lengths.begin(), whole.input_lengths.end(), std::int64_t{0});
  whole.target_tokens =
      std::accumulate(whole.target_lengths.begin(), whole.target_lengths.end(), std::int64_t{0});
}

// The rows of the virtual ranks `hosted`, from a batch that contains all of them.
inline Batch slice(const Batch& whole, Interval<VirtualRank> hosted) {
  const auto part = [&](const auto& all, std::int64_t width) {
    const auto first = all.begin() + hosted.first.value * whole.rows * width;
    return std::decay_t<decltype(all)>(first, first + hosted.size() * whole.rows * width);
  };
  Batch out = whole;
  out.inputs = part(whole.inputs, whole.input_length);
  out.input_lengths = part(whole.input_lengths, 1);
  out.targets = part(whole.targets, whole.target_length);
  out.target_lengths = part(whole.target_lengths, 1);
  out.samples = part(whole.samples, 1);
  return out;
}

}  // namespace switchyard::test
