#include "train/batch_builder.hpp"

#include <algorithm>
#include <array>
#include <cassert>

namespace switchyard {
namespace {

// Copies ids into a row whose rest is padding; returns how many are real.
std::int32_t fill_row(const std::vector<std::int32_t>& ids, std::int32_t* row,
                      [[maybe_unused]] std::int64_t length) {
  assert(static_cast<std::int64_t>(ids.size()) <= length);
  std::copy(ids.begin(), ids.end(), row);
  return static_cast<std::int32_t>(ids.size());
}

}  // namespace

Batch build_batch(const Comm& comm, const Layout& layout, const ExampleSource& source,
                  const BatchShape& shape, std::int64_t first, std::int64_t end) {
  assert(shape.rows % layout.virtual_ranks() == 0);
  const Interval<VirtualRank> hosted = layout.hosted(comm.rank());
  Batch batch;
  batch.rows = shape.rows / layout.virtual_ranks();
  batch.input_length = shape.input_length;
  batch.target_length = shape.target_length;
  const std::int64_t rows = hosted.size() * batch.rows;  // h*b
  batch.inputs.assign(static_cast<std::size_t>(rows * shape.input_length), 0);
  batch.targets.assign(static_cast<std::size_t>(rows * shape.target_length), 0);
  batch.input_lengths.assign(static_cast<std::size_t>(rows), 0);
  batch.target_lengths.assign(static_cast<std::size_t>(rows), 0);

  std::array<std::int64_t, 2> real{};
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t sample = first + hosted.first.value * batch.rows + i;
    batch.samples.push_back(sample);
    if (sample >= end) continue;
    const Example example = source.example(sample);
    const auto row = static_cast<std::size_t>(i);
    batch.input_lengths[row] =
        fill_row(example.inputs, &batch.inputs[row * shape.input_length], shape.input_length);
    batch.target_lengths[row] =
        fill_row(example.targets, &batch.targets[row * shape.target_length], shape.target_length);
    real[0] += batch.input_lengths[row];
    real[1] += batch.target_lengths[row];
  }
  all_reduce_sum(comm, real);
  batch.input_tokens = real[0];
  batch.target_tokens = real[1];
  return batch;
}

std::vector<Batch> split_batch(const Batch& whole, std::int64_t micro_steps) {
  assert(whole.rows % micro_steps == 0);
  const std::int64_t rows = whole.rows / micro_steps;
  std::vector<Batch> parts;
  for (std::int64_t m = 0; m < micro_steps; ++m) {
    const auto part = [&](const auto& all, std::int64_t width) {
      std::decay_t<decltype(all)> taken;
      for (std::int64_t row = m * rows; row < std::ssize(whole.samples); row += whole.rows) {
        const auto first = all.begin() + row * width;
        taken.insert(taken.end(), first, first + rows * width);
      }
      return taken;
    };
    parts.push_back({.rows = rows,
                     .input_length = whole.input_length,
                     .target_length = whole.target_length,
                     .inputs = part(whole.inputs, whole.input_length),
                     .input_lengths = part(whole.input_lengths, 1),
                     .targets = part(whole.targets, whole.target_length),
                     .target_lengths = part(whole.target_lengths, 1),
                     .samples = part(whole.samples, 1),
                     .input_tokens = whole.input_tokens,
                     .target_tokens = whole.target_tokens});
  }
  return parts;
}

}  // namespace switchyard
