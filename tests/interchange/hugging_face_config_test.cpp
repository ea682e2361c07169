// Hugging Face's config.json and this program's options: what corresponds, what is preserved, and
// what is refused and why.
#include "interchange/hugging_face_config.hpp"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "interchange/hugging_face.hpp"
#include "interchange/hugging_face_losses.hpp"
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

json exported(const RunConfig& config, const std::string& original = "",
              ElementType type = ElementType::float32) {
  return json::parse(hugging_face_config(config, original, type).text);
}

// A small Switch Transformer in the format of transformers.
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
    moe { num_experts: 4 encoder_sparse_step: 1 decoder_sparse_step: 2 aux_loss_coef: 0.0013333333333333333
          z_loss_coef: 0.0026666666666666666 jitter_eps: 0.03 })")
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
    EXPECT_EQ(exported(read(original), text), expected);
    expected["torch_dtype"] = "bfloat16";
    EXPECT_EQ(exported(read(original), text, ElementType::bfloat16), expected);
  }
  const json newer = with(a_t5, "dtype", "float16");
  EXPECT_EQ(exported(read(newer), newer.dump(), ElementType::bfloat16),
            with(a_t5, "dtype", "bfloat16"));
}

TEST(HuggingFaceConfig, ChangesWhatHasChangedSince) {
  RunConfig config = read(a_switch);
  config.mutable_moe()->set_jitter_eps(0);
  config.mutable_model()->set_dropout_rate(0.2);
  EXPECT_EQ(exported(config, a_switch.dump()),
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
    const json there = exported(config);
    const RunConfig back = read(there);
    EXPECT_EQ(exported(back, there.dump()), there);
    json anew = exported(back);
    if (there.contains("expert_capacity")) anew["expert_capacity"] = there["expert_capacity"];
    EXPECT_EQ(anew, there);
    EXPECT_EQ(back.model().activation(), model.activation());
    EXPECT_EQ(back.model().tie_word_embeddings(), model.tie_word_embeddings());
  }
}

// A capacity that no expert exceeds in either stack.
TEST(HuggingFaceConfig, TellsTheCapacityUnderWhichItWouldBeEvaluatedAlike) {
  const auto capacity = [](const std::string& lengths, const std::string& moe = "") {
    const ExportedConfig written = hugging_face_config(
        options("model { vocab_size: 256 d_kv: 8 num_decoder_layers: 4 } parallel { virtual_ranks: "
                "4 } train { batch_size: 4 } data { " +
                lengths + " } moe { num_experts: 8 " + moe + " }"),
        "", ElementType::float32);
    EXPECT_EQ(written.difference, "") << lengths << " " << moe;
    return json::parse(written.text)["expert_capacity"];
  };
  const std::string long_inputs = "input_length: 100 target_length: 20",
                    long_targets = "input_length: 20 target_length: 100",
                    equal = "input_length: 100 target_length: 100";
  EXPECT_EQ(capacity(long_inputs), 100);
  EXPECT_EQ(capacity(long_targets), 100);
  EXPECT_EQ(capacity(long_targets, "decoder_sparse_step: 0"), 20);
  EXPECT_EQ(capacity(equal, "eval_dropless: false"), 25);  // 100 x 2.0 / 8
  EXPECT_EQ(capacity(long_inputs, "eval_dropless: false decoder_sparse_step: 0"), 25);
  EXPECT_EQ(capacity(long_targets, "eval_dropless: false encoder_sparse_step: 0"), 25);
  EXPECT_EQ(capacity(equal, "eval_dropless: false eval_capacity_factor: 0.1"), 4);  // min_capacity
  // 25 of 100 tokens in the encoder, and all 4 in the decoder, for which 25 is equivalent to 4.
  EXPECT_EQ(capacity("input_length: 100 target_length: 4", "eval_dropless: false"), 25);
  EXPECT_EQ(capacity(long_inputs, "eval_dropless: false eval_capacity_factor: 8"), 100);
}

