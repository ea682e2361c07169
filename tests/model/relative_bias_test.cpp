#include "model/relative_bias.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace switchyard {
namespace {

// T5's formula as published.
std::int64_t bucket_by_formula(std::int64_t distance, bool bidirectional) {
  const std::int64_t exact = bidirectional ? 8 : 16;
  const std::int64_t n = bidirectional ? std::abs(distance) : std::max<std::int64_t>(-distance, 0);
  const std::int64_t ahead = bidirectional && distance > 0 ? 16 : 0;
  if (n < exact) return ahead + n;
  const double far = std::log(static_cast<double>(n) / static_cast<double>(exact)) /
                     std::log(128.0 / static_cast<double>(exact)) * static_cast<double>(exact);
  return ahead + std::min(2 * exact - 1, exact + static_cast<std::int64_t>(far + 1e-9));
}

TEST(RelativeBias, PutsEveryDistanceInThePublishedBucket) {
  for (const bool bidirectional : {true, false}) {
    for (std::int64_t distance = -600; distance <= 600; ++distance) {
      EXPECT_EQ(relative_bucket(distance, bidirectional),
                bucket_by_formula(distance, bidirectional))
          << distance;
    }
  }
}

TEST(RelativeBias, StartsTheLogarithmicBucketsWhereTheTablesSay) {
  const std::map<std::int64_t, std::int64_t> encoder = {{8, 8},   {9, 12},  {10, 16}, {11, 23},
                                                        {12, 32}, {13, 46}, {14, 64}, {15, 91}};
  for (const auto& [bucket, start] : encoder) {
    EXPECT_EQ(relative_bucket(-start, true), bucket);
    EXPECT_EQ(relative_bucket(1 - start, true), bucket - 1);
    EXPECT_EQ(relative_bucket(start, true), 16 + bucket);
  }
  const std::map<std::int64_t, std::int64_t> decoder = {{16, 16}, {17, 19}, {20, 27}, {24, 46},
                                                        {28, 77}, {30, 99}, {31, 113}};
  for (const auto& [bucket, start] : decoder) {
    EXPECT_EQ(relative_bucket(-start, false), bucket);
    EXPECT_EQ(relative_bucket(1 - start, false), bucket - 1);
    EXPECT_EQ(relative_bucket(start, false), 0);
  }
}

// <bias, pieces> is linear in the table, so its gradient is exactly what backward must add.
TEST(RelativeBias, BackwardIsTheTransposeOfForward) {
  constexpr std::int64_t heads = 3, length = 70, ranks = 2, rows = 2;
  ParamSet params({{"bias", "bias", heads, relative_buckets, {}, {Initializer::Kind::uniform, 1}}},
                  ranks, 0, 7);
  params.zero_gradients();
  for (const bool bidirectional : {true, false}) {
    params.zero_gradients();
    const RelativeBias bias(0, bidirectional);
    Sequence sequence;
    sequence.ranks = ranks;
    sequence.rows = rows;
    sequence.length = length;
    Tensor<float> pieces = Tensor<float>::uninitialized(ranks * rows * heads, 2 * length - 1);
    for (std::int64_t i = 0; i < pieces.size(); ++i) {
      pieces.data()[i] = static_cast<float>((i * 37) % 101 - 50);
    }
    bias.backward(params, sequence, pieces.view());
    const PositionBias expanded = bias.forward(params, length);
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      double by_distance = 0, by_table = 0;
      for (std::int64_t row = rank * rows; row < (rank + 1) * rows; ++row) {
        for (std::int64_t h = 0; h < heads; ++h) {
          for (std::int64_t d = 1 - length; d < length; ++d) {
            by_distance += static_cast<double>(expanded.head(h)[d]) *
                           pieces.view()(row * heads + h, d + length - 1);
          }
        }
      }
      const View<const float> leaf = params[0].leaves[static_cast<std::size_t>(rank)].view();
      for (std::int64_t i = 0; i < leaf.size(); ++i) {
        by_table += static_cast<double>(leaf.data[i]) * params[0].value.data[i];
      }
      EXPECT_NEAR(by_table, by_distance, 1e-3);
      EXPECT_GT(std::abs(by_distance), 1);
    }
  }
}

}  // namespace
}  // namespace switchyard
