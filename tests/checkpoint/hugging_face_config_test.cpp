// config.json there and options here: what coincides, what is kept, what is refused and why.
#include "checkpoint/hugging_face_config.hpp"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "checkpoint/hugging_face.hpp"
#include "support/errors.hpp"

namespace switchyard {
namespace {

using nlohmann::json;
using test::error_of;
using testing::HasSubstr;
using testing::StartsWith;

RunConfig read(const json& config) {
  return read_hugging_face_config(config.dump(), "config.json");
}

RunConfig options(const std::string& text) {
  RunConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config));
  return config;
}

// A small Switch Transformer as transformers writes it.
const json a_switch = {{"model_type", "switch_transformers"},
                       {"architectures", {"SwitchTransformersForConditionalGeneration"}},
                       {"d_ff", 96},
                       {"d_kv", 12},
                       {"d_model", 48},
                       {"decoder_sparse_step", 2},
                       {"dense_act_fn", "relu"},
                       {"dropout_rate", 0.05},
                       {"encoder_sparse_step", 1},
                       {"expert_capacity", 72},
                       {"layer_norm_epsilon", 1e-6},
                       {"num_decoder_layers", 3},
                       {"num_experts", 4},
                       {"num_heads", 4},
                       {"num_layers", 2},
                       {"router_aux_loss_coef", 0.002},
                       {"router_jitter_noise", 0.03},
                       {"router_z_loss_coef", 0.004},
                       {"something_else", {{"kept", true}}},
                       {"torch_dtype", "float32"},
                       {"vocab_size", 257}};
const json a_t5 = {{"model_type", "t5"},
                   {"d_model", 64},
                   {"feed_forward_proj", "gated-gelu"},
                   {"num_layers", 3},
                   {"tie_word_embeddings", false}};

json with(json config, const char* key, const json& value) {
  config[key] = value;
  return config;
}

TEST(HuggingFaceConfig, BecomesTheOptionsOfASwitchTransformer) {
  EXPECT_EQ(read(a_switch).ShortDebugString(), options(R"(
    model { d_model: 48 d_ff: 96 d_kv: 12 num_heads: 4 num_layers: 2 num_decoder_layers: 3 vocab_size: 257
            tie_word_embeddings: true dropout_rate: 0.05 layer_norm_epsilon: 1e-6 }
    moe { num_experts: 4 encoder_sparse_step: 1 decoder_sparse_step: 2 aux_loss_coef: 0.002 z_loss_coef: 0.004
          jitter_eps: 0.03 })")
                                                   .ShortDebugString());
}

TEST(HuggingFaceConfig, BecomesTheOptionsOfAT5WithItsClassDefaults) {
  EXPECT_EQ(read(a_t5).ShortDebugString(), options(R"(
    model { d_model: 64 d_ff: 2048 d_kv: 64 num_heads: 8 num_layers: 3 num_decoder_layers: 3 vocab_size: 32128
            activation: GATED_GELU tie_word_embeddings: false dropout_rate: 0.1 layer_norm_epsilon: 1e-6 }
    moe { num_experts: 0 })")
                                               .ShortDebugString());
}

TEST(HuggingFaceConfig, HasItsClassDefaultsWhereASwitchTransformerSaysNothing) {
  const RunConfig config = read({{"model_type", "switch_transformers"}});
  EXPECT_EQ(config.model().d_model(), 768);
  EXPECT_EQ(config.moe().num_experts(), 8);
  EXPECT_EQ(config.moe().encoder_sparse_step(), 4);  // 12 blocks / 3 sparse
  EXPECT_EQ(config.moe().sparse_place(), MoeOptions::SECOND);
}

TEST(HuggingFaceConfig, CountsAStepBeforeANumberOfSparseLayers) {
  json config = a_switch;
  config.erase("decoder_sparse_step");
  for (const auto& [sparse, step] : {std::pair{1, 3}, {2, 1}, {3, 1}, {0, 0}, {9, 0}})
    EXPECT_EQ(read(with(config, "num_sparse_decoder_layers", sparse)).moe().decoder_sparse_step(),
              step);
  EXPECT_EQ(read(with(a_switch, "num_sparse_decoder_layers", 1)).moe().decoder_sparse_step(), 2);
}

TEST(HuggingFaceConfig, ComesBackAsItWas) {
  for (const json& original :
       {a_switch, with(a_switch, "encoder_sparse_step", 3),
        with(a_switch, "router_dtype", "bfloat16"), a_t5, with(a_t5, "feed_forward_proj", "relu"),
        json{{"model_type", "switch_transformers"}}}) {
    json expected = original;
    expected["torch_dtype"] = "float32";
    const std::string text = original.dump();
    EXPECT_EQ(json::parse(hugging_face_config(read(original), text, ElementType::float32)),
              expected);
    expected["torch_dtype"] = "bfloat16";
    EXPECT_EQ(json::parse(hugging_face_config(read(original), text, ElementType::bfloat16)),
              expected);
  }
  const json newer = with(a_t5, "dtype", "float16");
  EXPECT_EQ(json::parse(hugging_face_config(read(newer), newer.dump(), ElementType::bfloat16)),
            with(a_t5, "dtype", "bfloat16"));
}

