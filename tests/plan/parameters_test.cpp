#include "plan/parameters.hpp"

#include <gtest/gtest.h>

#include "model/transformer.hpp"
#include "plan/small_plan.hpp"

namespace switchyard {
namespace {

using test::small_config;

// total, experts
std::pair<std::int64_t, std::int64_t> sum_of_specs(const ModelConfig& config) {
  std::int64_t total = 0, experts = 0;
  for (const ParamSpec& spec :
       parameter_specs(config, {ExpertId(0), ExpertId(config.moe.num_experts)})) {
    total += spec.rows * spec.cols;
    if (spec.expert) experts += spec.rows * spec.cols;
  }
  return {total, experts};
}

TEST(ParameterCounts, AreTheSumOverTheModelsTensors) {
  for (const int experts : {0, 1, 5}) {
    for (const int step : {0, 1, 2}) {
      for (const bool gated : {false, true}) {
        ModelConfig config = small_config(experts);
        config.encoder_sparse_step = step;
        config.decoder_sparse_step = 2 - step;
        config.activation = gated ? Activation::gated_gelu : Activation::relu;
        config.tie_word_embeddings = !gated;
        const ParameterCount count = count_parameters(config);
        const auto [total, in_experts] = sum_of_specs(config);
        EXPECT_EQ(count.total(), total) << experts << " " << step << " " << gated;
        EXPECT_EQ(count.experts, in_experts) << experts << " " << step << " " << gated;
      }
    }
  }
}

TEST(ParameterCounts, AreTheSumWhateverTheRouting) {
  using enum RoutingMethod;
  for (const RoutingMethod method : {switch_top1, top2, topk, expert_choice, soft, hash, ntlb}) {
    for (const LoadBalancing balancing : {LoadBalancing::aux, LoadBalancing::bias}) {
      ModelConfig config = small_config(5);
      config.input_length = 17;
      config.moe.encoder_routing = method;
      config.moe.load_balancing = balancing;
      EXPECT_EQ(count_parameters(config).total(), sum_of_specs(config).first)
          << static_cast<int>(method);
    }
  }
}

TEST(ParameterCounts, HaveThoseOfTheDenseTwinActiveAndTheRouters) {
  const ParameterCount dense = count_parameters(small_config(0)),
                       sparse = count_parameters(small_config(7));
  EXPECT_EQ(dense.active(), dense.total());
  EXPECT_EQ(sparse.active(), dense.total() + sparse.routers);
}

}  // namespace
}  // namespace switchyard
