#include "train/batch_builder.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "base/buffer.hpp"

namespace switchyard {
namespace {

// Reads the given samples; an example is empty where its sample is at or past `end`.
Buffer<Example> read_examples(const ExampleSource& source, const Buffer<std::int64_t>& samples,
                              std::int64_t end) {
  Buffer<Example> examples;
  for (const std::int64_t sample : samples)
    examples.push_back(sample < end ? source.example(sample) : Example());
  return examples;
}

// The inputs or the targets of a batch.
struct Side {
  std::int64_t length;                    // of each row
  Buffer<std::int32_t> ids, row_lengths;  // [h*b, length], [h*b]
  std::int64_t real = 0;                  // real tokens over all virtual ranks
};

// Builds rows of `length` positions; length 0 means that of the longest row over all processes.
// Collective.
Side build_side(const Comm& comm, const Buffer<Example>& examples,
                Buffer<std::int32_t> Example::*ids, std::int64_t length) {
  std::array<std::int64_t, 1> real{}, longest{};
  for (const Example& example : examples) {
    real[0] += std::ssize(example.*ids);
    longest[0] = std::max<std::int64_t>(longest[0], std::ssize(example.*ids));
  }
  all_reduce_sum(comm, real);
  if (length == 0) all_reduce_max(comm, longest);
  Side side{
      .length = length > 0 ? length : longest[0], .ids = {}, .row_lengths = {}, .real = real[0]};
  assert(longest[0] <= side.length);
  for (const Example& example : examples) {
    side.row_lengths.push_back(static_cast<std::int32_t>(std::ssize(example.*ids)));
    side.ids.insert(side.ids.end(), (example.*ids).begin(), (example.*ids).end());
    side.ids.resize(side.row_lengths.size() * static_cast<std::size_t>(side.length), 0);
  }
  return side;
}

}  // namespace

Batch build_batch(const Comm& comm, const Layout& layout, const ExampleSource& source,
                  const BatchShape& shape, std::int64_t first, std::int64_t end) {
  assert(shape.rows % layout.virtual_ranks() == 0);
  const Interval<VirtualRank> hosted = layout.hosted(comm.rank());
  const std::int64_t rows = shape.rows / layout.virtual_ranks();
  Buffer<std::int64_t> samples;
  for (std::int64_t i = 0; i < hosted.size() * rows; ++i)
    samples.push_back(first + hosted.first.value * rows + i);
  const Buffer<Example> examples = read_examples(source, samples, end);
  Side inputs = build_side(comm, examples, &Example::inputs, shape.input_length);
  Side targets = build_side(comm, examples, &Example::targets, shape.target_length);
  return {.rows = rows,
          .input_length = inputs.length,
          .target_length = targets.length,
          .inputs = std::move(inputs.ids),
          .input_lengths = std::move(inputs.row_lengths),
          .targets = std::move(targets.ids),
          .target_lengths = std::move(targets.row_lengths),
          .samples = std::move(samples),
          .input_tokens = inputs.real,
          .target_tokens = targets.real};
}

Buffer<Batch> split_batch(const Batch& whole, std::int64_t micro_steps) {
  assert(whole.rows % micro_steps == 0);
  const std::int64_t rows = whole.rows / micro_steps;
  Buffer<Batch> parts;
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