TEST(HuggingFaceConfig, ChangesWhatHasChangedSince) {
  RunConfig config = read(a_switch);
  config.mutable_moe()->set_jitter_eps(0);
  config.mutable_model()->set_dropout_rate(0.2);
  EXPECT_EQ(json::parse(hugging_face_config(config, a_switch.dump(), ElementType::float32)),
            with(with(a_switch, "router_jitter_noise", 0.0), "dropout_rate", 0.2));
}

TEST(HuggingFaceConfig, OfARunIsReadBackAsItsModel) {
  for (const char* text :
       {"moe { num_experts: 4 encoder_sparse_step: 1 decoder_sparse_step: 2 }",
        "moe { num_experts: 4 encoder_sparse_step: 3 decoder_sparse_step: 5 sparse_place: SECOND }",
        "moe { num_experts: 2 encoder_sparse_step: 0 } model { tie_word_embeddings: false }",
        "moe { num_experts: 0 } model { activation: GATED_GELU }", "moe { num_experts: 0 }"}) {
    RunConfig config = options(text);
    ModelOptions& model = *config.mutable_model();
    model.set_vocab_size(256), model.set_d_kv(32), model.set_num_decoder_layers(6);
    const std::string there = hugging_face_config(config, "", ElementType::float32);
    const RunConfig back = read_hugging_face_config(there, "x");
    for (const std::string& other : {hugging_face_config(back, "", ElementType::float32),
                                     hugging_face_config(back, there, ElementType::float32)})
      EXPECT_EQ(json::parse(other), json::parse(there));
    EXPECT_EQ(back.model().activation(), model.activation());
    EXPECT_EQ(back.model().tie_word_embeddings(), model.tie_word_embeddings());
  }
}

TEST(HuggingFaceConfig, TellsTheCapacityUnderWhichItWouldBeEvaluatedAlike) {
  RunConfig config = options(
      "model { vocab_size: 256 d_kv: 8 num_decoder_layers: 4 } moe { num_experts: 8 } data { "
      "input_length: 100 }");
  const auto capacity = [&] {
    return json::parse(hugging_face_config(config, "", ElementType::float32))["expert_capacity"];
  };
  EXPECT_EQ(capacity(), 100);  // nobody is dropped
  config.mutable_moe()->set_eval_dropless(false);
  EXPECT_EQ(capacity(), 25);  // 100 x 2.0 / 8
  config.mutable_moe()->set_eval_capacity_factor(0.1);
  EXPECT_EQ(capacity(), 4);  // moe.min_capacity
}

TEST(HuggingFaceConfig, OfAModelThatIsNotHereIsRefusedWithTheKeyThatSaysSo) {
  const std::pair<json, const char*> models[] = {
      {json::object(), "model_type \"\""},
      {with(a_t5, "model_type", "bert"), "model_type \"bert\""},
      {with(a_t5, "feed_forward_proj", "gated-silu"), "feed_forward_proj gated-silu"},
      {with(a_t5, "is_encoder_decoder", false), "is_encoder_decoder false"},
      {with(a_t5, "relative_attention_num_buckets", 64), "relative_attention_num_buckets 64"},
      {with(a_t5, "relative_attention_max_distance", 64), "relative_attention_max_distance 64"},
      {with(a_t5, "decoder_start_token_id", 1), "decoder_start_token_id 1"},
      {with(a_t5, "pad_token_id", 3), "pad_token_id 3"},
      {with(a_t5, "eos_token_id", 2), "eos_token_id 2"},
      {with(a_switch, "dense_act_fn", "gelu"), "dense_act_fn \"gelu\""},
      {with(a_switch, "is_gated_act", true), "is_gated_act true"},
      {with(a_switch, "num_selected_experts", 2), "num_selected_experts 2"},
      {with(a_switch, "router_bias", true), "router_bias true"},
      {with(a_switch, "router_type", "experts_masked"), "router_type"},
      {with(a_switch, "router_dtype", "float16"), "router_dtype"},
      {with(a_switch, "num_experts", 0), "num_experts 0"},
  };
  for (const auto& [config, words] : models)
    EXPECT_THAT(error_of([&, c = config] { read(c); }),
                AllOf(StartsWith("78: "), HasSubstr(words)));
}

TEST(HuggingFaceConfig, WithValuesOfAnotherTypeIsDamaged) {
  const json wrong[] = {"8", -1, 1.5, 4294967296, true, json::array({1}), 18446744073709551615u};
  for (const json& value : wrong)
    EXPECT_THAT(error_of([&] { read(with(a_switch, "num_experts", value)); }),
                AllOf(StartsWith("65: config.json: num_experts is "), HasSubstr("whole number")));
  EXPECT_THAT(error_of([] { read(with(a_t5, "dropout_rate", "0.1")); }), HasSubstr("a number"));
  EXPECT_THAT(error_of([] { read(with(a_t5, "tie_word_embeddings", 1)); }), HasSubstr("true or"));
  EXPECT_THAT(error_of([] { read(with(a_t5, "model_type", 5)); }), HasSubstr("a text"));
  for (const char* text : {"", "[]", "{\"model_type\":\"t5\",\"model_type\":\"t5\"}",
                           "{\"model_type\":\"t5\"} x", "{\"d_ff\":NaN}", "{\"\xff\":0}"})
    EXPECT_THAT(error_of([&] { read_hugging_face_config(text, "config.json"); }),
                StartsWith("65: config.json "));
}