TEST(HuggingFaceConfig, SaysWhereNoCapacityEvaluatesAlike) {
  const auto difference = [](const std::string& rest) {
    return hugging_face_config(
               options("model { vocab_size: 256 d_kv: 8 num_decoder_layers: 4 } parallel { "
                       "virtual_ranks: 4 } data { input_length: 100 target_length: 40 } " +
                       rest),
               "", ElementType::float32)
        .difference;
  };
  const std::string drops = "moe { num_experts: 8 eval_dropless: false ";
  const std::string one_row = " } train { batch_size: 4 }";
  EXPECT_THAT(
      difference(drops + one_row),
      AllOf(StartsWith("expert_capacity 25 in config.json"),
            HasSubstr("25 of 100 tokens in the encoder and 10 of 40 tokens in the decoder: "),
            HasSubstr("moe.eval_dropless")));
  EXPECT_THAT(difference(drops + "decoder_sparse_step: 0 drop_policy: PROBS" + one_row),
              HasSubstr("25 of 100 tokens in the encoder, the most probable ones"));
  EXPECT_THAT(difference(drops + "decoder_sparse_step: 0 } train { batch_size: 8 }"),
              HasSubstr("50 of 200 tokens in the encoder, of 2 rows together"));
  EXPECT_EQ(difference("moe { num_experts: 8 } train { batch_size: 8 }"), "");
}

TEST(HuggingFaceConfig, KeepsAnImportedCapacityThatEvaluatesAlike) {
  RunConfig config = read(a_switch);
  const auto capacity = [&] { return exported(config, a_switch.dump())["expert_capacity"]; };
  config.mutable_data()->set_input_length(100);
  EXPECT_EQ(capacity(), 72) << "it has seen no data";
  config.mutable_data()->set_train("data");
  config.mutable_data()->set_target_length(20);
  EXPECT_EQ(capacity(), 100) << "72 would drop";
  config.mutable_data()->set_target_length(110);
  EXPECT_EQ(capacity(), 110);
  config.mutable_data()->set_input_length(72);
  config.mutable_data()->set_target_length(20);
  EXPECT_EQ(capacity(), 72);
  json silent = a_switch;
  silent.erase("expert_capacity");  // the default of Hugging Face's class is 64
  config.mutable_data()->set_input_length(64);
  EXPECT_FALSE(exported(config, silent.dump()).contains("expert_capacity"));
}

// Hugging Face's coefficient weighs the mean over a stack's sparse layers, for each stack
// separately.
TEST(HuggingFaceConfig, ConvertsTheWeightsOfTheRoutersLosses) {
  const auto expect_divided = [](int encoder_step, int decoder_step, double by) {
    const MoeOptions moe = read({{"model_type", "switch_transformers"},
                                 {"encoder_sparse_step", encoder_step},
                                 {"decoder_sparse_step", decoder_step},
                                 {"router_aux_loss_coef", 0.003},
                                 {"router_z_loss_coef", 0.001}})
                               .moe();
    EXPECT_DOUBLE_EQ(moe.aux_loss_coef(), 0.003 / by) << encoder_step << " " << decoder_step;
    EXPECT_DOUBLE_EQ(moe.z_loss_coef(), 0.001 / by) << encoder_step << " " << decoder_step;
  };
  expect_divided(2, 2, 6);  // 12 blocks per stack
  expect_divided(2, 0, 6);
  expect_divided(0, 3, 4);
  expect_divided(2, 12, 3.5);  // 7 layers, 2 means
  expect_divided(12, 12, 1);
  expect_divided(0, 0, 1);
}

TEST(HuggingFaceConfig, GivesTheWeightsOfTheRoutersLossesBack) {
  for (const int step : {1, 2, 3, 4, 5, 7, 12}) {
    for (const double weight : {0.001, 0.01, 0.007, 1.0, 0.0}) {
      const json model = {{"model_type", "switch_transformers"},
                          {"encoder_sparse_step", step},
                          {"decoder_sparse_step", 2},
                          {"router_aux_loss_coef", weight},
                          {"router_z_loss_coef", weight}};
      RunConfig config = read(model);
      for (const std::string& original : {std::string(), model.dump()}) {
        EXPECT_EQ(exported(config, original)["router_aux_loss_coef"], weight) << step;
        EXPECT_EQ(exported(config, original)["router_z_loss_coef"], weight) << step;
      }
      // As a mean over the layers of both stacks.
      config.mutable_moe()->set_aux_loss_reduction(MoeOptions::MEAN);
      config.mutable_moe()->set_z_loss_coef(2 * weight);
      EXPECT_EQ(exported(config)["router_z_loss_coef"], weight) << step;
    }
  }
}

