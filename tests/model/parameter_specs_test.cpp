#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <string_view>

#include "model/transformer.hpp"

namespace switchyard {
namespace {

ModelConfig base_config(int experts) {
  ModelConfig config;
  config.vocab_size = 32128;
  config.d_model = 768;
  config.d_ff = 3072;
  config.d_kv = 64;
  config.num_heads = 12;
  config.num_layers = config.num_decoder_layers = 12;
  config.moe.num_experts = experts;
  return config;
}

std::vector<ParamSpec> all_specs(const ModelConfig& config) {
  return parameter_specs(config, {ExpertId{0}, ExpertId{config.moe.num_experts}});
}

std::int64_t parameter_count(const ModelConfig& config) {
  std::int64_t count = 0;
  for (const ParamSpec& spec : all_specs(config)) count += spec.rows * spec.cols;
  return count;
}

const ParamSpec& find(const std::vector<ParamSpec>& specs, std::string_view name) {
  for (const ParamSpec& spec : specs) {
    if (spec.name == name) return spec;
  }
  throw std::out_of_range(std::string(name));
}

TEST(ParameterSpecs, CountThePublishedModels) {
  EXPECT_EQ(parameter_count(base_config(0)), 222'903'552);  // T5-Base
  EXPECT_EQ(parameter_count(base_config(8)), 619'339'008);
  EXPECT_EQ(parameter_count(base_config(128)), 7'415'217'408);
  ModelConfig large = base_config(128);
  large.d_model = 1024;
  large.d_ff = 4096;
  large.num_heads = 16;
  large.num_layers = large.num_decoder_layers = 24;
  EXPECT_EQ(parameter_count(large), 26'309'291'008);
}

TEST(ParameterSpecs, PlaceTheSparseBlocks) {
  ModelConfig config = base_config(2);
  const auto sparse = [&](int step, SparsePlace place) {
    config.encoder_sparse_step = step;
    config.sparse_place = place;
    std::string blocks;
    for (int i = 0; i < 8; ++i) blocks += config.is_sparse(false, i) ? 's' : '-';
    return blocks;
  };
  for (const SparsePlace place : {SparsePlace::last, SparsePlace::second}) {
    EXPECT_EQ(sparse(0, place), "--------");
    EXPECT_EQ(sparse(1, place), "ssssssss");
    EXPECT_EQ(sparse(2, place), "-s-s-s-s");
  }
  EXPECT_EQ(sparse(3, SparsePlace::last), "--s--s--");
  EXPECT_EQ(sparse(3, SparsePlace::second), "-s--s--s");
  EXPECT_EQ(sparse(9, SparsePlace::last), "--------");
  EXPECT_EQ(sparse(9, SparsePlace::second), "-s------");
}

TEST(ParameterSpecs, NameEveryTensorOfASmallModelInOrder) {
  ModelConfig config = base_config(2);
  config.num_layers = 2;
  config.num_decoder_layers = 1;
  config.decoder_sparse_step = 1;
  config.activation = Activation::gated_gelu;
  config.tie_word_embeddings = false;
  std::vector<std::string> names;
  for (const ParamSpec& spec : all_specs(config)) names.push_back(spec.name);
  EXPECT_THAT(names,
              testing::ElementsAre(
                  "shared.embedding", "encoder.relative_bias", "encoder.block.0.attention.q",
                  "encoder.block.0.attention.k", "encoder.block.0.attention.v",
                  "encoder.block.0.attention.o", "encoder.block.0.attention.norm",
                  "encoder.block.0.feed_forward.wi_0", "encoder.block.0.feed_forward.wi_1",
                  "encoder.block.0.feed_forward.wo", "encoder.block.0.feed_forward.norm",
                  "encoder.block.1.attention.q", "encoder.block.1.attention.k",
                  "encoder.block.1.attention.v", "encoder.block.1.attention.o",
                  "encoder.block.1.attention.norm", "encoder.block.1.feed_forward.router",
                  "encoder.block.1.feed_forward.experts.0.wi_0",
                  "encoder.block.1.feed_forward.experts.0.wi_1",
                  "encoder.block.1.feed_forward.experts.0.wo",
                  "encoder.block.1.feed_forward.experts.1.wi_0",
                  "encoder.block.1.feed_forward.experts.1.wi_1",
                  "encoder.block.1.feed_forward.experts.1.wo", "encoder.block.1.feed_forward.norm",
                  "encoder.norm", "decoder.relative_bias", "decoder.block.0.self_attention.q",
                  "decoder.block.0.self_attention.k", "decoder.block.0.self_attention.v",
                  "decoder.block.0.self_attention.o", "decoder.block.0.self_attention.norm",
                  "decoder.block.0.cross_attention.q", "decoder.block.0.cross_attention.k",
                  "decoder.block.0.cross_attention.v", "decoder.block.0.cross_attention.o",
                  "decoder.block.0.cross_attention.norm", "decoder.block.0.feed_forward.router",
                  "decoder.block.0.feed_forward.experts.0.wi_0",
                  "decoder.block.0.feed_forward.experts.0.wi_1",
                  "decoder.block.0.feed_forward.experts.0.wo",
                  "decoder.block.0.feed_forward.experts.1.wi_0",
                  "decoder.block.0.feed_forward.experts.1.wi_1",
                  "decoder.block.0.feed_forward.experts.1.wo", "decoder.block.0.feed_forward.norm",
                  "decoder.norm", "logits"));
}

TEST(ParameterSpecs, GiveShapesAndInitialScales) {
  ModelConfig config = base_config(4);
  config.d_kv = 32;  // so that H K differs from D
  const std::vector<ParamSpec> specs = all_specs(config);
  const auto expect = [&](const char* name, std::int64_t rows, std::int64_t cols,
                          Initializer::Kind kind, double scale) {
    const ParamSpec& spec = find(specs, name);
    EXPECT_EQ(spec.rows, rows) << name;
    EXPECT_EQ(spec.cols, cols) << name;
    EXPECT_EQ(spec.init.kind, kind) << name;
    if (kind != Initializer::Kind::ones) {
      EXPECT_NEAR(spec.init.scale, scale, 1e-6 * scale) << name;
    }
  };
  using Kind = Initializer::Kind;
  expect("shared.embedding", 32128, 768, Kind::normal, 1);
  expect("encoder.relative_bias", 12, 32, Kind::uniform, std::sqrt(6.0 / 44));
  expect("encoder.block.0.attention.q", 768, 384, Kind::normal, std::pow(768.0 * 32, -0.5));
  expect("decoder.block.0.cross_attention.k", 768, 384, Kind::normal, std::pow(768.0, -0.5));
  expect("decoder.block.3.self_attention.v", 768, 384, Kind::normal, std::pow(768.0, -0.5));
  expect("encoder.block.0.attention.o", 384, 768, Kind::normal, std::pow(384.0, -0.5));
  expect("encoder.block.0.feed_forward.wi", 768, 3072, Kind::truncated_normal,
         std::sqrt(0.1 / 768));
  expect("encoder.block.1.feed_forward.experts.3.wo", 3072, 768, Kind::truncated_normal,
         std::sqrt(0.1 / 3072));
  expect("encoder.block.1.feed_forward.router", 768, 4, Kind::truncated_normal,
         std::sqrt(0.1 / 768));
  expect("decoder.block.11.feed_forward.norm", 1, 768, Kind::ones, 0);
}

bool has(const std::vector<ParamSpec>& specs, const std::string& name) {
  return std::ranges::find(specs, name, &ParamSpec::name) != specs.end();
}

TEST(ParameterSpecs, GiveHashRoutingNoRouter) {
  ModelConfig config = base_config(4);
  config.moe.encoder_routing = RoutingMethod::hash;
  config.moe.load_balancing = LoadBalancing::bias;
  const std::vector<ParamSpec> specs = all_specs(config);
  EXPECT_FALSE(has(specs, "encoder.block.1.feed_forward.router"));
  EXPECT_FALSE(has(specs, "encoder.block.1.feed_forward.router_bias"));
  EXPECT_TRUE(has(specs, "encoder.block.1.feed_forward.experts.3.wi"));
  EXPECT_TRUE(has(specs, "decoder.block.1.feed_forward.router"));
}

TEST(ParameterSpecs, GiveSoftRoutingAColumnASlot) {
  ModelConfig config = base_config(4);
  config.moe.encoder_routing = RoutingMethod::soft;
  config.moe.capacity_factor = 1.25;
  for (const auto& [length, slots] : {std::pair(512, 160), {511, 159}, {3, 1}}) {
    config.input_length = length;
    const std::vector<ParamSpec> specs = all_specs(config);
    const ParamSpec& router = find(specs, "encoder.block.1.feed_forward.router");
    EXPECT_EQ(std::pair(router.rows, router.cols), std::pair(768L, 4L * slots)) << length;
    EXPECT_NEAR(router.init.scale, std::sqrt(0.1 / 768), 1e-8);
    EXPECT_EQ(find(specs, "decoder.block.1.feed_forward.router").cols, 4);
  }
}

TEST(ParameterSpecs, GiveABiasToTheRoutersThatTokensChooseBy) {
  ModelConfig config = base_config(4);
  config.moe.encoder_routing = RoutingMethod::expert_choice;
  EXPECT_FALSE(has(all_specs(config), "decoder.block.1.feed_forward.router_bias"));
  config.moe.load_balancing = LoadBalancing::bias;
  const std::vector<ParamSpec> specs = all_specs(config);
  EXPECT_FALSE(has(specs, "encoder.block.1.feed_forward.router_bias"));
  const ParamSpec& bias = find(specs, "decoder.block.1.feed_forward.router_bias");
  EXPECT_EQ(std::pair(bias.rows, bias.cols), std::pair(1L, 4L));
  EXPECT_EQ(bias.init.kind, Initializer::Kind::zeros);
  EXPECT_FALSE(bias.expert.has_value());
}

TEST(ModelConfig, SharesTheWeightsOfLossesAmongLayersOnlyForTheirMean) {
  ModelConfig config = base_config(4);
  config.decoder_sparse_step = 3;
  config.moe.aux_loss_coef = 0.5;
  config.moe.z_loss_coef = 0.25;
  ASSERT_EQ(config.sparse_layers(), 6 + 4);
  EXPECT_EQ(std::pair(config.aux_loss_weight(), config.z_loss_weight()), std::pair(0.5, 0.25));
  config.moe.aux_loss_reduction = AuxLossReduction::mean;
  EXPECT_EQ(std::pair(config.aux_loss_weight(), config.z_loss_weight()), std::pair(0.05, 0.025));
  for (const LoadBalancing other : {LoadBalancing::bias, LoadBalancing::none}) {
    config.moe.load_balancing = other;
    EXPECT_EQ(std::pair(config.aux_loss_weight(), config.z_loss_weight()), std::pair(0.0, 0.025));
  }
}

TEST(ParameterSpecs, DrawAnExpertAsTheDenseKernelOfItsPlace) {
  const std::vector<ParamSpec> sparse = all_specs(base_config(4)),
                               dense = all_specs(base_config(0));
  const ParamSpec& expert = find(sparse, "encoder.block.1.feed_forward.experts.2.wi");
  EXPECT_EQ(expert.init_key, find(dense, "encoder.block.1.feed_forward.wi").init_key);
  EXPECT_EQ(expert.expert, ExpertId{2});
  EXPECT_FALSE(find(sparse, "encoder.block.1.feed_forward.router").expert.has_value());
}

TEST(ParameterSpecs, ListOnlyTheOwnedExperts) {
  std::set<std::int64_t> listed;
  for (const ParamSpec& spec : parameter_specs(base_config(8), {ExpertId{2}, ExpertId{4}})) {
    if (spec.expert) listed.insert(spec.expert->value);
  }
  EXPECT_THAT(listed, testing::ElementsAre(2, 3));
}

}  // namespace
}  // namespace switchyard
