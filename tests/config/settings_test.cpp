#include "config/settings.hpp"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "config/option_enums.hpp"
#include "config/update_sharing.hpp"
#include "run.pb.h"

namespace switchyard {
namespace {

Settings settings_of(const std::string& text) {
  RunConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config));
  return read_settings(config);
}

TEST(SettingsTest, TakesDefaultsFromTheProtoAlone) {
  const Settings settings = settings_of("model { vocab_size: 256 }");
  const RunConfig defaults;
  EXPECT_EQ(settings.model.vocab_size, 256);
  EXPECT_EQ(settings.model.d_model, defaults.model().d_model());
  EXPECT_EQ(settings.model.moe.num_experts, defaults.moe().num_experts());
  EXPECT_EQ(settings.virtual_ranks, defaults.parallel().virtual_ranks());
  EXPECT_EQ(settings.schedule.warmup_steps, defaults.optimizer().warmup_steps());
  EXPECT_EQ(settings.keep_last, defaults.checkpoint().keep_last());
  EXPECT_FALSE(settings.model.encoder_window);
  EXPECT_FALSE(settings.max_minutes);
  EXPECT_FALSE(settings.spans.target_length);
}

TEST(SettingsTest, FillsInWhatFollowsFromOtherOptions) {
  const Settings settings =
      settings_of("model { vocab_size: 256 d_model: 96 num_heads: 3 num_layers: 5 }");
  EXPECT_EQ(settings.model.d_kv, 32);
  EXPECT_EQ(settings.model.num_decoder_layers, 5);
  const std::string model = "model { vocab_size: 256 dropout_rate: 0.25 } ";
  EXPECT_EQ(settings_of(model).model.moe.expert_dropout_rate, 0.25f);
  EXPECT_EQ(settings_of(model + "moe { expert_dropout_rate: 0 }").model.moe.expert_dropout_rate, 0);
  for (const bool decoder : {false, true}) {
    EXPECT_EQ(settings_of(model + "moe { routing: TOP2 }").model.moe.routing(decoder),
              RoutingMethod::top2);
  }
}

TEST(SettingsTest, RecordsTheTokensOfExpertsInEachStepWhileTheyAreFew) {
  const auto interval = [](const std::string& moe, const std::string& train) {
    return settings_of("model { vocab_size: 256 num_layers: 4 } moe { " + moe + " } train { " +
                       train + " }")
        .routing_log_interval;
  };
  const std::string every_layer = "encoder_sparse_step: 1 decoder_sparse_step: 1 ";  // eight layers
  EXPECT_EQ(interval("", ""), 1);
  EXPECT_EQ(interval("num_experts: 0", "log_interval: 7"), 1);
  EXPECT_EQ(interval(every_layer + "num_experts: 128", "log_interval: 7"), 1);
  EXPECT_EQ(interval(every_layer + "num_experts: 129", "log_interval: 7"), 7);
  EXPECT_EQ(interval("num_experts: 65536", ""), 10);
  EXPECT_EQ(interval("num_experts: 65536", "log_interval: 7 routing_log_interval: 3"), 3);
  EXPECT_EQ(interval("", "log_interval: 7 routing_log_interval: 300"), 300);
}

// The names of all values of an enum in order, which must also be all of run.proto's.
template <class Ours>
void expect_names(const std::vector<std::string>& names) {
  ASSERT_EQ(option_enum(Ours{}).value_count(), static_cast<int>(names.size()));
  for (std::size_t i = 0; i < names.size(); ++i)
    EXPECT_EQ(option_name(static_cast<Ours>(i)), names[i]);
}

