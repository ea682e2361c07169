#include "tensor/param.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "support/invariance.hpp"
#include "support/random_tensor.hpp"

namespace switchyard {
namespace {

ParamSpec spec(const std::string& name, std::int64_t rows, std::int64_t cols, Initializer init = {},
               std::optional<ExpertId> expert = {}) {
  return {name, name, rows, cols, expert, init};
}

std::vector<float> drawn(const ParamSpec& spec, std::uint64_t seed = 1) {
  auto value = Tensor<float>::uninitialized(spec.rows, spec.cols);
  initialize(spec, seed, value.view());
  return {value.flat().begin(), value.flat().end()};
}

struct Moments {
  double mean = 0, deviation = 0, largest = 0;
};

Moments moments_of(const std::vector<float>& x) {
  Moments m;
  for (const float v : x) m.mean += v / static_cast<double>(x.size());
  for (const float v : x)
    m.deviation += (v - m.mean) * (v - m.mean) / static_cast<double>(x.size());
  m.deviation = std::sqrt(m.deviation);
  for (const float v : x) m.largest = std::max(m.largest, std::abs(static_cast<double>(v)));
  return m;
}

// 200,000 draws: the mean's standard error is 0.0022 sigma, the deviation's 0.0016.
TEST(Initialize, NormalHasItsMeanAndDeviation) {
  const auto m = moments_of(drawn(spec("a", 200, 1000, {Initializer::Kind::normal, 2})));
  EXPECT_NEAR(m.mean, 0, 0.02);
  EXPECT_NEAR(m.deviation, 2, 0.02);
  EXPECT_GT(m.largest, 8);
}

TEST(Initialize, TruncatedNormalEndsAtTwoSigmaAndIsNarrower) {
  const auto m =
      moments_of(drawn(spec("a", 200, 1000, {Initializer::Kind::truncated_normal, 0.5})));
  EXPECT_NEAR(m.mean, 0, 0.005);
  EXPECT_NEAR(m.deviation, 0.5 * 0.87962566, 0.005);
  EXPECT_LE(m.largest, 1.0);
  EXPECT_GT(m.largest, 0.999);
}

TEST(Initialize, UniformFillsItsRange) {
  const auto m = moments_of(drawn(spec("a", 200, 1000, {Initializer::Kind::uniform, 3})));
  EXPECT_NEAR(m.mean, 0, 0.03);
  EXPECT_NEAR(m.deviation, 3 / std::sqrt(3.0), 0.02);
  EXPECT_LE(m.largest, 3);
  EXPECT_GT(m.largest, 2.999);
}

TEST(Initialize, ConstantsAreConstant) {
  EXPECT_EQ(drawn(spec("a", 1, 3, {Initializer::Kind::ones, 0})), (std::vector<float>{1, 1, 1}));
  EXPECT_EQ(drawn(spec("a", 1, 3, {Initializer::Kind::zeros, 0})), (std::vector<float>{0, 0, 0}));
}

TEST(Initialize, ExpertZeroDrawsAsTheDenseTensorAndOthersDiffer) {
  const Initializer init{Initializer::Kind::truncated_normal, 1};
  const auto dense = drawn(spec("ff.wi", 7, 9, init));
  const auto expert = [&](std::int64_t e) { return drawn(spec("ff.wi", 7, 9, init, ExpertId{e})); };
  EXPECT_EQ(expert(0), dense);
  EXPECT_NE(expert(1), dense);
  EXPECT_NE(expert(1), expert(2));
}

TEST(Initialize, DependsOnSeedAndKeyButNotOnShapeOrName) {
  const Initializer init{Initializer::Kind::normal, 1};
  const auto base = drawn(spec("a", 6, 10, init));
  EXPECT_NE(drawn(spec("b", 6, 10, init)), base);
  EXPECT_NE(drawn(spec("a", 6, 10, init), 2), base);
  EXPECT_EQ(drawn(spec("a", 4, 15, init)), base);
  ParamSpec renamed = spec("a", 6, 10, init);
  renamed.name = "something else";
  EXPECT_EQ(drawn(renamed), base);
}

TEST(Initialize, BitsDoNotDependOnThreads) {
  expect_same_bits_in_every_team([] {
    return bits_of(drawn(spec("a", 33, 101, {Initializer::Kind::truncated_normal, 1})));
  });
}

ParamSet small_set(int dense_leaves, int expert_leaves) {
  const Initializer init{Initializer::Kind::normal, 1};
  std::vector<ParamSpec> specs = {spec("a", 3, 5, init), spec("b", 1, 17, init),
                                  spec("c.0", 2, 4, init, ExpertId{0}),
                                  spec("c.1", 2, 4, init, ExpertId{1})};
  return {std::move(specs), dense_leaves, expert_leaves, 1};
}

TEST(ParamSet, HasALeafOfEachTensorForEachVirtualRankOrGroup) {
  auto set = small_set(3, 2);
  EXPECT_EQ(set.elements(), 15 + 17 + 8 + 8);
  ASSERT_EQ(set.params().size(), 4u);
  for (const Param& p : set.params()) {
    EXPECT_EQ(p.leaves.size(), p.is_expert() ? 2u : 3u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p.value.data) % 64, 0u) << p.name();
    for (const GradientLeaf& place : p.leaves) {
      const View<const float> leaf = place.view();
      EXPECT_EQ(leaf.rows, p.value.rows);
      EXPECT_EQ(leaf.cols, p.value.cols);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(leaf.data) % 64, 0u) << p.name();
    }
  }
  EXPECT_EQ(set.dense_leaves().size(), 3u);
  EXPECT_EQ(set.dense_leaves()[0].size(), 16u + 32u);
  EXPECT_EQ(set.expert_leaves().size(), 2u);
  EXPECT_EQ(set.expert_leaves()[1].size(), 16u + 16u);
}

TEST(ParamSet, FlatLeavesAreTheTensorsOneAfterAnother) {
  auto set = small_set(2, 1);
  float next = 1;
  for (Param& p : set.params()) {
    for (float& v : p.leaves.back().sum().flat()) v = next++;
  }
  const auto untouched = set.dense_leaves()[0], dense = set.dense_leaves()[1];
  const auto expert = set.expert_leaves()[0];
  EXPECT_EQ(dense[14], 15);
  EXPECT_EQ(dense[15], 0) << "padding";
  EXPECT_EQ(dense[16], 16);
  EXPECT_EQ(expert[16], 15 + 17 + 8 + 1);
  for (const float v : untouched) EXPECT_EQ(v, 0);
  set.zero_gradients();
  set.fill_empty_leaves();
  for (const float v : dense) EXPECT_EQ(v, 0);
  for (const float v : expert) EXPECT_EQ(v, 0);
}

TEST(ParamSet, ViewsStayValidWhenItMoves) {
  auto first = small_set(1, 1);
  const float* data = first[0].value.data;
  const auto values = bits_of(first[3].value.flat());
  ParamSet second = std::move(first);
  EXPECT_EQ(second[0].value.data, data);
  EXPECT_EQ(bits_of(second[3].value.flat()), values);
  EXPECT_EQ(bits_of(drawn(second[3].spec)), values);
}

TEST(ParamSet, WithoutLeavesHoldsValuesOnly) {
  auto set = small_set(0, 0);
  EXPECT_TRUE(set[0].leaves.empty());
  EXPECT_TRUE(set.dense_leaves().empty());
  set.zero_gradients();
}

}  // namespace
}  // namespace switchyard
