#include "plan/layer_memory.hpp"

#include <algorithm>
#include <cmath>

#include "comm/row_transport.hpp"
#include "model/full_attention.hpp"
#include "model/window_tiles.hpp"
#include "plan/capacity.hpp"
#include "plan/parameters.hpp"
#include "tensor/gemm.hpp"

namespace switchyard {
namespace {

constexpr std::int64_t index_bytes = 8;  // of a row number or a token index

std::int64_t rounded_up(double rows) { return static_cast<std::int64_t>(std::ceil(rows)); }

}  // namespace

StackMemory::StackMemory(const MemoryInput& input, Rank p, Load load, bool decoder)
    : config_(input.config),
      layout_(input.layout),
      shape_(input.shape),
      decoder_(decoder),
      threads_(input.threads),
      ranks_(input.layout.hosted(p).size()),
      rows_(input.shape.rows_of_rank(input.layout)),
      length_(input.shape.length(decoder)),
      positions_(ranks_ * rows_ * length_),
      source_(input.shape.input_length),
      in_order_(input.layout.groups_of(p).size() * input.layout.owned_experts(p).size() <= 1),
      chunks_(switchyard::exchange_chunks(input.layout, p, input.exchange_chunks)),
      routed_(config_.moe.num_experts > 0 ? route(p, load) : Routed()) {}

int StackMemory::blocks() const { return block_count(config_, decoder_); }

StackMemory::Routed StackMemory::route(Rank p, Load load) const {
  const CapacityPlan plan = plan_capacity(config_, layout_, shape_, decoder_);
  const std::int64_t experts = layout_.experts(), owned = layout_.owned_experts(p).size();
  const std::int64_t in_chunk = (owned + chunks_ - 1) / chunks_;  // experts
  std::int64_t members = 0, group_size = layout_.virtual_ranks() / layout_.groups();
  for (const GroupId g : layout_.groups_of(p)) members += layout_.members(g).size();
  if (load == Load::worst) {
    return {.kept = ranks_ * plan.most_rows(experts),
            .owned = members * plan.most_rows(owned),
            .largest = owned > 0 ? group_size * plan.most_rows(1) : 0,
            .chunk = members * plan.most_rows(in_chunk)};
  }
  const double fair = static_cast<double>(plan.most_rows(experts)) /
                      static_cast<double>(experts);  // of one virtual rank for one expert
  return {.kept = rounded_up(fair * static_cast<double>(ranks_ * experts)),
          .owned = rounded_up(fair * static_cast<double>(members * owned)),
          .largest = owned > 0 ? rounded_up(fair * static_cast<double>(group_size)) : 0,
          .chunk = rounded_up(fair * static_cast<double>(members * in_chunk))};
}

std::int64_t StackMemory::floats(std::int64_t rows, std::int64_t cols) {
  return rows * cols * static_cast<std::int64_t>(sizeof(float));
}

std::int64_t StackMemory::inputs(std::int64_t rows, std::int64_t cols) const {
  return rows * cols * config_.input_bytes();
}

std::int64_t StackMemory::product_rooms(std::int64_t m, std::int64_t n, std::int64_t k) const {
  const Precision precision = config_.precision;
  return threads_ * std::max({product_room(precision, m, n, k), product_room(precision, m, k, n),
                              product_room(precision, k, n, m)});
}

// MlpSaved. In backward, the gradients of its members take the same amount.
std::int64_t StackMemory::mlp_saved(std::int64_t rows) const {
  return inputs(rows, config_.d_ff) * (config_.activation == Activation::gated_gelu ? 3 : 1);
}

// ResidualSaved: h, x, inverse_rms.
std::int64_t StackMemory::residual_saved() const {
  return stream() + rounded() + floats(1, positions_);
}

StackMemory::Attended StackMemory::itself() const {
  if (decoder_ || !config_.encoder_window) return all_of(length_);
  const WindowTiles tiles(*config_.encoder_window, length_);
  return {.keys = length_,
          .scores = tiles.elements(),
          .at_once = tiles.most_elements(),
          .brought = 2 * tiles.most_keys() * config_.d_kv,
          .summed = rounds() ? 2 * length_ * config_.d_kv : 0};
}

StackMemory::Attended StackMemory::source() const { return all_of(source_); }

// Gathered by a thread: q, d context and dq; k and v; and dk and dv, unless these are summed over
// several blocks of queries.
StackMemory::Attended StackMemory::all_of(std::int64_t keys) const {
  const std::int64_t queries = queries_at_once(length_, keys), d_kv = config_.d_kv;
  const bool one_block = queries == length_;
  Attended attended{.keys = keys, .scores = length_ * keys, .at_once = queries * keys};
  if (!rounds()) return attended;
  attended.brought = (3 * length_ + 2 * keys) * d_kv;
  (one_block ? attended.brought : attended.summed) += 2 * keys * d_kv;
  return attended;
}

// AttentionSaved: q, context; k, v; weights.
std::int64_t StackMemory::attention_saved(const Attended& attended) const {
  const std::int64_t width = config_.num_heads * config_.d_kv, rows = ranks_ * rows_;
  const std::int64_t weights =
      recomputes(Recompute::attention) ? 0 : inputs(rows * config_.num_heads, attended.scores);
  return 2 * inputs(positions_, width) + 2 * inputs(rows * attended.keys, width) + weights;
}

// Choices that are stored per token.
std::int64_t StackMemory::choices() const {
  switch (method()) {
    case RoutingMethod::top2:
      return 2;
    case RoutingMethod::ntlb:
      return config_.moe.ntlb_top_k;
    default:
      return experts_per_token(config_.moe, method());
  }
}

// Routing: probabilities over experts, the logsumexp and the largest; where experts choose, also
// the probabilities over tokens and their mean. SoftMixture: both softmaxes over slots.
std::int64_t StackMemory::probabilities() const {
  const std::int64_t outputs = config_.router_outputs(decoder_);
  switch (method()) {
    case RoutingMethod::hash:
      return 0;
    case RoutingMethod::expert_choice:
      return floats(positions_, 2 * outputs + 3);
    case RoutingMethod::soft:
      return floats(positions_, 2 * outputs + 2);
    default:
      return floats(positions_, outputs + 2);
  }
}

// What is left after keep_decisions: routings (for each choice its expert, weight and fate) or
// mixtures, dispatch plan and exchange.
std::int64_t StackMemory::decisions() const {
  const bool indexed = config_.moe.expert_dropout_rate > 0;
  const std::int64_t planned =
      is_soft() ? index_bytes * slots() : (index_bytes + 9) * choices() * positions_;
  return probabilities() + planned + index_bytes * routed_.kept +
         (indexed ? 2 : 1) * index_bytes * routed_.owned;
}

// SwitchLayerSaved: decisions, the owned rows, their hidden units and the experts' outputs.
std::int64_t StackMemory::switch_saved() const {
  return decisions() + inputs(routed_.owned, config_.d_model) + mlp_saved(routed_.owned) +
         inputs(routed_.kept, config_.d_model);
}

std::int64_t StackMemory::block_saved(int block) const {
  std::int64_t bytes = residual_saved() + attention_saved(itself()) + residual_saved();
  if (decoder_) bytes += residual_saved() + attention_saved(source());
  return bytes + (config_.is_sparse(decoder_, block) ? switch_saved() : mlp_saved(positions_));
}

std::int64_t StackMemory::saved(int block) const {
  if (!recomputes(Recompute::block)) return block_saved(block);
  return stream() + (config_.is_sparse(decoder_, block) ? decisions() : 0);
}

// dy rounded; d context and dq; dk and dv; the bias gradient by distance. Per thread: the matrices
// of d scores, of dropped-out weights if there is dropout, and of weights if they are recomputed;
// in BFLOAT16 the f32 matrices from which these are rounded; what it gathers and sums.
std::int64_t StackMemory::attention_backward(const Attended& attended, bool self) const {
  const std::int64_t width = config_.num_heads * config_.d_kv, rows = ranks_ * rows_;
  const bool again = recomputes(Recompute::attention);
  const std::int64_t rounded_of_thread = rounds() ? (again ? 2 : 1) : 0;
  const std::int64_t inputs_of_thread = 1 + (config_.dropout_rate > 0 ? 1 : 0) + (again ? 1 : 0);
  return (rounds() ? rounded() : 0) + 2 * inputs(positions_, width) +
         2 * inputs(rows * attended.keys, width) +
         (self ? floats(rows * config_.num_heads, 2 * length_ - 1) : 0) +
         floats(threads_, rounded_of_thread * attended.at_once + attended.summed) +
         std::max(inputs(threads_, inputs_of_thread * attended.at_once + attended.brought),
                  product_rooms(rows_ * length_, width, config_.d_model));
}

// dy rounded, and the gradients of one virtual rank at a time.
std::int64_t StackMemory::dense_backward() const {
  return (rounds() ? rounded() : 0) + mlp_saved(rows_ * length_) +
         product_rooms(rows_ * length_, config_.d_ff, config_.d_model);
}

// RemoteExperts::backward, stage by stage; the gradients of the rows sent are its input and output.
std::int64_t StackMemory::experts_backward() const {
  const std::int64_t d_model = config_.d_model;
  const std::int64_t kept = inputs(routed_.kept, d_model), owned = inputs(routed_.owned, d_model);
  const std::int64_t owned_f32 = floats(routed_.owned, d_model);
  const bool alone = layout_.processes() == 1;
  if (chunks_ > 1) return experts_backward_in_chunks();
  const std::int64_t reordered = alone || in_order_ ? 0 : owned;
  const std::int64_t dispatching = kept + (alone ? 0 : owned) + reordered;
  const std::int64_t computing = owned + owned_f32 + mlp_saved(routed_.largest) +
                                 product_rooms(routed_.largest, config_.d_ff, d_model);
  const std::int64_t rounding = rounds() ? owned + owned_f32 + owned : 0;
  const std::int64_t returning = 2 * owned + (alone ? 0 : kept) + reordered;
  return std::max({dispatching, computing, rounding, returning});
}

// The same with several chunks: while one is computed, gradients of others arrive and leave. Before
// the last, all that was sent is still held on both sides.
std::int64_t StackMemory::experts_backward_in_chunks() const {
  const std::int64_t d_model = config_.d_model;
  const std::int64_t kept = inputs(routed_.kept, d_model), owned = inputs(routed_.owned, d_model);
  const std::int64_t arriving = kept + owned + (in_order_ ? 0 : owned), leaving = owned + kept;
  const std::int64_t computed = inputs(routed_.chunk, d_model);
  const std::int64_t computing =
      floats(routed_.chunk, d_model) +
      std::max(rounds() ? computed : 0,
               mlp_saved(routed_.largest) + product_rooms(routed_.largest, config_.d_ff, d_model));
  const std::int64_t first = arriving + std::max(computing, leaving + computed);
  const std::int64_t between = chunks_ > 2 ? arriving + leaving + computing : 0;
  return std::max({first, between, owned + leaving + computing});
}

// For one virtual rank, the router's input where it is a copy: widened, perturbed or rounded.
std::int64_t StackMemory::router_inputs() const {
  const MoeConfig& moe = config_.moe;
  const bool perturbs =
      (moe.exploration == Exploration::input_jitter && moe.jitter_eps > 0) ||
      (moe.exploration == Exploration::input_dropout && moe.router_dropout_rate > 0);
  const bool own = perturbs || moe.router_precision == Precision::bfloat16;
  return floats(rows_ * length_, config_.d_model) * ((own ? 1 : 0) + (rounds() ? 1 : 0));
}

// SwitchLayer::backward: d weights of the choices, then either the experts' backward or the
// routers' d logits.
std::int64_t StackMemory::switch_backward() const {
  const std::int64_t logits = floats(rows_ * length_, config_.router_outputs(decoder_)) *
                              (method() == RoutingMethod::expert_choice ? 2 : 1);
  const std::int64_t routing = inputs(routed_.kept, config_.d_model) + router_inputs() + logits;
  return floats(choices(), positions_) +
         std::max(experts_backward(), has_router(method()) ? routing : 0);
}

// SoftLayer::backward: d answers, then either the experts' backward, or the answers, d slots and
// the gradients of both softmaxes.
std::int64_t StackMemory::soft_backward() const {
  const std::int64_t of_slots = floats(slots(), config_.d_model);
  const std::int64_t mixing = inputs(routed_.kept, config_.d_model) + 2 * of_slots +
                              router_inputs() +
                              2 * floats(rows_ * length_, config_.router_outputs(decoder_));
  return of_slots + std::max(experts_backward(), mixing);
}

std::int64_t StackMemory::feed_forward_backward(int block) const {
  if (!config_.is_sparse(decoder_, block)) return dense_backward();
  return is_soft() ? soft_backward() : switch_backward();
}

std::int64_t StackMemory::backward(int block) const {
  std::int64_t most = attention_backward(itself(), true);
  if (decoder_) most = std::max(most, attention_backward(source(), false));
  most = std::max(most, feed_forward_backward(block));
  // Around each layer: dx, and with dropout a copy of dy. Also everything that is recomputed.
  return most + stream() * (config_.dropout_rate > 0 ? 2 : 1) + block_saved(block) - saved(block);
}

}  // namespace switchyard
