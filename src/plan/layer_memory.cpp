#include "plan/layer_memory.hpp"

#include <algorithm>
#include <cmath>

#include "plan/capacity.hpp"
#include "plan/parameters.hpp"

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
      routed_(config_.moe.num_experts > 0 ? route(p, load) : Routed()) {}

int StackMemory::blocks() const { return block_count(config_, decoder_); }

StackMemory::Routed StackMemory::route(Rank p, Load load) const {
  const CapacityPlan plan = plan_capacity(config_, layout_, shape_, decoder_);
  const std::int64_t experts = layout_.experts(), owned = layout_.owned_experts(p).size();
  std::int64_t members = 0, group_size = layout_.virtual_ranks() / layout_.groups();
  for (const GroupId g : layout_.groups_of(p)) members += layout_.members(g).size();
  if (load == Load::worst) {
    return {.kept = ranks_ * std::min(plan.tokens, experts * plan.capacity),
            .owned = members * std::min(plan.tokens, owned * plan.capacity),
            .largest = owned > 0 ? group_size * std::min(plan.tokens, plan.capacity) : 0};
  }
  const double fair = std::min(static_cast<double>(plan.tokens) / static_cast<double>(experts),
                               static_cast<double>(plan.capacity));  // of a rank for an expert
  return {.kept = rounded_up(fair * static_cast<double>(ranks_ * experts)),
          .owned = rounded_up(fair * static_cast<double>(members * owned)),
          .largest = owned > 0 ? rounded_up(fair * static_cast<double>(group_size)) : 0};
}

std::int64_t StackMemory::matrix(std::int64_t rows, std::int64_t cols) {
  return rows * cols * static_cast<std::int64_t>(sizeof(float));
}

// [h*b*H*n, keys]
std::int64_t StackMemory::scores(std::int64_t keys) const {
  return matrix(positions_ * config_.num_heads, keys);
}

// MlpSaved; the gradients of its members take as much in backward.
std::int64_t StackMemory::mlp_saved(std::int64_t rows) const {
  return matrix(rows, config_.d_ff) * (config_.activation == Activation::gated_gelu ? 3 : 1);
}

// ResidualSaved.
std::int64_t StackMemory::residual_saved() const { return 2 * stream() + matrix(1, positions_); }

// AttentionSaved: q, context; k, v; weights.
std::int64_t StackMemory::attention_saved(std::int64_t keys) const {
  const std::int64_t width = config_.num_heads * config_.d_kv;
  return 2 * matrix(positions_, width) + 2 * matrix(ranks_ * rows_ * keys, width) + scores(keys);
}

// SwitchLayerSaved: routings, plan and exchange; the owned rows; the experts' output.
std::int64_t StackMemory::switch_saved() const {
  const std::int64_t routing = matrix(positions_, config_.moe.num_experts + 3);
  const std::int64_t per_owned_row = config_.dropout_rate > 0 ? 2 * index_bytes : index_bytes;
  const std::int64_t indices =
      index_bytes * (positions_ + routed_.kept) + per_owned_row * routed_.owned;
  return routing + indices + matrix(routed_.owned, config_.d_model) + mlp_saved(routed_.owned) +
         matrix(routed_.kept, config_.d_model);
}

std::int64_t StackMemory::saved(int block) const {
  std::int64_t bytes = residual_saved() + attention_saved(length_) + residual_saved();
  if (decoder_) bytes += residual_saved() + attention_saved(source_);
  return bytes + (config_.is_sparse(decoder_, block) ? switch_saved() : mlp_saved(positions_));
}

// d context, dq; dk, dv; the bias by distance; a pair's scores for each thread.
std::int64_t StackMemory::attention_backward(std::int64_t keys, bool self) const {
  const std::int64_t width = config_.num_heads * config_.d_kv;
  const std::int64_t copies = config_.dropout_rate > 0 ? 2 : 1;
  return 2 * matrix(positions_, width) + 2 * matrix(ranks_ * rows_ * keys, width) +
         (self ? matrix(ranks_ * rows_ * config_.num_heads, 2 * length_ - 1) : 0) +
         copies * matrix(threads_ * length_, keys);
}

// SwitchLayer::backward, moment by moment.
std::int64_t StackMemory::switch_backward() const {
  const std::int64_t d_model = config_.d_model;
  const std::int64_t kept = matrix(routed_.kept, d_model), owned = matrix(routed_.owned, d_model);
  const bool alone = layout_.processes() == 1;
  const std::int64_t reordered = alone || in_order_ ? 0 : owned;
  const std::int64_t dispatching = kept + (alone ? 0 : owned) + reordered;
  const std::int64_t computing = 2 * owned + mlp_saved(routed_.largest);
  const std::int64_t returning = 2 * owned + (alone ? 0 : kept) + reordered;
  const std::int64_t routing =
      owned + kept + matrix(rows_ * length_, d_model + config_.moe.num_experts);
  return matrix(1, positions_) + std::max({dispatching, computing, returning, routing});
}

std::int64_t StackMemory::backward(int block) const {
  std::int64_t most = attention_backward(length_, true);
  if (decoder_) most = std::max(most, attention_backward(source_, false));
  most = std::max(
      most, config_.is_sparse(decoder_, block) ? switch_backward() : mlp_saved(rows_ * length_));
  // Around each layer: dx, and where there is dropout a copy of dy.
  return most + stream() * (config_.dropout_rate > 0 ? 2 : 1);
}

}  // namespace switchyard
