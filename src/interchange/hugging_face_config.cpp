#include "interchange/hugging_face_config.hpp"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.hpp"
#include "files/safe_path.hpp"
#include "interchange/hugging_face_capacity.hpp"
#include "interchange/hugging_face_losses.hpp"
#include "interchange/hugging_face_stacks.hpp"
#include "interchange/strict_json.hpp"

namespace switchyard {
namespace {

using nlohmann::json;

constexpr const char* switch_type = "switch_transformers";
constexpr const char* t5_type = "t5";
constexpr std::int32_t default_capacity = 64;  // default of Hugging Face's class

bool is_switch(const RunConfig& config) {
  return hugging_face_family(config) == HuggingFaceFamily::switch_transformers;
}

// Reads keys, with the defaults of Hugging Face's class; null counts as absent.
class Keys {
 public:
  Keys(const json& object, const std::string& path) : object_(object), path_(path) {}

  std::int32_t integer(const char* key, std::int32_t otherwise) const {
    const json* const value = find(key);
    if (!value) return otherwise;
    const bool fits = value->is_number_integer() &&
                      (!value->is_number_unsigned() ||
                       value->get<std::uint64_t>() <= std::numeric_limits<std::int32_t>::max()) &&
                      value->get<std::int64_t>() >= 0;
    if (!fits) refuse(key, *value, "a whole number of at most 31 bits");
    return value->get<std::int32_t>();
  }
  double number(const char* key, double otherwise) const {
    const json* const value = find(key);
    if (value && !value->is_number()) refuse(key, *value, "a number");
    return value ? value->get<double>() : otherwise;
  }
  bool flag(const char* key, bool otherwise) const {
    const json* const value = find(key);
    if (value && !value->is_boolean()) refuse(key, *value, "true or false");
    return value ? value->get<bool>() : otherwise;
  }
  std::string text(const char* key, const std::string& otherwise) const {
    const json* const value = find(key);
    if (value && !value->is_string()) refuse(key, *value, "a text");
    return value ? value->get<std::string>() : otherwise;
  }
  bool has(const char* key) const { return find(key) != nullptr; }

  // Error(mismatch) unless the key is absent or has the only value that this program supports.
  void require(const char* key, const json& only) const {
    const json* const value = find(key);
    if (value && *value != only) refuse_model(std::string(key) + " " + shown(*value), shown(only));
  }
  [[noreturn]] void refuse_model(const std::string& what, const std::string& here) const {
    throw Error(ExitCode::mismatch, path_ + ": " + what + " is no model of this program",
                "it has " + here + " alone");
  }

 private:
  const json* find(const char* key) const {
    const auto at = object_.find(key);
    return at == object_.end() || at->is_null() ? nullptr : &*at;
  }
  static std::string shown(const json& value) { return printable(value.dump()); }
  [[noreturn]] void refuse(const char* key, const json& value, const char* demand) const {
    throw Error(ExitCode::damaged_data,
                path_ + ": " + key + " is " + shown(value) + "; it must be " + demand,
                "copy the file anew from where it came");
  }

