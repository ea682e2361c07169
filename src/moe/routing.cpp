#include "moe/routing.hpp"

#include <utility>

#include "base/buffer.hpp"
#include "tensor/ops.hpp"

namespace switchyard {
namespace {

// Counts what tokens chose and which choices were kept.
void count_choices(const RoutingInput& input, Routing& routing) {
  RoutingStats& stats = routing.stats;
  const Selection& s = routing.selection;
  const bool one_place_is_enough = input.choice.until_placed || routing.choice;
  for (std::int64_t t = 0; t < s.tokens; ++t) {
    if (!input.real[t]) continue;
    std::int64_t made = 0, kept = 0;
    for (std::int64_t at = t; at < std::ssize(s.fate); at += s.tokens) {
      if (s.fate[at] == Fate::none || s.fate[at] == Fate::declined) continue;
      ++made;
      kept += s.fate[at] == Fate::kept;
      ++stats.tokens_per_expert[s.expert[at]];
    }
    ++stats.real_tokens;
    stats.computed += kept;
    stats.wanted += one_place_is_enough ? 1 : made;
    stats.dropped += one_place_is_enough ? kept == 0 : made - kept;
  }
}

// Counts the choices that enter f: all choices of a token, or with TOP2 only the first.
void count_for_balance(const RoutingInput& input, const Selection& selection,
                       LoadBalance& balance) {
  const std::int64_t counted = input.choice.second ? 1 : selection.choices;
  for (std::int64_t i = 0; i < counted * selection.tokens; ++i) {
    if (selection.fate[i] == Fate::none) continue;
    ++balance.chosen[selection.expert[i]];
    ++balance.choices;
  }
}

Routing route_by_tokens(Tensor<float> logits, const RoutingInput& input) {
  Tensor<float> scores;
  if (input.sampling)
    scores = sampled_scores(logits.view(), input.sample_temperature, *input.sampling);
  Routing routing;
  routing.probabilities = expert_softmax(std::move(logits), input.real, input.router.precision);
  const Probabilities& probabilities = routing.probabilities;
  if (!input.bias.empty()) scores = biased_scores(probabilities, input.bias);
  if (input.force_load_balancing) scores = round_robin_scores(probabilities.p);
  const View<const float> compared =
      scores.size() > 0 ? std::as_const(scores).view() : probabilities.p.view();
  routing.selection = choose_experts(input.choice, probabilities, compared);
  routing.balance = mean_probabilities(probabilities);
  count_for_balance(input, routing.selection, routing.balance);
  routing.stats.balance_sum = routing.balance.loss();
  return routing;
}

Routing route_by_experts(Tensor<float> logits, const RoutingInput& input) {
  ChosenTokens chosen = choose_tokens(input.expert_choice, logits.view(), input.real);
  Routing routing;
  routing.choice = std::move(chosen.choice);
  routing.selection = std::move(chosen.selection);
  routing.probabilities = expert_softmax(std::move(logits), input.real, input.router.precision);
  routing.stats.groups = std::ssize(routing.choice->real);
  routing.stats.balance_sum = routing.choice->balance_sum;
  return routing;
}

}  // namespace

Buffer<std::int32_t> Routing::first_choice() const {
  if (choice) return probabilities.top;
  return {selection.expert.begin(), selection.expert.begin() + selection.tokens};
}

Routing route(Work& work, const RoutingInput& input, std::int64_t experts) {
  Routing routing;
  if (input.method == RoutingMethod::hash) {
    routing.selection = serve_given(input.choice, {input.given.begin(), input.given.end()});
  } else if (input.method == RoutingMethod::expert_choice) {
    routing = route_by_experts(router_logits(work, input.router), input);
  } else {
    routing = route_by_tokens(router_logits(work, input.router), input);
  }
  RoutingStats& stats = routing.stats;
  stats.tokens_per_expert.assign(experts, 0);
  stats.places = routing.choice ? routing.choice->places : experts * input.choice.capacity;
  count_choices(input, routing);
  if (!has_router(input.method)) {
    stats.confidence_sum = static_cast<double>(stats.real_tokens);  // hash routing: the gate is 1
    return routing;
  }
  stats.z_sum = routing.probabilities.z_sum;
  stats.entropy_sum = routing.probabilities.entropy_sum;
  stats.confidence_sum = confidence(routing.probabilities);
  return routing;
}

void route_backward(Work& work, const RoutingInput& input, const Routing& routing,
                    std::span<const float> d_weight, RouterLossScale scale,
                    const RouterGradients& gradients) {
  if (!has_router(input.method)) return;
  const Tensor<float>& p = routing.probabilities.p;
  ProbabilityGradients d{Tensor<float>::zeros(p.rows(), p.cols()), {}, scale.z};
  if (!routing.choice) {
    d.all = routing.balance.gradient(scale.balance);
    choose_experts_backward(input.choice, routing.selection, routing.probabilities, d_weight,
                            d.p.view());
  }
  Tensor<float> d_logits = expert_softmax_backward(routing.probabilities, std::move(d));
  if (routing.choice) {
    const Tensor<float> by_tokens =
        choose_tokens_backward(input.expert_choice, *routing.choice, routing.selection, d_weight,
                               static_cast<float>(scale.balance));
    add(by_tokens.view(), d_logits.view());
  }
  router_backward(work, input.router, std::move(d_logits), gradients);
}

}  // namespace switchyard