TEST(OptionEnums, HaveTheSameValuesAsTheProgramsOwn) {
  expect_names<RoutingMethod>({"SWITCH", "TOP2", "TOPK", "EXPERT_CHOICE", "SOFT", "HASH", "NTLB"});
  expect_names<SecondPolicy>({"RANDOM", "THRESHOLD", "ALL", "NONE"});
  expect_names<DropPolicy>({"POSITION", "PROBS", "RANDOM"});
  expect_names<LoadBalancing>({"AUX", "BIAS", "NONE"});
  expect_names<AuxLossScope>({"GROUP", "GLOBAL"});
  expect_names<AuxLossReduction>({"SUM", "MEAN"});
  expect_names<Exploration>({"INPUT_JITTER", "ARGMAX", "SAMPLE", "INPUT_DROPOUT"});
  expect_names<Activation>({"RELU", "GATED_GELU"});
  expect_names<SparsePlace>({"LAST", "SECOND"});
  expect_names<Precision>({"FLOAT32", "BFLOAT16"});
  expect_names<Recompute>({"NONE", "ATTENTION", "BLOCK"});
  expect_names<ScheduleConfig::Shape>({"RSQRT", "CONSTANT", "LINEAR", "COSINE"});
  EXPECT_EQ(option_name(RoutingMethod::ntlb), "NTLB");
  EXPECT_EQ(option_name(SecondPolicy::none), "NONE");
  EXPECT_EQ(option_name(DropPolicy::random), "RANDOM");
  EXPECT_EQ(option_name(LoadBalancing::none), "NONE");
  EXPECT_EQ(option_name(Exploration::input_dropout), "INPUT_DROPOUT");
  EXPECT_EQ(option_name(ScheduleConfig::Shape::cosine), "COSINE");
}

TEST(SettingsTest, ReadsEverySchedule) {
  using enum ScheduleConfig::Shape;
  for (const auto& [name, shape] : {std::pair("RSQRT", rsqrt), std::pair("CONSTANT", constant),
                                    std::pair("LINEAR", linear), std::pair("COSINE", cosine)}) {
    const std::string schedule = std::string("optimizer { schedule: ") + name + " }";
    EXPECT_EQ(settings_of("model { vocab_size: 256 } " + schedule).schedule.shape, shape) << name;
  }
}

TEST(SettingsTest, ReadsEveryRouting) {
  using enum RoutingMethod;
  for (const auto& [name, method] :
       {std::pair("SWITCH", switch_top1), std::pair("TOP2", top2), std::pair("TOPK", topk),
        std::pair("EXPERT_CHOICE", expert_choice), std::pair("SOFT", soft), std::pair("HASH", hash),
        std::pair("NTLB", ntlb)}) {
    const auto routing_of_decoder = [&](const std::string& option) {
      return settings_of("model { vocab_size: 256 } moe { " + option + ": " + name + " }")
          .model.moe.decoder_routing;
    };
    EXPECT_EQ(routing_of_decoder("routing"), method) << name;
    EXPECT_EQ(routing_of_decoder("routing: TOPK decoder_routing"), method) << name;
  }
}

// The i-th name belongs to the i-th value.
template <class Enum>
void expect_reads(const std::string& option, std::initializer_list<const char*> names,
                  Enum MoeConfig::*field) {
  int value = 0;
  for (const char* name : names) {
    const Settings settings =
        settings_of("model { vocab_size: 256 } moe { " + option + ": " + name + " }");
    EXPECT_EQ(settings.model.moe.*field, static_cast<Enum>(value++)) << option << " " << name;
  }
}

TEST(SettingsTest, ReadsEveryPolicyOfTheRouters) {
  expect_reads("second_policy", {"RANDOM", "THRESHOLD", "ALL", "NONE"}, &MoeConfig::second_policy);
  expect_reads("drop_policy", {"POSITION", "PROBS", "RANDOM"}, &MoeConfig::drop_policy);
  expect_reads("load_balancing", {"AUX", "BIAS", "NONE"}, &MoeConfig::load_balancing);
  expect_reads("aux_loss_scope", {"GROUP", "GLOBAL"}, &MoeConfig::aux_loss_scope);
  expect_reads("aux_loss_reduction", {"SUM", "MEAN"}, &MoeConfig::aux_loss_reduction);
  expect_reads("exploration", {"INPUT_JITTER", "ARGMAX", "SAMPLE", "INPUT_DROPOUT"},
               &MoeConfig::exploration);
}

