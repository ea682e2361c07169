// Router exploration: how a router's input is perturbed in a training step, for all sparse layers
// alike.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "moe/moe_config.hpp"
#include "moe/router.hpp"
#include "step/step_context.hpp"

namespace switchyard {

// The perturbation for one routing group with token indices `index` [N]; none in evaluation.
inline std::optional<Perturbation> perturbation(const MoeConfig& config, const StepContext& context,
                                                std::uint32_t layer,
                                                std::span<const std::uint64_t> index) {
  using Kind = Perturbation::Kind;
  const bool drops = config.exploration == Exploration::input_dropout;
  const bool jitters = config.exploration == Exploration::input_jitter;
  const float amount = drops ? config.router_dropout_rate : static_cast<float>(config.jitter_eps);
  if (context.mode == Mode::evaluate || !(drops || jitters) || amount == 0) return std::nullopt;
  const Purpose purpose = drops ? Purpose::router_dropout : Purpose::router_jitter;
  return Perturbation{drops ? Kind::dropout : Kind::jitter,
                      amount,
                      {context.seed, purpose, layer, static_cast<std::uint64_t>(context.step)},
                      index};
}

}  // namespace switchyard
