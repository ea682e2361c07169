// The selection is piecewise constant, so it has no gradient and plain numbers suffice.
#include "support/routing_selection.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace switchyard::reference {
namespace {

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(what);
}

}  // namespace

void check(const RoutingProblem& q) {
  using K = RoutingKind;
  const bool token_scores = q.kind != K::hash && q.kind != K::expert_choice && q.kind != K::soft;
  require(q.E >= 1 && q.D >= 1 && q.F >= 1, "sizes");
  require(at(q.tokens()) == q.real.size() && q.x.size() == at(q.tokens() * q.D) &&
              q.dy.size() == q.x.size(),
          "real, x and dy cover all tokens");
  require(q.wi.size() == at(q.E * q.D * q.F) && q.wo.size() == q.wi.size(), "wi and wo");
  require(q.kind == K::hash || q.router.size() == at(q.D * q.router_columns()), "router");
  require(q.kind != K::hash || at(q.tokens()) == q.hash_expert.size(), "hash_expert");
  require(q.kind != K::topk || (q.k >= 1 && q.k <= q.E), "1 <= k <= E");
  require(!q.normalize_gates || (q.kind == K::topk && q.k > 1),
          "normalize_gates needs topk, k > 1");
  require(q.balance != Balance::bias || token_scores, "no bias for this routing");
  require(q.bias.empty() || at(q.E) == q.bias.size(), "bias");
  if (q.exploration == Explore::sample) {
    require(token_scores, "this routing does not sample");
    require(q.balance != Balance::bias, "sampling with a bias is not defined");
    require(q.evaluation || q.gumbel.size() == at(q.tokens() * q.E), "gumbel");
  }
}

std::vector<std::int64_t> descending(const std::vector<double>& scores) {
  std::vector<std::int64_t> order(scores.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return scores[at(a)] > scores[at(b)]; });
  return order;
}

std::vector<std::int64_t> chosen_experts(const RoutingProblem& q, std::int64_t token,
                                         const std::vector<double>& logits,
                                         const std::vector<double>& p) {
  if (q.kind == RoutingKind::hash) return {q.hash_expert[at(token)]};
  std::vector<double> scores;
  for (std::int64_t e = 0; e < q.E; ++e) {
    double score = p[at(e)];
    if (q.balance == Balance::bias && !q.bias.empty()) score += q.bias[at(e)];
    if (q.exploration == Explore::sample && !q.evaluation) {
      score = logits[at(e)] + q.temperature * q.gumbel[at(token * q.E + e)];
    }
    scores.push_back(score);
  }
  std::vector<std::int64_t> order = descending(scores);
  order.resize(at(q.choices()));
  return order;
}

bool takes_second(const RoutingProblem& q, std::int64_t token, double gate) {
  switch (q.second_policy) {
    case SecondChoice::all:
      return true;
    case SecondChoice::none:
      return false;
    case SecondChoice::threshold:
      return gate > q.second_threshold;
    case SecondChoice::random:
      return !q.evaluation ? q.second_draw.at(at(token)) < gate / q.second_threshold
                           : gate > q.second_threshold;
  }
  return false;
}

namespace {

// The group's real tokens in the order in which their choices number c are served.
std::vector<std::int64_t> service_order(const RoutingProblem& q, const RoutingResult& r,
                                        std::int64_t group, std::int64_t c) {
  std::vector<std::int64_t> tokens;
  std::vector<double> priority;
  for (std::int64_t i = 0; i < q.group_tokens(); ++i) {
    const std::int64_t token = group * q.group_tokens() + i;
    if (!q.real[at(token)]) continue;
    const std::size_t draw = at(c * q.tokens() + token);
    double first = 0;
    if (q.drop_policy == DropOrder::probs) first = r.choices[draw].weight;
    if (q.drop_policy == DropOrder::random && !q.evaluation) first = -q.drop_draw.at(draw);
    tokens.push_back(token);
    priority.push_back(first);
  }
  std::vector<std::int64_t> order;
  for (std::int64_t i : descending(priority)) order.push_back(tokens[at(i)]);
  return order;
}

}  // namespace

// All first choices are served, then all second choices, and so on: an expert takes tokens until it
// is full.
void assign_places(const RoutingProblem& q, RoutingResult& r) {
  const std::int64_t counted = q.kind == RoutingKind::top2 ? 1 : q.choices();
  std::vector<bool> routed(at(q.tokens()), false);
  for (std::int64_t group = 0; group < q.V; ++group) {
    std::vector<std::int64_t> taken(at(q.E), 0);
    for (std::int64_t c = 0; c < q.choices(); ++c) {
      for (std::int64_t token : service_order(q, r, group, c)) {
        Choice& wanted = r.choices[at(c * q.tokens() + token)];
        if (wanted.expert < 0) continue;
        if (c < counted) ++r.counts[at(group * q.E + wanted.expert)];
        if (q.kind == RoutingKind::ntlb && routed[at(token)]) continue;  // has its expert
        if (taken[at(wanted.expert)] < q.capacity) {
          ++taken[at(wanted.expert)];
          wanted.kept = routed[at(token)] = true;
        } else {
          ++r.dropped_choices[at(group)];
        }
      }
    }
    for (std::int64_t i = group * q.group_tokens(); i < (group + 1) * q.group_tokens(); ++i) {
      r.dropped_tokens[at(group)] += q.real[at(i)] && !routed[at(i)];
    }
  }
}

std::int64_t RoutingProblem::choices() const {
  switch (kind) {
    case RoutingKind::switch_top1:
    case RoutingKind::hash:
      return 1;
    case RoutingKind::top2:
      return std::min<std::int64_t>(2, E);
    case RoutingKind::topk:
      return k;
    case RoutingKind::ntlb:
      return std::min(ntlb_top_k, E);
    case RoutingKind::expert_choice:
      return E;
    case RoutingKind::soft:
      return 0;
  }
  return 0;
}

std::int64_t RoutingProblem::routing_groups() const {
  return kind == RoutingKind::expert_choice || kind == RoutingKind::soft ? V * rows : V;
}

std::int64_t RoutingProblem::expert_choice_capacity(std::int64_t n) const {
  const double share = static_cast<double>(n) * capacity_factor / static_cast<double>(E);
  return std::min(n, std::max(static_cast<std::int64_t>(std::floor(share)), min_capacity));
}

std::int64_t RoutingProblem::soft_slots(std::int64_t n) const {
  const double share = static_cast<double>(n) * capacity_factor / static_cast<double>(E);
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::floor(share)));
}

std::int64_t RoutingProblem::router_columns() const {
  return kind == RoutingKind::soft ? E * soft_slots(length) : E;
}

}  // namespace switchyard::reference