TEST(SettingsTest, ReadsEveryUpdateRule) {
  const std::string model = "model { vocab_size: 256 } ";
  const auto adamw = std::get<AdamWConfig>(
      settings_of(model + "optimizer { name: ADAMW adam_beta1: 0.8 adam_beta2: 0.95 "
                          "adam_epsilon: 1e-6 weight_decay: 0.1 }")
          .optimizer);
  EXPECT_EQ(std::tuple(adamw.beta_1, adamw.beta_2, adamw.epsilon, adamw.weight_decay),
            std::tuple(0.8, 0.95, 1e-6, 0.1));
  const auto sgd =
      std::get<SgdConfig>(settings_of(model + "optimizer { name: SGD momentum: 0.7 }").optimizer);
  EXPECT_EQ(sgd.momentum, 0.7);
}

TEST(SettingsTest, ReadsEveryBlock) {
  const Settings settings = settings_of(R"(
      model { vocab_size: 256 d_model: 8 d_ff: 16 d_kv: 2 num_heads: 4 num_layers: 3 num_decoder_layers: 1
              activation: GATED_GELU tie_word_embeddings: false dropout_rate: 0.5 layer_norm_epsilon: 0.25
              initializer_scale: 0.75 encoder_attention: WINDOW attention_window: 9 global_tokens: 2 }
      moe { num_experts: 6 encoder_sparse_step: 3 decoder_sparse_step: 1 sparse_place: SECOND capacity_factor: 1.5
            eval_capacity_factor: 3 min_capacity: 2 dropless: true eval_dropless: false aux_loss_coef: 0.5
            z_loss_coef: 0.25 jitter_eps: 0.125 router_precision: BFLOAT16
            router_topk: 3 normalize_gates: true second_threshold: 0.375 ntlb_top_k: 5
            bias_update_rate: 0.0625 sample_temperature: 0.5 router_dropout_rate: 0.25
            expert_dropout_rate: 0.75 }
      parallel { virtual_ranks: 6 expert_replicas: 3 overlap_reduction: false exchange: TWO_LEVEL
                 exchange_chunks: 3 shard_optimizer: ON }
      data { input_length: 64 target_length: 20 noise_density: 0.25 mean_noise_span_length: 2 }
      optimizer { learning_rate: 0.5 warmup_steps: 7 decay_exponent: 0.75 clipping_threshold: 2
                  min_dim_size_to_factor: 4 schedule: CONSTANT linear_warmup_steps: 2
                  decay_steps: 30 final_ramp_steps: 5 gradient_clipping: 1.25 }
      train { batch_size: 12 steps: 9 max_minutes: 1.5 seed: 77 log_interval: 3 eval_interval: 4
              eval_samples: 5 label_smoothing: 0.25 z_loss: 0.5 accumulation_steps: 3 precision: BFLOAT16
              recompute: BLOCK tensorboard: false }
      checkpoint { interval: 8 keep_last: 6 })");
  const ModelConfig& model = settings.model;
  EXPECT_EQ(std::tuple(model.d_model, model.d_ff, model.d_kv, model.num_heads),
            std::tuple(8, 16, 2, 4));
  EXPECT_EQ(std::tuple(model.num_layers, model.num_decoder_layers), std::tuple(3, 1));
  EXPECT_EQ(std::tuple(model.encoder_sparse_step, model.decoder_sparse_step), std::tuple(3, 1));
  EXPECT_EQ(model.sparse_place, SparsePlace::second);
  EXPECT_EQ(model.activation, Activation::gated_gelu);
  EXPECT_FALSE(model.tie_word_embeddings);
  EXPECT_EQ(model.precision, Precision::bfloat16);
  EXPECT_EQ(model.recompute, Recompute::block);
  EXPECT_FALSE(settings.overlap_reduction);
  EXPECT_TRUE(settings.two_level_exchange);
  EXPECT_EQ(settings.exchange_chunks, 3);
  EXPECT_EQ(settings.shard_optimizer, Settings::ShardOptimizer::on);
  EXPECT_EQ(std::tuple(model.dropout_rate, model.layer_norm_epsilon, model.initializer_scale),
            std::tuple(0.5f, 0.25f, 0.75f));
  ASSERT_TRUE(model.encoder_window);
  EXPECT_EQ(std::tuple(model.encoder_window->reach, model.encoder_window->globals),
            std::tuple(9, 2));
  const MoeConfig& moe = model.moe;
  EXPECT_EQ(std::tuple(moe.num_experts, moe.min_capacity, moe.dropless, moe.eval_dropless),
            std::tuple(6, 2, true, false));
  EXPECT_EQ(std::tuple(moe.capacity_factor, moe.eval_capacity_factor), std::tuple(1.5, 3.0));
  EXPECT_EQ(moe.router_precision, Precision::bfloat16);
  EXPECT_EQ(std::tuple(moe.aux_loss_coef, moe.z_loss_coef, moe.jitter_eps),
            std::tuple(0.5, 0.25, 0.125));
  EXPECT_EQ(std::tuple(moe.router_topk, moe.normalize_gates, moe.second_threshold, moe.ntlb_top_k),
            std::tuple(3, true, 0.375f, 5));
  EXPECT_EQ(std::tuple(moe.bias_update_rate, moe.sample_temperature, moe.router_dropout_rate,
                       moe.expert_dropout_rate),
            std::tuple(0.0625, 0.5f, 0.25f, 0.75f));
  EXPECT_EQ(model.input_length, 64);
  EXPECT_EQ(std::tuple(model.extra_loss.label_smoothing, model.extra_loss.z_loss),
            std::tuple(0.25f, 0.5f));
  EXPECT_EQ(std::tuple(settings.virtual_ranks, settings.groups), std::tuple(6, 3));
  const SpanCorruptionConfig& spans = settings.spans;
  EXPECT_EQ(std::tuple(spans.input_length, spans.target_length, spans.noise_density,
                       spans.mean_noise_span_length),
            std::tuple(64, std::optional<std::int64_t>(20), 0.25, 2.0));
  EXPECT_EQ(std::tuple(settings.schedule.learning_rate, settings.schedule.warmup_steps),
            std::tuple(0.5, 7));
  EXPECT_EQ(std::tuple(settings.schedule.shape, settings.schedule.linear_warmup_steps,
                       settings.schedule.decay_steps, settings.schedule.final_ramp_steps),
            std::tuple(ScheduleConfig::Shape::constant, 2, 30, 5));
  EXPECT_EQ(settings.gradient_clipping, 1.25);
  const auto& adafactor = std::get<AdafactorConfig>(settings.optimizer);
  EXPECT_EQ(std::tuple(adafactor.decay_exponent, adafactor.clipping_threshold,
                       adafactor.min_dim_size_to_factor),
            std::tuple(0.75, 2.0, 4));
  EXPECT_EQ(std::tuple(settings.batch_size, settings.steps, settings.seed), std::tuple(12, 9, 77U));
  EXPECT_EQ(std::tuple(settings.accumulation_steps, settings.rows_at_once()), std::tuple(3, 4));
  EXPECT_EQ(settings.max_minutes, 1.5);
  EXPECT_EQ(std::tuple(settings.log_interval, settings.eval_interval, settings.eval_samples),
            std::tuple(3, 4, 5));
  EXPECT_FALSE(settings.tensorboard);
  EXPECT_TRUE(settings_of("model { vocab_size: 256 }").tensorboard);
  EXPECT_EQ(std::tuple(settings.checkpoint_interval, settings.keep_last), std::tuple(8, 6));
}

TEST(Settings, SharesOutTheUpdateWhereItsStateIsLarge) {
  Settings settings;
  settings.model.vocab_size = 1 << 17;
  settings.model.d_model = 1024;  // 2^27 weights in the embedding alone
  settings.optimizer = AdamWConfig{};
  EXPECT_TRUE(shards_optimizer(settings, 2));
  EXPECT_FALSE(shards_optimizer(settings, 1));
  settings.optimizer = AdafactorConfig{};
  EXPECT_FALSE(shards_optimizer(settings, 2));
  settings.shard_optimizer = Settings::ShardOptimizer::on;
  EXPECT_TRUE(shards_optimizer(settings, 2));
  EXPECT_FALSE(shards_optimizer(settings, 1));
  settings.shard_optimizer = Settings::ShardOptimizer::automatic;
  settings.optimizer = AdamWConfig{};
  settings.model.vocab_size = 1 << 10;
  EXPECT_FALSE(shards_optimizer(settings, 2));
  settings.model.vocab_size = 1 << 17;
  settings.shard_optimizer = Settings::ShardOptimizer::off;
  EXPECT_FALSE(shards_optimizer(settings, 2));
}

}  // namespace
}  // namespace switchyard
