#include "model/parameters.hpp"

#include <cmath>

#include "model/relative_bias.hpp"
#include "model/transformer.hpp"

namespace switchyard {
namespace {

using Kind = Initializer::Kind;

// Builds the list of tensors in order of definition.
class SpecList {
 public:
  SpecList(const ModelConfig& config, Interval<ExpertId> owned) : config_(config), owned_(owned) {}

  void add(const std::string& name, std::int64_t rows, std::int64_t cols, Initializer init) {
    specs_.push_back({name, name, rows, cols, std::nullopt, init});
  }

  void add_stack(bool decoder) {
    const std::string stack = stack_name(decoder);
    const auto heads = static_cast<float>(config_.num_heads);
    add(stack + ".relative_bias", config_.num_heads, relative_buckets,
        {Kind::uniform, std::sqrt(6.0f / (heads + relative_buckets))});
    const int blocks = decoder ? config_.num_decoder_layers : config_.num_layers;
    for (int i = 0; i < blocks; ++i) {
      const std::string block = block_name(decoder, i);
      add_attention(block + (decoder ? ".self_attention" : ".attention"));
      if (decoder) add_attention(block + ".cross_attention");
      config_.is_sparse(decoder, i) ? add_sparse_layer(block + ".feed_forward", decoder)
                                    : add_mlp(block + ".feed_forward", std::nullopt);
      add_norm(block + ".feed_forward");
    }
    add_norm(stack);
  }

  // Truncated normal of variance initializer_scale / fan_in (Fedus et al. 2021, section 2.4).
  Initializer scaled(std::int64_t fan_in) const {
    return {Kind::truncated_normal,
            std::sqrt(config_.initializer_scale / static_cast<float>(fan_in))};
  }

  std::vector<ParamSpec> take() { return std::move(specs_); }

 private:
  static Initializer normal(std::int64_t inverse_variance) {
    return {Kind::normal, 1.0f / std::sqrt(static_cast<float>(inverse_variance))};
  }

  void add_norm(const std::string& of) { add(of + ".norm", 1, config_.d_model, {Kind::ones, 0}); }

  // T5 does not scale attention scores by 1/sqrt(K); the factor is part of the initial W_q instead.
  void add_attention(const std::string& name) {
    const std::int64_t d_model = config_.d_model, width = config_.num_heads * config_.d_kv;
    add(name + ".q", d_model, width, normal(d_model * config_.d_kv));
    add(name + ".k", d_model, width, normal(d_model));
    add(name + ".v", d_model, width, normal(d_model));
    add(name + ".o", width, d_model, normal(width));
    add_norm(name);
  }

  void add_sparse_layer(const std::string& name, bool decoder) {
    if (const std::int64_t outputs = config_.router_outputs(decoder); outputs > 0)
      add(name + ".router", config_.d_model, outputs, scaled(config_.d_model));
    if (config_.has_router_bias(decoder))
      add(name + ".router_bias", 1, config_.moe.num_experts, {Kind::zeros, 0});
    for (const ExpertId expert : owned_) add_mlp(name, expert);
  }

  void add_mlp(const std::string& layer, std::optional<ExpertId> expert) {
    const std::string place = expert ? layer + ".experts." + std::to_string(expert->value) : layer;
    const auto add_kernel = [&](const char* kernel, std::int64_t rows, std::int64_t cols) {
      specs_.push_back({place + kernel, layer + kernel, rows, cols, expert, scaled(rows)});
    };
    const bool gated = config_.activation == Activation::gated_gelu;
    add_kernel(gated ? ".wi_0" : ".wi", config_.d_model, config_.d_ff);
    if (gated) add_kernel(".wi_1", config_.d_model, config_.d_ff);
    add_kernel(".wo", config_.d_ff, config_.d_model);
  }

  const ModelConfig& config_;
  Interval<ExpertId> owned_;
  std::vector<ParamSpec> specs_;
};

}  // namespace

ParamIndex::ParamIndex(const ParamSet& params) {
  for (std::size_t i = 0; i < params.params().size(); ++i) positions_.emplace(params[i].name(), i);
}

std::string stack_name(bool decoder) { return decoder ? "decoder" : "encoder"; }

std::string block_name(bool decoder, int block) {
  return stack_name(decoder) + ".block." + std::to_string(block);
}

std::vector<ParamSpec> parameter_specs(const ModelConfig& config, Interval<ExpertId> owned) {
  SpecList list(config, owned);
  list.add("shared.embedding", config.vocab_size, config.d_model, {Kind::normal, 1});
  list.add_stack(false);
  list.add_stack(true);
  if (!config.tie_word_embeddings) {
    list.add("logits", config.d_model, config.vocab_size, list.scaled(config.d_model));
  }
  return list.take();
}

}  // namespace switchyard
