#include "moe/routing_cases.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "moe/uniform.hpp"

namespace switchyard {
namespace {

using reference::RoutingKind;

LayerCase plain(RoutingMethod method) {
  LayerCase c;
  c.method = method;
  c.V = 3, c.E = 5, c.N = 24, c.D = 12, c.F = 16, c.rows = 2;
  c.moe.capacity_factor = 1;
  c.moe.min_capacity = 2;
  c.moe.exploration = Exploration::argmax;
  c.balance_weight = 0.1;
  return c;
}

bool has_places(const LayerCase& c) {
  return tokens_choose(c.method) || c.method == RoutingMethod::hash;
}
bool learns(const LayerCase& c) { return has_router(c.method); }
bool chooses(const LayerCase& c) { return tokens_choose(c.method); }
bool any(const LayerCase&) { return true; }

struct Change {
  const char* name;
  bool (*means_something)(const LayerCase&);
  void (*make)(LayerCase&);
};

const Change changes[] = {
    {"PaddingAndZLoss", any, [](LayerCase& c) { c.padding = true, c.z_weight = 0.05; }},
    {"Jitter", learns,
     [](LayerCase& c) {
       c.moe.exploration = Exploration::input_jitter, c.moe.jitter_eps = 0.1;
       c.padding = true, c.z_weight = 0.05;
     }},
    {"InputDropout", learns,
     [](LayerCase& c) {
       c.moe.exploration = Exploration::input_dropout, c.moe.router_dropout_rate = 0.3f;
     }},
    {"Sample", chooses,
     [](LayerCase& c) {
       c.moe.exploration = Exploration::sample, c.moe.sample_temperature = 0.7f;
       c.padding = true;
     }},
    {"Bias", chooses,
     [](LayerCase& c) {
       c.moe.load_balancing = LoadBalancing::bias, c.balance_weight = 0, c.padding = true;
     }},
    {"GlobalScope", chooses,
     [](LayerCase& c) { c.moe.aux_loss_scope = AuxLossScope::global, c.padding = true; }},
    {"DropsTheLeastProbable", has_places,
     [](LayerCase& c) { c.moe.drop_policy = DropPolicy::probs, c.padding = true; }},
    {"DropsAtRandom", has_places,
     [](LayerCase& c) {
       c.moe.drop_policy = DropPolicy::random, c.moe.capacity_factor = 0.6, c.padding = true;
     }},
    {"Evaluation", any,
     [](LayerCase& c) {
       c.mode = Mode::evaluate, c.moe.eval_dropless = false;
       c.moe.eval_capacity_factor = 0.7, c.moe.min_capacity = 1;
       c.moe.exploration = chooses(c) ? Exploration::sample : Exploration::input_jitter;
       c.moe.drop_policy = DropPolicy::random, c.moe.second_threshold = 0.35f;
     }},
    {"Dropless", has_places, [](LayerCase& c) { c.moe.dropless = true; }},
    {"ManyPlaces", any, [](LayerCase& c) { c.moe.capacity_factor = 2.5, c.padding = true; }},
    {"ThreeGroups", any, [](LayerCase& c) { c.G = 3, c.E = 4; }},
    {"AllToOneExpert", learns, [](LayerCase& c) { c.one_expert_for_all = true; }},
};

// Cases that only one routing method has.
std::vector<RoutingCase> special_cases() {
  std::vector<RoutingCase> cases;
  const auto add = [&](const char* name, RoutingMethod method,
                       const std::function<void(LayerCase&)>& change) {
    cases.push_back({name, plain(method)});
    change(cases.back().layer);
  };
  for (const auto& [name, policy] : {std::pair{"Top2TakesEverySecond", SecondPolicy::all},
                                     std::pair{"Top2TakesNoSecond", SecondPolicy::none},
                                     std::pair{"Top2TakesProbableSeconds", SecondPolicy::threshold},
                                     std::pair{"Top2DrawsSeconds", SecondPolicy::random}})
    add(name, RoutingMethod::top2, [policy = policy](LayerCase& c) {
      c.moe.second_policy = policy, c.moe.second_threshold = 0.4f, c.padding = true;
      c.z_weight = 0.05;
    });
  add("Top2OfTwo", RoutingMethod::top2, [](LayerCase& c) { c.E = 2; });
  add("TopKOfAll", RoutingMethod::topk, [](LayerCase& c) { c.moe.router_topk = c.E; });
  add("TopKOfAllNormalized", RoutingMethod::topk, [](LayerCase& c) {
    c.moe.router_topk = c.E, c.moe.normalize_gates = true, c.z_weight = 0.05;
  });
  add("TopKOfOneExpert", RoutingMethod::topk, [](LayerCase& c) { c.E = 1; });
  add("SwitchOfOneExpert", RoutingMethod::switch_top1, [](LayerCase& c) { c.E = 1; });
  add("NtlbTriesAll", RoutingMethod::ntlb, [](LayerCase& c) { c.moe.ntlb_top_k = c.E; });
  add("NtlbOfOneExpert", RoutingMethod::ntlb, [](LayerCase& c) { c.E = c.moe.ntlb_top_k = 1; });
  add("HashOfOneExpert", RoutingMethod::hash, [](LayerCase& c) { c.E = 1; });
  add("ExpertChoiceOfOneExpert", RoutingMethod::expert_choice,
      [](LayerCase& c) { c.E = 1, c.moe.capacity_factor = 0.5; });
  add("ExpertChoiceWithFewerTokensThanPlaces", RoutingMethod::expert_choice,
      [](LayerCase& c) { c.moe.min_capacity = 9, c.N = 12, c.rows = 2, c.padding = true; });
  add("SoftOfOneExpert", RoutingMethod::soft, [](LayerCase& c) { c.E = 1; });
  add("SoftWithASlotAnExpert", RoutingMethod::soft,
      [](LayerCase& c) { c.moe.capacity_factor = 0.1, c.padding = true; });
  return cases;
}

RoutingKind kind_of(RoutingMethod method) {
  switch (method) {
    case RoutingMethod::switch_top1:
      return RoutingKind::switch_top1;
    case RoutingMethod::top2:
      return RoutingKind::top2;
    case RoutingMethod::topk:
      return RoutingKind::topk;
    case RoutingMethod::expert_choice:
      return RoutingKind::expert_choice;
    case RoutingMethod::soft:
      return RoutingKind::soft;
    case RoutingMethod::hash:
      return RoutingKind::hash;
    case RoutingMethod::ntlb:
      return RoutingKind::ntlb;
  }
  return {};
}

// The enumerations of both sides have the same names, in different orders.
void translate_policies(const MoeConfig& moe, reference::RoutingProblem& q) {
  using namespace reference;
  constexpr std::pair<SecondPolicy, SecondChoice> seconds[] = {
      {SecondPolicy::random, SecondChoice::random},
      {SecondPolicy::threshold, SecondChoice::threshold},
      {SecondPolicy::all, SecondChoice::all},
      {SecondPolicy::none, SecondChoice::none}};
  constexpr std::pair<DropPolicy, DropOrder> drops[] = {{DropPolicy::position, DropOrder::position},
                                                        {DropPolicy::probs, DropOrder::probs},
                                                        {DropPolicy::random, DropOrder::random}};
  constexpr std::pair<LoadBalancing, Balance> balances[] = {{LoadBalancing::aux, Balance::aux},
                                                            {LoadBalancing::bias, Balance::bias},
                                                            {LoadBalancing::none, Balance::none}};
  constexpr std::pair<Exploration, Explore> explorations[] = {
      {Exploration::input_jitter, Explore::input_jitter},
      {Exploration::argmax, Explore::argmax},
      {Exploration::sample, Explore::sample},
      {Exploration::input_dropout, Explore::input_dropout}};
  const auto translate = [](const auto& table, auto from, auto& to) {
    for (const auto& [ours, theirs] : table)
      if (ours == from) to = theirs;
  };
  translate(seconds, moe.second_policy, q.second_policy);
  translate(drops, moe.drop_policy, q.drop_policy);
  translate(balances, moe.load_balancing, q.balance);
  translate(explorations, moe.exploration, q.exploration);
  q.scope = moe.aux_loss_scope == AuxLossScope::global ? AuxScope::global : AuxScope::group;
}

// The run's random draws for one purpose, [V*N, elements].
std::vector<double> draws(const LayerCase& c, const LayerInputs& in, Purpose purpose,
                          std::int64_t elements) {
  const RandomStream stream(layer_seed, purpose, c.layer, static_cast<std::uint64_t>(c.step));
  std::vector<double> all;
  for (const std::uint64_t token : in.index)
    for (std::int64_t i = 0; i < elements; ++i)
      all.push_back(unit_float(stream.block(token, i / 4)[i % 4]));
  return all;
}

void make_draws(const LayerCase& c, const LayerInputs& in, reference::RoutingProblem& q) {
  const MoeConfig& moe = c.moe;
  if (moe.exploration == Exploration::input_jitter) {
    for (const double u : draws(c, in, Purpose::router_jitter, c.D))
      q.input_factor.push_back(1 + moe.jitter_eps * (2 * u - 1));
  } else if (moe.exploration == Exploration::input_dropout) {
    const double rate = moe.router_dropout_rate;
    for (const double u : draws(c, in, Purpose::router_dropout, c.D))
      q.input_factor.push_back(u < rate ? 0 : 1 / (1 - rate));
  } else if (moe.exploration == Exploration::sample) {
    for (const double u : draws(c, in, Purpose::router_sample, c.E))
      q.gumbel.push_back(-std::log(-std::log(std::max(u, 1e-9))));
  }
  q.second_draw = draws(c, in, Purpose::second_choice, 1);
  const std::int64_t tokens = c.V * c.N, k = q.choices();
  const std::vector<double> tickets = draws(c, in, Purpose::drop_order, k);
  q.drop_draw.resize(tickets.size());
  for (std::int64_t t = 0; t < tokens; ++t)
    for (std::int64_t j = 0; j < k; ++j) q.drop_draw[j * tokens + t] = tickets[t * k + j];
}

}  // namespace

std::vector<RoutingCase> plain_routings() {
  std::vector<RoutingCase> cases{{"Switch", plain(RoutingMethod::switch_top1)},
                                 {"Top2", plain(RoutingMethod::top2)},
                                 {"TopK", plain(RoutingMethod::topk)},
                                 {"TopKNormalized", plain(RoutingMethod::topk)},
                                 {"Ntlb", plain(RoutingMethod::ntlb)},
                                 {"Hash", plain(RoutingMethod::hash)},
                                 {"ExpertChoice", plain(RoutingMethod::expert_choice)},
                                 {"Soft", plain(RoutingMethod::soft)}};
  cases[1].layer.moe.second_policy = SecondPolicy::all;
  cases[2].layer.moe.router_topk = 2;
  cases[3].layer.moe.router_topk = 3;
  cases[3].layer.moe.normalize_gates = true;
  cases[4].layer.moe.ntlb_top_k = 3;
  return cases;
}

std::vector<RoutingCase> routing_cases() {
  std::vector<RoutingCase> cases = plain_routings();
  for (const RoutingCase& base : plain_routings()) {
    for (const Change& change : changes) {
      if (!change.means_something(base.layer)) continue;
      cases.push_back({base.name + change.name, base.layer});
      change.make(cases.back().layer);
    }
  }
  std::ranges::copy(special_cases(), std::back_inserter(cases));
  return cases;
}

reference::RoutingProblem routing_problem(const LayerCase& c, const LayerInputs& in) {
  reference::RoutingProblem q;
  const bool training = c.mode == Mode::train;
  q.kind = kind_of(c.method);
  translate_policies(c.moe, q);
  q.temperature = c.moe.sample_temperature;
  q.second_threshold = c.moe.second_threshold;
  q.normalize_gates = c.moe.normalize_gates;
  q.evaluation = !training;
  q.k = c.moe.router_topk, q.ntlb_top_k = c.moe.ntlb_top_k;
  q.V = c.V, q.rows = c.rows, q.length = c.N / c.rows;
  q.D = c.D, q.F = c.F, q.E = c.E;
  q.capacity = group_capacity(c);
  // Its number of slots is fixed by the router.
  const bool as_in_training = training || c.method == RoutingMethod::soft;
  q.capacity_factor = as_in_training ? c.moe.capacity_factor : c.moe.eval_capacity_factor;
  q.min_capacity = c.moe.min_capacity;
  q.real.assign(in.real.begin(), in.real.end());
  q.x = widened(in.x), q.dy = widened(in.dy);
  q.aux_coef = c.balance_weight, q.z_coef = c.z_weight;
  if (has_router(c.method)) q.router = widened(in.router);
  if (c.moe.load_balancing == LoadBalancing::bias) q.bias = widened(in.bias);
  q.wi = widened(in.wi), q.wo = widened(in.wo);
  if (training) make_draws(c, in, q);
  if (c.method != RoutingMethod::hash) return q;
  const RandomStream hash(layer_seed, Purpose::hash_routing, c.layer, 0);
  for (const std::int32_t id : in.ids)
    q.hash_expert.push_back(hash.block(static_cast<std::uint64_t>(id), 0)[0] %
                            static_cast<std::uint32_t>(c.E));
  return q;
}

}  // namespace switchyard
