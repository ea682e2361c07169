#include "plan/operations.hpp"

#include "plan/capacity.hpp"
#include "plan/parameters.hpp"

namespace switchyard {
namespace {

constexpr std::int64_t forward_and_backward = 6;

// The shape of the attention in one row: n queries, m keys, and the number of pairs that see each
// other.
struct PairCount {
  std::int64_t queries, keys, seen;
};

void add_attention(const ModelConfig& config, std::int64_t blocks, std::int64_t rows,
                   PairCount pairs, Operations& sum) {
  const std::int64_t width = config.num_heads * config.d_kv;
  const std::int64_t kernel = config.d_model * width;
  sum.attention_kernels +=
      blocks * forward_and_backward * kernel * rows * 2 * (pairs.queries + pairs.keys);
  sum.attention_scores += blocks * 12 * rows * pairs.seen * width;
}

// The operations that recomputation adds. A forward pass is a third of a step; recomputed are
// attention's queries x keys, or everything in the blocks except the routers, whose decisions are
// kept.
std::int64_t recomputed(Recompute recompute, const Operations& sum) {
  switch (recompute) {
    case Recompute::none:
      return 0;
    case Recompute::attention:
      return sum.attention_scores / 6;
    case Recompute::block:
      return (sum.attention_kernels + sum.attention_scores + sum.feed_forward + sum.experts +
              sum.mixing) /
             3;
  }
  return 0;
}

// Rows that the experts of one sparse layer compute in a step.
std::int64_t expert_rows(const ModelConfig& config, const Layout& layout, const StepShape& shape,
                         bool decoder) {
  const CapacityPlan plan = plan_capacity(config, layout, shape, decoder);
  return layout.virtual_ranks() * shape.micro_steps * plan.most_rows(config.moe.num_experts);
}

}  // namespace

Operations count_operations(const ModelConfig& config, const Layout& layout,
                            const StepShape& shape) {
  Operations sum;
  const std::int64_t inputs = shape.real_inputs, targets = shape.real_targets;
  const std::int64_t seen =
      config.encoder_window ? config.encoder_window->visible_pairs(inputs) : inputs * inputs;
  add_attention(config, config.num_layers, shape.rows, {inputs, inputs, seen}, sum);
  add_attention(config, config.num_decoder_layers, shape.rows,
                {targets, targets, targets * targets}, sum);
  add_attention(config, config.num_decoder_layers, shape.rows, {targets, inputs, targets * inputs},
                sum);
  for (const bool decoder : {false, true}) {
    const std::int64_t positions = shape.rows * shape.real(decoder);
    const std::int64_t sparse = config.sparse_layers(decoder);
    const std::int64_t mlp = forward_and_backward * mlp_elements(config);
    sum.feed_forward += (block_count(config, decoder) - sparse) * mlp * positions;
    if (sparse == 0) continue;
    sum.experts += sparse * mlp * expert_rows(config, layout, shape, decoder);
    // The product of each position's activations with the router's columns.
    const std::int64_t logits =
        forward_and_backward * config.d_model * config.router_outputs(decoder) * positions;
    sum.routers += sparse * logits;
    if (config.moe.routing(decoder) == RoutingMethod::soft) sum.mixing += sparse * 2 * logits;
  }
  const std::int64_t kernel = config.d_model * config.vocab_size;
  sum.logits = forward_and_backward * kernel * shape.rows * targets;
  sum.recomputed = recomputed(config.recompute, sum);
  return sum;
}

}  // namespace switchyard
