#include "train/router_bias.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchyard {
namespace {

using testing::ElementsAre;

ParamSet biases() {
  std::vector<ParamSpec> specs;
  for (const char* block : {"encoder.block.1", "decoder.block.1"}) {
    const std::string name = std::string(block) + ".feed_forward.router_bias";
    specs.push_back({name, name, 1, 3, std::nullopt, {}});
  }
  return {std::move(specs), 0, 0, 1};
}

TEST(RouterBias, PrefersExpertsThatHadFewerTokensThanTheMean) {
  ParamSet params = biases();
  const LayerStatistics layers[] = {
      {.name = "encoder.block.1", .tokens_per_expert = {7, 2, 3}},  // mean 4
      {.name = "decoder.block.1", .tokens_per_expert = {5, 4, 3}},  // mean 4
      {.name = "decoder.block.3", .tokens_per_expert = {1, 0, 0}},  // without a bias
  };
  update_router_biases(layers, 0.25, params);
  update_router_biases({layers, 1}, 0.25, params);
  EXPECT_THAT(params[0].value.flat(), ElementsAre(-0.5f, 0.5f, 0.5f));
  EXPECT_THAT(params[1].value.flat(), ElementsAre(-0.25f, 0, 0.25f));
}

TEST(RouterBias, StaysWhereExpertsHadNothing) {
  ParamSet params = biases();
  const LayerStatistics layer{.name = "encoder.block.1", .tokens_per_expert = {0, 0, 0}};
  update_router_biases({&layer, 1}, 0.25, params);
  EXPECT_THAT(params[0].value.flat(), ElementsAre(0, 0, 0));
}

}  // namespace
}  // namespace switchyard