TEST(HuggingFaceConfig, TellsWhichWeightsOfTheRoutersLossesWereConverted) {
  json model = {{"model_type", "switch_transformers"},
                {"encoder_sparse_step", 2},
                {"decoder_sparse_step", 2}};
  EXPECT_THAT(loss_notes(read(model)).conversion,
              AllOf(HasSubstr("router_z_loss_coef 0.001 became moe.z_loss_coef 0.000166667"),
                    HasSubstr("router_aux_loss_coef 0.001 became moe.aux_loss_coef 0.000166667")));
  EXPECT_EQ(loss_notes(read(model)).unequal_stacks, "");
  EXPECT_THAT(loss_notes(read(with(model, "decoder_sparse_step", 4))).unequal_stacks,
              HasSubstr("sparse layers (6) than the decoder (3)"));
  model["router_z_loss_coef"] = model["router_aux_loss_coef"] = 0.0;
  EXPECT_EQ(loss_notes(read(model)).conversion, "");
  EXPECT_EQ(loss_notes(read(a_t5)).conversion, "");
}

// Transformers 5 uses two keys where earlier versions used one.
TEST(HuggingFaceConfig, TakesTheScaleOfTheOutputsFromEitherKey) {
  const auto tied = [](const json& tie, const json& scale) {
    const json config = {
        {"model_type", "t5"}, {"tie_word_embeddings", tie}, {"scale_decoder_outputs", scale}};
    EXPECT_EQ(ties_without_scaling(config.dump(), "x"), tie != false && scale == false);
    EXPECT_EQ(exported(read(config), config.dump())["tie_word_embeddings"], tie);
    EXPECT_EQ(exported(read(config), config.dump())["scale_decoder_outputs"], scale);
    return read(config).model().tie_word_embeddings();
  };
  EXPECT_TRUE(tied(nullptr, nullptr));
  EXPECT_TRUE(tied(true, nullptr));
  EXPECT_TRUE(tied(true, true));
  EXPECT_TRUE(tied(nullptr, true));
  EXPECT_FALSE(tied(false, nullptr));
  EXPECT_FALSE(tied(false, false));
  EXPECT_FALSE(tied(true, false));
  EXPECT_THAT(error_of([&] { tied(false, true); }),
              AllOf(StartsWith("78: "), HasSubstr("scale_decoder_outputs true")));
  for (const bool both : {true, false}) {
    const json written = exported(read(with(a_t5, "tie_word_embeddings", both)));
    EXPECT_EQ(written["tie_word_embeddings"], both);
    EXPECT_EQ(written["scale_decoder_outputs"], both);
  }
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
  EXPECT_THAT(error_of([] { read(with(a_switch, "expert_capacity", 64.0)); }),
              HasSubstr("expert_capacity is 64.0"));
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
                exported(options(rest + "activation: GATED_GELU } moe { num_experts: 2 }"));
              }),
              AllOf(StartsWith("78: "), HasSubstr("model.activation")));
  EXPECT_THAT(error_of([&] { exported(options(rest + "} moe { encoder_sparse_step: 3 }")); }),
              AllOf(StartsWith("78: "), HasSubstr("moe.sparse_place")));
  for (const char* experts : {"0", "2"}) {
    const std::string window =
        rest + "encoder_attention: WINDOW } moe { num_experts: " + experts + " }";
    EXPECT_THAT(error_of([&] { exported(options(window)); }),
                AllOf(StartsWith("78: "), HasSubstr("model.encoder_attention")));
  }
}

TEST(HuggingFaceConfig, RefusesToExportRoutingsThatAreNotThere) {
  const auto export_of = [](const std::string& moe) {
    const RunConfig config =
        options("model { vocab_size: 256 d_kv: 8 num_decoder_layers: 4 } moe { num_experts: 8 " +
                moe + " }");
    return error_of([&] { exported(config); });
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
  const auto key = [&](const char* name) { return exported(config)[name]; };
  EXPECT_EQ(key("router_jitter_noise"), 0.01);
  EXPECT_EQ(key("router_aux_loss_coef"), 0.02);  // 0.01 for each of a stack's 2 sparse layers
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