  const json& object_;
  const std::string& path_;
};

// Conventions that models of both families must follow.
void require_conventions(const Keys& keys) {
  keys.require("is_encoder_decoder", true);
  keys.require("pad_token_id", 0);
  keys.require("eos_token_id", 1);
  keys.require("decoder_start_token_id", 0);
  keys.require("relative_attention_num_buckets", 32);
  keys.require("relative_attention_max_distance", 128);
}

struct ClassDefaults {
  std::int32_t d_model, num_layers, num_heads;
};

// Up to transformers 4, tie_word_embeddings means both that the logits use the embedding and that
// the decoder's outputs are scaled for it. Transformers 5 has scale_decoder_outputs for the latter,
// and tie_word_embeddings may be true for a model whose logits have weights of their own.
bool has_scaled_outputs(const Keys& keys) {
  const bool tied = keys.flag("tie_word_embeddings", true);
  const bool scaled = keys.flag("scale_decoder_outputs", tied);
  if (scaled && !tied)
    keys.refuse_model("scale_decoder_outputs true with tie_word_embeddings false",
                      "scaled outputs with tied embeddings");
  return scaled;
}

void read_model(const Keys& keys, const ClassDefaults& defaults, ModelOptions& model) {
  model.set_vocab_size(keys.integer("vocab_size", 32128));
  model.set_d_model(keys.integer("d_model", defaults.d_model));
  model.set_d_kv(keys.integer("d_kv", 64));
  model.set_d_ff(keys.integer("d_ff", 2048));
  model.set_num_heads(keys.integer("num_heads", defaults.num_heads));
  model.set_num_layers(keys.integer("num_layers", defaults.num_layers));
  model.set_num_decoder_layers(keys.integer("num_decoder_layers", model.num_layers()));
  model.set_dropout_rate(keys.number("dropout_rate", 0.1));
  model.set_layer_norm_epsilon(keys.number("layer_norm_epsilon", 1e-6));
  model.set_tie_word_embeddings(has_scaled_outputs(keys));
}

// An explicit sparse step takes precedence over the number of sparse layers.
std::int32_t read_step(const Keys& keys, const char* step, const char* layers,
                       std::int32_t blocks) {
  const std::int32_t sparse = keys.integer(layers, 3);
  return keys.integer(step, sparse > 0 ? blocks / sparse : 0);
}

void read_switch(const Keys& keys, RunConfig& config) {
  keys.require("dense_act_fn", "relu");
  keys.require("is_gated_act", false);
  keys.require("num_selected_experts", 1);
  keys.require("router_bias", false);
  keys.require("router_type", "tokens_masked");
  read_model(keys, {.d_model = 768, .num_layers = 12, .num_heads = 12}, *config.mutable_model());
  const ModelOptions& model = config.model();
  MoeOptions& moe = *config.mutable_moe();
  moe.set_num_experts(keys.integer("num_experts", 8));
  if (moe.num_experts() == 0) keys.refuse_model("num_experts 0", "such models as t5");
  moe.set_encoder_sparse_step(
      read_step(keys, "encoder_sparse_step", "num_sparse_encoder_layers", model.num_layers()));
  moe.set_decoder_sparse_step(read_step(keys, "decoder_sparse_step", "num_sparse_decoder_layers",
                                        model.num_decoder_layers()));
  if (std::max(moe.encoder_sparse_step(), moe.decoder_sparse_step()) > 2)
    moe.set_sparse_place(MoeOptions::SECOND);
  keys.integer("expert_capacity", default_capacity);  // an export reads it
  moe.set_jitter_eps(keys.number("router_jitter_noise", 0.01));
  moe.set_aux_loss_coef(our_loss_coefficient(keys.number("router_aux_loss_coef", 0.001), config));
  moe.set_z_loss_coef(our_loss_coefficient(keys.number("router_z_loss_coef", 0.001), config));
  const std::string precision = keys.text("router_dtype", "float32");
  if (precision == "bfloat16") moe.set_router_precision(MoeOptions::BFLOAT16);
  if (precision != "bfloat16") keys.require("router_dtype", "float32");
}

void read_t5(const Keys& keys, RunConfig& config) {
  read_model(keys, {.d_model = 512, .num_layers = 6, .num_heads = 8}, *config.mutable_model());
  config.mutable_moe()->set_num_experts(0);
  const std::string projection = keys.text("feed_forward_proj", "relu");
  if (projection == "gated-gelu") {
    config.mutable_model()->set_activation(ModelOptions::GATED_GELU);
  } else if (projection != "relu") {
    keys.refuse_model("feed_forward_proj " + printable(projection), "relu and gated-gelu");
  }
}

[[noreturn]] void refuse_export(const std::string& what) {
  throw Error(ExitCode::mismatch, "Hugging Face has no model with " + what,
              "this checkpoint can be trained and evaluated here, not exported");
}

int their_step(const MoeOptions& moe, int step, int blocks) {
  if (step <= 2 || moe.sparse_place() == MoeOptions::SECOND) return step;
  if (blocks < step) return 0;  // the last of the first `step` blocks is past the stack
  refuse_export("the last of each " + std::to_string(step) +
                " blocks sparse (moe.sparse_place LAST)");
}

// Hugging Face routes each token to its most probable expert only.
void require_their_routing(const MoeOptions& moe, MoeOptions::Routing routing) {
  const std::string name = " (routing " + MoeOptions::Routing_Name(routing) + ")";
  switch (routing) {
    case MoeOptions::SWITCH:
      return;
    case MoeOptions::TOPK:
      if (moe.router_topk() == 1) return;
      [[fallthrough]];
    case MoeOptions::TOP2:
      refuse_export("more than one expert per token" + name);
    case MoeOptions::EXPERT_CHOICE:
    case MoeOptions::SOFT:
      refuse_export("routing by whole rows" + name);
    case MoeOptions::HASH:
      refuse_export("experts chosen by a hash instead of a router" + name);
    case MoeOptions::NTLB:
      refuse_export("a next choice for a token whose expert is full" + name);
  }
}

json model_keys(const ModelOptions& model) {
  if (model.encoder_attention() != ModelOptions::FULL)
    refuse_export("a window in its encoder's attention (model.encoder_attention)");
  return {{"vocab_size", model.vocab_size()},
          {"d_model", model.d_model()},
          {"d_kv", model.d_kv()},
          {"d_ff", model.d_ff()},
          {"num_heads", model.num_heads()},
          {"num_layers", model.num_layers()},
          {"num_decoder_layers", model.num_decoder_layers()},
          {"dropout_rate", model.dropout_rate()},
          {"layer_norm_epsilon", model.layer_norm_epsilon()},
          {"scale_decoder_outputs", model.tie_word_embeddings()},
          {"tie_word_embeddings", model.tie_word_embeddings()}};
}

json switch_keys(const RunConfig& config) {
  const ModelOptions& model = config.model();
  const MoeOptions& moe = config.moe();
  if (model.activation() != ModelOptions::RELU)
    refuse_export("experts of another activation than RELU (model.activation)");
  json keys = model_keys(model);
  const int encoder = their_step(moe, moe.encoder_sparse_step(), model.num_layers());
  const int decoder = their_step(moe, moe.decoder_sparse_step(), model.num_decoder_layers());
  const SparseLayers layers = sparse_layers_of(config);
  if (layers.encoder > 0) require_their_routing(moe, moe.routing());
  if (layers.decoder > 0)
    require_their_routing(moe, moe.has_decoder_routing() ? moe.decoder_routing() : moe.routing());
  keys["num_experts"] = moe.num_experts();
  keys["encoder_sparse_step"] = encoder;
  keys["decoder_sparse_step"] = decoder;
  keys["num_sparse_encoder_layers"] = layers.encoder;
  keys["num_sparse_decoder_layers"] = layers.decoder;
  keys["router_jitter_noise"] =
      moe.exploration() == MoeOptions::INPUT_JITTER ? moe.jitter_eps() : 0;
  keys["router_aux_loss_coef"] = moe.load_balancing() == MoeOptions::LoadBalancing::AUX
                                     ? their_loss_coefficient(moe.aux_loss_coef(), config)
                                     : 0;
  keys["router_z_loss_coef"] = their_loss_coefficient(moe.z_loss_coef(), config);
  keys["router_dtype"] = moe.router_precision() == MoeOptions::BFLOAT16 ? "bfloat16" : "float32";
  return keys;
}

json t5_keys(const RunConfig& config) {
  const bool gated = config.model().activation() == ModelOptions::GATED_GELU;
  json keys = model_keys(config.model());
  keys["feed_forward_proj"] = gated ? "gated-gelu" : "relu";
  keys["dense_act_fn"] = gated ? "gelu_new" : "relu";
  keys["is_gated_act"] = gated;
  return keys;
}

// The keys that depend on the configuration.
json keys_of(const RunConfig& config) {
  return is_switch(config) ? switch_keys(config) : t5_keys(config);
}

// The keys that are the same for every model of the family.
json constant_keys(const RunConfig& config) {
  json keys = {{"decoder_start_token_id", 0},
               {"eos_token_id", 1},
               {"initializer_factor", 1.0},
               {"is_encoder_decoder", true},
               {"pad_token_id", 0},
               {"relative_attention_max_distance", 128},
               {"relative_attention_num_buckets", 32},
               {"use_cache", true}};
  keys["model_type"] = is_switch(config) ? switch_type : t5_type;
  keys["architectures"] =
      json::array({is_switch(config) ? "SwitchTransformersForConditionalGeneration"
                                     : "T5ForConditionalGeneration"});
  if (!is_switch(config)) return keys;
  keys.update({{"add_router_probs", false},
               {"dense_act_fn", "relu"},
               {"is_gated_act", false},
               {"num_selected_experts", 1},
               {"router_bias", false},
               {"router_ignore_padding_tokens", false},
               {"router_type", "tokens_masked"}});
  return keys;
}

}  // namespace

HuggingFaceFamily hugging_face_family(const RunConfig& config) {
  return config.moe().num_experts() > 0 ? HuggingFaceFamily::switch_transformers
                                        : HuggingFaceFamily::t5;
}

RunConfig read_hugging_face_config(const std::string& text, const std::string& path) {
  const json object = parse_json(text, path);
  const Keys keys(object, path);
  const std::string type = keys.text("model_type", "");
  if (type != switch_type && type != t5_type)
    keys.refuse_model("model_type \"" + printable(type) + "\"", "switch_transformers and t5");
  require_conventions(keys);
  RunConfig config;
  type == switch_type ? read_switch(keys, config) : read_t5(keys, config);
  return config;
}

bool ties_without_scaling(const std::string& text, const std::string& path) {
  const json object = parse_json(text, path);
  const Keys keys(object, path);
  return keys.flag("tie_word_embeddings", true) && !has_scaled_outputs(keys);
}

ExportedConfig hugging_face_config(const RunConfig& config, const std::string& original,
                                   ElementType type) {
  const json now = keys_of(config);
  json result;
  std::optional<std::int64_t> capacity;
  if (original.empty()) {
    result = constant_keys(config);
    result.update(now);
  } else {
    const std::string name = "the imported config.json";
    result = parse_json(original, name);
    const json before = keys_of(read_hugging_face_config(original, name));
    for (const auto& [key, value] : now.items()) {
      if (!before.contains(key) || before.at(key) != value) result[key] = value;
    }
    capacity = Keys(result, name).integer("expert_capacity", default_capacity);
  }
  std::string difference;
  if (is_switch(config)) {
    TheirCapacity theirs = their_capacity(config, capacity);
    if (theirs.tokens != capacity) result["expert_capacity"] = theirs.tokens;
    difference = std::move(theirs.difference);
  }
  const char* const dtype = result.contains("dtype") ? "dtype" : "torch_dtype";
  result[dtype] = type == ElementType::bfloat16 ? "bfloat16" : "float32";
  return {result.dump(2) + "\n", std::move(difference)};
}

std::string hugging_face_generation_config() {
  const json keys = {{"_from_model_config", true},
                     {"decoder_start_token_id", 0},
                     {"eos_token_id", 1},
                     {"pad_token_id", 0}};
  return keys.dump(2) + "\n";
}

}  // namespace switchyard