TEST(HuggingFaceConfig, RefusesToExportWhatThereIsNot) {
  const std::string rest = "model { vocab_size: 256 d_kv: 8 num_decoder_layers: 4 ";
  EXPECT_THAT(error_of([&] {
                hugging_face_config(
                    options(rest + "activation: GATED_GELU } moe { num_experts: 2 }"), "",
                    ElementType::float32);
              }),
              AllOf(StartsWith("78: "), HasSubstr("model.activation")));
  EXPECT_THAT(error_of([&] {
                hugging_face_config(options(rest + "} moe { encoder_sparse_step: 3 }"), "",
                                    ElementType::float32);
              }),
              AllOf(StartsWith("78: "), HasSubstr("moe.sparse_place")));
  for (const char* experts : {"0", "2"}) {
    const std::string window =
        rest + "encoder_attention: WINDOW } moe { num_experts: " + experts + " }";
    EXPECT_THAT(error_of([&] { hugging_face_config(options(window), "", ElementType::float32); }),
                AllOf(StartsWith("78: "), HasSubstr("model.encoder_attention")));
  }
}

TEST(HuggingFaceConfig, RefusesToExportRoutingsThatAreNotThere) {
  const auto export_of = [](const std::string& moe) {
    const RunConfig config =
        options("model { vocab_size: 256 d_kv: 8 num_decoder_layers: 4 } moe { num_experts: 8 " +
                moe + " }");
    return error_of([&] { hugging_face_config(config, "", ElementType::float32); });
  };
  for (const char* routing :
       {"TOP2", "TOPK router_topk: 2", "EXPERT_CHOICE", "SOFT", "HASH", "NTLB"}) {
    const std::string name = std::string(routing).substr(0, std::string(routing).find(' '));
    for (const char* option : {"routing: ", "decoder_routing: "}) {
      EXPECT_THAT(export_of(std::string(option) + routing),
                  AllOf(StartsWith("78: "), HasSubstr("(routing " + name + ")")));
    }
    EXPECT_EQ(export_of(std::string("decoder_sparse_step: 0 decoder_routing: ") + routing), "")
        << "no layer has it";
  }
  EXPECT_EQ(export_of("routing: TOPK router_topk: 1"), "");
}

TEST(HuggingFaceConfig, TellsOnlyTheJitterAndTheLossThatCount) {
  RunConfig config = options("model { vocab_size: 256 d_kv: 8 num_decoder_layers: 4 }");
  const auto key = [&](const char* name) {
    return json::parse(hugging_face_config(config, "", ElementType::float32))[name];
  };
  EXPECT_EQ(key("router_jitter_noise"), 0.01);
  EXPECT_EQ(key("router_aux_loss_coef"), 0.01);
  config.mutable_moe()->set_exploration(MoeOptions::ARGMAX);
  config.mutable_moe()->set_load_balancing(MoeOptions::LoadBalancing::NONE);
  EXPECT_EQ(key("router_jitter_noise"), 0);
  EXPECT_EQ(key("router_aux_loss_coef"), 0);
}

TEST(HuggingFaceNames, AreThoseOfItsStateDictionaries) {
  const auto both = HuggingFaceFamily::switch_transformers;
  const std::pair<const char*, const char*> names[] = {
      {"shared.embedding", "shared.weight"},
      {"logits", "lm_head.weight"},
      {"encoder.norm", "encoder.final_layer_norm.weight"},
      {"decoder.relative_bias",
       "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"},
      {"encoder.block.11.attention.q", "encoder.block.11.layer.0.SelfAttention.q.weight"},
      {"decoder.block.2.self_attention.norm", "decoder.block.2.layer.0.layer_norm.weight"},
      {"decoder.block.2.cross_attention.o", "decoder.block.2.layer.1.EncDecAttention.o.weight"},
      {"decoder.block.2.cross_attention.norm", "decoder.block.2.layer.1.layer_norm.weight"},
      {"encoder.block.0.feed_forward.norm", "encoder.block.0.layer.1.layer_norm.weight"},
      {"encoder.block.0.feed_forward.wi", "encoder.block.0.layer.1.mlp.wi.weight"},
      {"decoder.block.1.feed_forward.router",
       "decoder.block.1.layer.2.mlp.router.classifier.weight"},
      {"decoder.block.1.feed_forward.experts.15.wo",
       "decoder.block.1.layer.2.mlp.experts.expert_15.wo.weight"},
  };
  for (const auto& [here, there] : names) EXPECT_EQ(hugging_face_name(here, both), there);
  EXPECT_EQ(hugging_face_name("decoder.block.3.feed_forward.wi_1", HuggingFaceFamily::t5),
            "decoder.block.3.layer.2.DenseReluDense.wi_1.weight");
}

}  // namespace
}  // namespace switchyard
