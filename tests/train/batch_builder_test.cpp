#include "train/batch_builder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/sequence.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

using testing::Each;
using testing::ElementsAre;

// Sample i has i % 4 + 1 inputs and i % 3 + 1 targets, all equal to i.
class Numbered final : public ExampleSource {
 public:
  Example example(std::int64_t sample) const override {
    const auto id = static_cast<std::int32_t>(sample);
    return {Buffer<std::int32_t>(static_cast<std::size_t>(id % 4 + 1), id),
            Buffer<std::int32_t>(static_cast<std::size_t>(id % 3 + 1), id)};
  }
};

constexpr BatchShape shape{.rows = 8, .input_length = 5, .target_length = 3};

TEST(BatchBuilder, GivesVirtualRankVTheSamplesFromFirstPlusVTimesItsRows) {
  const Comm& world = test_world();
  const Layout layout(4, world.size(), 1, 0);
  const Batch batch = build_batch(world, layout, Numbered(), shape, 16, 24);
  EXPECT_EQ(batch.rows, 2);
  const auto samples = all_gather_v(world, std::span<const std::int64_t>(batch.samples));
  EXPECT_THAT(samples, ElementsAre(16, 17, 18, 19, 20, 21, 22, 23));
  EXPECT_EQ(batch.samples.front(), 16 + 2 * layout.hosted(world.rank()).first.value);
}

TEST(BatchBuilder, PadsRowsWithZerosPastTheirLength) {
  const Layout layout(4, test_world().size(), 1, 0);
  const Batch batch = build_batch(test_world(), layout, Numbered(), shape, 16, 24);
  for (std::size_t i = 0; i < batch.samples.size(); ++i) {
    const auto sample = static_cast<std::int32_t>(batch.samples[i]);
    const std::span row(&batch.inputs[i * 5], 5);
    ASSERT_EQ(batch.input_lengths[i], sample % 4 + 1);
    EXPECT_THAT(row.first(static_cast<std::size_t>(batch.input_lengths[i])), Each(sample));
    EXPECT_THAT(row.subspan(static_cast<std::size_t>(batch.input_lengths[i])), Each(0));
    EXPECT_EQ(batch.target_lengths[i], sample % 3 + 1);
  }
}

TEST(BatchBuilder, SplitsEachVirtualRanksRowsIntoMicroSteps) {
  const Comm& world = test_world();
  const Layout layout(4, world.size(), 1, 0);
  const Batch whole = build_batch(world, layout, Numbered(), shape, 16, 24);
  const auto parts = split_batch(whole, 2);
  ASSERT_EQ(parts.size(), 2U);
  const auto samples = [&](std::size_t m) {
    return all_gather_v(world, std::span<const std::int64_t>(parts[m].samples));
  };
  EXPECT_THAT(samples(0), ElementsAre(16, 18, 20, 22));
  EXPECT_THAT(samples(1), ElementsAre(17, 19, 21, 23));
  for (const Batch& part : parts) {
    EXPECT_EQ(part.rows, 1);
    EXPECT_EQ(part.input_tokens, whole.input_tokens);
    EXPECT_EQ(part.target_tokens, whole.target_tokens);
    for (std::size_t i = 0; i < part.samples.size(); ++i) {
      const auto sample = static_cast<std::int32_t>(part.samples[i]);
      EXPECT_EQ(part.input_lengths[i], sample % 4 + 1);
      EXPECT_EQ(part.target_lengths[i], sample % 3 + 1);
      EXPECT_EQ(part.inputs[i * 5], sample);
      EXPECT_EQ(part.targets[i * 3], sample);
    }
  }
  EXPECT_EQ(split_batch(whole, 1)[0].inputs, whole.inputs);
}

TEST(BatchBuilder, CountsRealPositionsOverAllVirtualRanks) {
  const Layout layout(4, test_world().size(), 1, 0);
  const Batch batch = build_batch(test_world(), layout, Numbered(), shape, 16, 24);
  EXPECT_EQ(batch.input_tokens, 2 * (1 + 2 + 3 + 4));
  EXPECT_EQ(batch.target_tokens, 2 + 3 + 1 + 2 + 3 + 1 + 2 + 3);
}

// Id 0 within a row or at its end is a token like any other, since rows have explicit lengths.
TEST(BatchBuilder, CountsIdZeroAsReal) {
  class Zeros final : public ExampleSource {
    Example example(std::int64_t) const override { return {{7, 0, 1, 0}, {0, 0}}; }
  };
  const Layout layout(4, test_world().size(), 1, 0);
  const Batch batch = build_batch(test_world(), layout, Zeros(), shape, 0, 8);
  EXPECT_THAT(batch.input_lengths, Each(4));
  EXPECT_THAT(batch.target_lengths, Each(2));
  EXPECT_EQ(batch.target_tokens, 16);
  const Sequence targets = decoder_sequence(batch, layout.hosted(test_world().rank()).size());
  EXPECT_THAT(std::span(targets.real).first(3), ElementsAre(1, 1, 0));
}

TEST(BatchBuilder, MakesRowsAsLongAsTheLongestOfAllVirtualRanksWhereNoLengthIsGiven) {
  const Layout layout(4, test_world().size(), 1, 0);
  const auto lengths = [&](std::int64_t first, std::int64_t end) {
    const Batch batch = build_batch(test_world(), layout, Numbered(), {.rows = 4}, first, end);
    EXPECT_EQ(batch.inputs.size(), batch.samples.size() * batch.input_length);
    EXPECT_EQ(batch.targets.size(), batch.samples.size() * batch.target_length);
    return std::pair(batch.input_length, batch.target_length);
  };
  EXPECT_EQ(lengths(0, 4), std::pair(4L, 3L));
  EXPECT_EQ(lengths(0, 2), std::pair(2L, 2L));  // two rows are empty
  EXPECT_EQ(lengths(4, 5), std::pair(1L, 2L));
  const Batch fixed =
      build_batch(test_world(), layout, Numbered(), {.rows = 4, .input_length = 9}, 4, 5);
  EXPECT_EQ(std::pair(fixed.input_length, fixed.target_length), std::pair(9L, 2L));
}

TEST(BatchBuilder, LeavesRowsPastTheEndEmpty) {
  const Layout layout(4, test_world().size(), 1, 0);
  const Batch batch = build_batch(test_world(), layout, Numbered(), shape, 16, 19);
  EXPECT_EQ(batch.input_tokens, 1 + 2 + 3);
  for (std::size_t i = 0; i < batch.samples.size(); ++i) {
    if (batch.samples[i] < 19) continue;
    EXPECT_EQ(batch.input_lengths[i], 0);
    EXPECT_EQ(batch.target_lengths[i], 0);
    EXPECT_THAT(std::span(&batch.inputs[i * 5], 5), Each(0));
  }
}

}  // namespace
}  // namespace switchyard
