#include "plan/parameters.hpp"

#include "model/relative_bias.hpp"
#include "model/transformer.hpp"

namespace switchyard {

int block_count(const ModelConfig& config, bool decoder) {
  return decoder ? config.num_decoder_layers : config.num_layers;
}

std::int64_t attention_elements(const ModelConfig& config) {
  return 4 * config.d_model * config.num_heads * config.d_kv;
}

std::int64_t mlp_elements(const ModelConfig& config) {
  return (config.activation == Activation::gated_gelu ? 3 : 2) * config.d_model * config.d_ff;
}

std::int64_t router_elements(const ModelConfig& config, bool decoder) {
  return config.d_model * config.router_outputs(decoder) +
         (config.has_router_bias(decoder) ? config.moe.num_experts : 0);
}

ParameterCount count_parameters(const ModelConfig& config) {
  ParameterCount count;
  count.embedding = config.vocab_size * config.d_model;
  if (!config.tie_word_embeddings) count.logits = config.d_model * config.vocab_size;
  for (const bool decoder : {false, true}) {
    const std::int64_t blocks = block_count(config, decoder);
    const std::int64_t sparse = config.sparse_layers(decoder);
    const std::int64_t attentions = decoder ? 2 * blocks : blocks;
    count.attention +=
        attentions * attention_elements(config) + config.num_heads * relative_buckets;
    count.feed_forward += (blocks - sparse) * mlp_elements(config);
    count.routers += sparse * router_elements(config, decoder);
    count.experts += sparse * config.moe.num_experts * mlp_elements(config);
    const RoutingMethod method = config.moe.routing(decoder);
    count.active_experts +=
        sparse * mlp_elements(config) *
        (method == RoutingMethod::soft ? config.moe.num_experts  // each answer is a mean of all
                                       : experts_per_token(config.moe, method));
    count.norms += (attentions + blocks + 1) * config.d_model;
  }
  return count;
}

std::vector<TensorShape> dense_shapes(const ModelConfig& config) {
  std::vector<TensorShape> shapes;
  for (const ParamSpec& spec : parameter_specs(config, {ExpertId{0}, ExpertId{0}}))
    shapes.push_back({spec.rows, spec.cols});
  return shapes;
}

}  // namespace switchyard
