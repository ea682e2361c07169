#include "statistics/routing_figures.hpp"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

// 12 of 20 tokens chose expert 0, which took 5 in each of two groups.
LayerStatistics skewed() {
  return {.name = "encoder.block.1",
          .groups = 2,
          .real_tokens = 20,
          .wanted = 20,
          .dropped = 2,
          .computed = 18,
          .places = 2 * 4 * 5,
          .tokens_per_expert = {12, 0, 8, 0},
          .balance_sum = 4,
          .z_sum = 60,
          .confidence_sum = 14,
          .entropy_sum = 10};
}

// Tokens are spread evenly, and none is dropped.
LayerStatistics balanced() {
  return {.name = "decoder.block.1",
          .groups = 2,
          .real_tokens = 16,
          .wanted = 16,
          .dropped = 0,
          .computed = 16,
          .places = 2 * 4 * 3,
          .tokens_per_expert = {4, 4, 4, 4},
          .balance_sum = 2,
          .z_sum = 16,
          .confidence_sum = 4,
          .entropy_sum = 16};
}

TEST(RoutingFigures, AreThoseOfOneLayer) {
  const LayerStatistics layer = skewed();
  const RoutingFigures figures = routing_figures({&layer, 1});
  EXPECT_DOUBLE_EQ(figures.dropped_fraction, 2 / 20.0);
  EXPECT_DOUBLE_EQ(figures.load_imbalance, 12 / 5.0);
  EXPECT_EQ(figures.dead_experts, 2);
  EXPECT_DOUBLE_EQ(figures.expert_usage, 18 / 40.0);
  EXPECT_DOUBLE_EQ(figures.router_confidence, 14 / 20.0);
  EXPECT_DOUBLE_EQ(figures.router_entropy, 10 / 20.0);
  EXPECT_DOUBLE_EQ(layer.balance_loss(), 2);
  EXPECT_DOUBLE_EQ(layer.z_loss(), 3);
}

// Shares are over all tokens and places together; the imbalance is the mean over the layers.
TEST(RoutingFigures, TakeSeveralLayersTogether) {
  const LayerStatistics layers[] = {skewed(), balanced()};
  const RoutingFigures figures = routing_figures(layers);
  EXPECT_DOUBLE_EQ(figures.dropped_fraction, 2 / 36.0);
  EXPECT_DOUBLE_EQ(figures.load_imbalance, (12 / 5.0 + 1) / 2);
  EXPECT_EQ(figures.dead_experts, 2);
  EXPECT_DOUBLE_EQ(figures.expert_usage, 34 / 64.0);
  EXPECT_DOUBLE_EQ(figures.router_confidence, 18 / 36.0);
  EXPECT_DOUBLE_EQ(figures.router_entropy, 26 / 36.0);
}

// An expert is dead in both halves only if no token of either chose it.
TEST(RoutingFigures, AddBatchesBeforeTheyAreTaken) {
  LayerStatistics whole = skewed(), other = skewed();
  other.tokens_per_expert = {0, 20, 0, 0};
  whole.add(other);
  EXPECT_EQ(whole.groups, 4);
  EXPECT_EQ(whole.tokens_per_expert, (std::vector<std::int64_t>{12, 20, 8, 0}));
  const RoutingFigures figures = routing_figures({&whole, 1});
  EXPECT_DOUBLE_EQ(figures.dropped_fraction, 4 / 40.0);
  EXPECT_DOUBLE_EQ(figures.load_imbalance, 20 / 10.0);
  EXPECT_EQ(figures.dead_experts, 1);
  EXPECT_DOUBLE_EQ(figures.expert_usage, 36 / 80.0);
  EXPECT_DOUBLE_EQ(whole.balance_loss(), 2);
  EXPECT_DOUBLE_EQ(whole.z_loss(), 3);
}

TEST(RoutingFigures, AreFiniteWithoutAToken) {
  const LayerStatistics empty{.name = "encoder.block.1", .groups = 1, .tokens_per_expert = {0, 0}};
  const RoutingFigures figures = routing_figures({&empty, 1});
  EXPECT_EQ(figures.dropped_fraction, 0);
  EXPECT_EQ(figures.load_imbalance, 1);
  EXPECT_EQ(figures.dead_experts, 2);
  EXPECT_EQ(figures.expert_usage, 0);
  EXPECT_EQ(figures.router_confidence, 0);
  EXPECT_EQ(figures.router_entropy, 0);
  EXPECT_EQ(empty.z_loss(), 0);
}

}  // namespace
}  // namespace switchyard
