#include "support/option_space.hpp"

#include <algorithm>
#include <cassert>
#include <initializer_list>
#include <span>

#include "base/crc32c.hpp"
#include "base/philox.hpp"

namespace switchyard::test {
namespace {

using Choices = std::vector<std::string>;

auto one_of(std::initializer_list<const char*> choices) {
  return [all = Choices(choices.begin(), choices.end())](const Values&) { return all; };
}

constexpr std::int64_t most_virtual_ranks = 6;

// For each of 1 … most_virtual_ranks, the largest number not above it for which `holds` is true (at
// least 1). So a choice stands for the same number regardless of earlier options, as far as they
// allow it.
template <class Holds>
Choices numbers_where(Holds holds) {
  Choices choices;
  for (std::int64_t n = 1, largest = 1; n <= most_virtual_ranks; ++n) {
    if (holds(n)) largest = n;
    choices.push_back(std::to_string(largest));
  }
  return choices;
}

Choices virtual_ranks(const Values&) {
  return numbers_where([](std::int64_t) { return true; });
}

Choices expert_replicas(const Values& before) {
  const std::int64_t V = number(before, "parallel.virtual_ranks");
  return numbers_where([&](std::int64_t G) { return V % G == 0; });
}

Choices batch_sizes(const Values& before) {
  const std::int64_t parts =
      number(before, "parallel.virtual_ranks") * number(before, "train.accumulation_steps");
  return {std::to_string(parts), std::to_string(2 * parts), std::to_string(3 * parts)};
}

Choices head_widths(const Values& before) {
  const bool divides = number(before, "model.d_model") % number(before, "model.num_heads") == 0;
  return divides ? Choices{"3", "8", "unset"} : Choices{"3", "8"};
}

// With the densities that are drawn, span corruption never fills more target positions than there
// are inputs.
Choices target_lengths(const Values& before) {
  return {"unset", std::to_string(number(before, "data.input_length") + 3)};
}

bool falls_by_itself(const Values& before) {
  const std::string& schedule = before.at("optimizer.schedule");
  return schedule == "LINEAR" || schedule == "COSINE";
}

Choices final_ramps(const Values& before) {
  return falls_by_itself(before) ? Choices{"0"} : Choices{"0", "2"};
}

// Either after the last step, or as early as possible.
Choices decay_steps(const Values& before) {
  const std::int64_t ramps = number(before, "optimizer.linear_warmup_steps") +
                             number(before, "optimizer.final_ramp_steps");
  return {"10", std::to_string(ramps + 1)};
}

Choices process_counts(const Values& before) {
  const std::int64_t V = number(before, "parallel.virtual_ranks");
  const std::int64_t G = number(before, "parallel.expert_replicas");
  return numbers_where([&](std::int64_t R) { return R <= V && (R % G == 0 || G % R == 0); });
}

Choices stops(const Values& before) {
  Choices choices = {"0"};
  for (std::int64_t step = 1; step < number(before, "train.steps"); ++step)
    choices.push_back(std::to_string(step));
  return choices;
}

// A run evaluates where it stops; the run without a stop must evaluate there too.
Choices evaluation_intervals(const Values& before) { return {before.at("stop_after"), "1"}; }

// `choices`, but only for a run that moves to another layout.
auto after_a_stop(std::function<Choices(const Values&)> choices) {
  return [=](const Values& before) {
    return before.at("stop_after") == "0" ? Choices{"1"} : choices(before);
  };
}

// `choices`, with the first one in place of each for which `holds` is false.
template <class Holds>
Choices choices_where(Choices choices, Holds holds) {
  for (std::string& choice : choices)
    if (!holds(choice)) choice = choices.front();
  return choices;
}

bool looks_at_a_row(const std::string& routing) {
  return routing == "EXPERT_CHOICE" || routing == "SOFT";
}
bool has_places(const std::string& routing) { return !looks_at_a_row(routing); }
bool tokens_choose(const std::string& routing) { return has_places(routing) && routing != "HASH"; }

bool is_sparse(const Values& before, bool decoder) {
  const std::int64_t step =
      number(before, decoder ? "moe.decoder_sparse_step" : "moe.encoder_sparse_step");
  const bool own_depth = decoder && before.at("model.num_decoder_layers") != "unset";
  const std::int64_t blocks =
      number(before, own_depth ? "model.num_decoder_layers" : "model.num_layers");
  const std::int64_t place =
      before.at("moe.sparse_place") == "LAST" ? step - 1 : std::min(step - 1, std::int64_t{1});
  return number(before, "moe.num_experts") > 0 && step > 0 && place < blocks;
}

// The routings of the stacks that have sparse layers.
Choices routings(const Values& before) {
  Choices found;
  if (is_sparse(before, false)) found.push_back(before.at("moe.routing"));
  const std::string& decoder = before.at("moe.decoder_routing");
  if (is_sparse(before, true))
    found.push_back(decoder == "unset" ? before.at("moe.routing") : decoder);
  return found;
}

// Whether `such` holds for the routing of some stack, or there is no sparse layer.
bool some_or_none(const Values& before, bool (*such)(const std::string&)) {
  const Choices all = routings(before);
  return all.empty() || std::ranges::any_of(all, such);
}
bool none_looks_at_a_row(const Values& before) {
  return std::ranges::none_of(routings(before), looks_at_a_row);
}

Choices encoder_routings(const Values& before) {
  return choices_where({"SWITCH", "TOP2", "TOPK", "EXPERT_CHOICE", "SOFT", "HASH", "NTLB"},
                       [&](const std::string& routing) {
                         return routing != "TOP2" || number(before, "moe.num_experts") != 1;
                       });
}

Choices decoder_routings(const Values& before) {
  Choices choices = encoder_routings(before);
  if (!looks_at_a_row(before.at("moe.routing"))) choices.insert(choices.begin(), "unset");
  return choices_where(choices, [&](const std::string& routing) {
    return has_places(routing) || !is_sparse(before, true);
  });
}

// At most as many choices as there are experts.
auto choice_counts(std::initializer_list<std::int64_t> counts) {
  return [all = std::vector(counts)](const Values& before) {
    const std::int64_t experts = number(before, "moe.num_experts");
    Choices choices;
    for (const std::int64_t n : all)
      choices.push_back(std::to_string(experts > 0 ? std::min(n, experts) : n));
    return choices;
  };
}

Choices gate_normalizations(const Values& before) {
  return before.at("moe.router_topk") == "1" ? Choices{"false"} : Choices{"false", "true"};
}

Choices droplessness(const Values& before) {
  return none_looks_at_a_row(before) ? Choices{"false", "false", "true"} : Choices{"false"};
}

Choices drop_policies(const Values& before) {
  return some_or_none(before, has_places) ? Choices{"POSITION", "PROBS", "RANDOM"}
                                          : Choices{"POSITION"};
}

Choices load_balancings(const Values& before) {
  return choices_where({"AUX", "BIAS", "NONE"}, [&](const std::string& balancing) {
    return balancing != "BIAS" || some_or_none(before, tokens_choose);
  });
}

Choices aux_loss_scopes(const Values& before) {
  const bool in_one = before.at("train.accumulation_steps") == "1" || routings(before).empty();
  return in_one && some_or_none(before, tokens_choose) ? Choices{"GROUP", "GLOBAL"}
                                                       : Choices{"GROUP"};
}

Choices explorations(const Values& before) {
  return choices_where({"INPUT_JITTER", "ARGMAX", "SAMPLE", "INPUT_DROPOUT"},
                       [&](const std::string& exploration) {
                         const bool biased = before.at("moe.load_balancing") == "BIAS";
                         return exploration != "SAMPLE" || (none_looks_at_a_row(before) && !biased);
                       });
}

// Independent of the draws for other names.
std::size_t draw_below(std::size_t bound, std::uint64_t seed, const std::string& name) {
  const std::uint32_t key = crc32c(std::as_bytes(std::span(name.data(), name.size())));
  return philox({key, 0, 0, 0}, {low(seed), high(seed)})[0] % bound;
}

}  // namespace

std::int64_t number(const Values& values, const std::string& name) {
  return std::stoll(values.at(name));
}

std::vector<std::string> assignments(const Values& values) {
  std::vector<std::string> result;
  for (const auto& [name, value] : values) {
    const bool of_program = name.find('.') != std::string::npos;
    if (of_program && value != "unset") result.push_back(name + "=" + value);
  }
  return result;
}

std::vector<std::size_t> OptionSpace::draw(std::uint64_t seed) const {
  std::vector<std::size_t> row;
  Values values;
  for (const Option& option : options_) {
    const Choices choices = option.choices(values);
    row.push_back(draw_below(choices.size(), seed, option.name));
    values[option.name] = choices[row.back()];
  }
  return row;
}

Values OptionSpace::values(const std::vector<std::size_t>& row) const {
  assert(row.size() == options_.size());
  Values values;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const Choices choices = options_[i].choices(values);
    values[options_[i].name] = choices[std::min(row[i], choices.size() - 1)];
  }
  return values;
}

// Widths are small and odd, so that sweeps have remainders; a few exceed one block (64 rows of a
// column sum, 128 for a factored side). Learning rates are such that no run diverges in its few
// steps. Values listed twice are drawn twice as often.
OptionSpace run_options() {
  return OptionSpace({
      {"parallel.virtual_ranks", virtual_ranks},
      {"parallel.expert_replicas", expert_replicas},
      {"train.accumulation_steps", one_of({"1", "2", "3"})},
      {"train.batch_size", batch_sizes},
      {"train.steps", one_of({"1", "2", "3", "4"})},
      {"train.seed", one_of({"1", "2", "18446744073709551615"})},
      {"train.precision", one_of({"FLOAT32", "BFLOAT16"})},
      {"train.recompute", one_of({"NONE", "ATTENTION", "BLOCK"})},
      {"moe.router_precision", one_of({"FLOAT32", "BFLOAT16"})},
      {"train.label_smoothing", one_of({"0", "0.1"})},
      {"train.z_loss", one_of({"0", "0.01"})},
      {"train.eval_samples", one_of({"1", "5", "11"})},

      {"data.input_length", one_of({"5", "8", "21", "70"})},
      {"data.noise_density", one_of({"0.15", "0.4"})},
      {"data.mean_noise_span_length", one_of({"3", "1", "1.5"})},
      {"data.target_length", target_lengths},

      {"model.d_model", one_of({"4", "8", "13", "40"})},
      {"model.d_ff", one_of({"5", "16", "67", "130"})},
      {"model.num_heads", one_of({"1", "2", "3"})},
      {"model.d_kv", head_widths},
      {"model.num_layers", one_of({"1", "2", "3"})},
      {"model.num_decoder_layers", one_of({"1", "2", "3", "unset"})},
      {"model.activation", one_of({"RELU", "GATED_GELU"})},
      {"model.tie_word_embeddings", one_of({"true", "false"})},
      {"model.dropout_rate", one_of({"0", "0.1", "0.5"})},
      {"model.layer_norm_epsilon", one_of({"1e-6", "0.01"})},
      {"model.initializer_scale", one_of({"0.1", "1"})},
      {"model.encoder_attention", one_of({"FULL", "WINDOW"})},
      {"model.attention_window", one_of({"128", "1", "5"})},
      {"model.global_tokens", one_of({"0", "1", "5"})},

      {"moe.num_experts", one_of({"0", "1", "2", "3", "5", "8"})},
      {"moe.encoder_sparse_step", one_of({"0", "1", "1", "2"})},
      {"moe.decoder_sparse_step", one_of({"0", "1", "1", "2", "3"})},
      {"moe.sparse_place", one_of({"LAST", "SECOND"})},
      {"moe.capacity_factor", one_of({"1", "0.3", "1.25", "3"})},
      {"moe.eval_capacity_factor", one_of({"2", "0.5"})},
      {"moe.min_capacity", one_of({"0", "1", "4"})},
      {"moe.routing", encoder_routings},
      {"moe.decoder_routing", decoder_routings},
      {"moe.router_topk", choice_counts({1, 2, 8})},
      {"moe.normalize_gates", gate_normalizations},
      {"moe.second_policy", one_of({"RANDOM", "THRESHOLD", "ALL", "NONE"})},
      {"moe.second_threshold", one_of({"0.2", "0.5"})},
      {"moe.ntlb_top_k", choice_counts({1, 2, 4})},
      {"moe.dropless", droplessness},
      {"moe.eval_dropless", one_of({"true", "false"})},
      {"moe.drop_policy", drop_policies},
      {"moe.load_balancing", load_balancings},
      {"moe.bias_update_rate", one_of({"1e-3", "0.1"})},
      {"moe.aux_loss_coef", one_of({"0", "0.01", "1"})},
      {"moe.z_loss_coef", one_of({"0", "0.01"})},
      {"moe.aux_loss_scope", aux_loss_scopes},
      {"moe.aux_loss_reduction", one_of({"SUM", "MEAN"})},
      {"moe.exploration", explorations},
      {"moe.jitter_eps", one_of({"0", "0.01", "0.3"})},
      {"moe.sample_temperature", one_of({"1", "0.3"})},
      {"moe.router_dropout_rate", one_of({"0.1", "0", "0.5"})},
      {"moe.expert_dropout_rate", one_of({"unset", "0", "0.4"})},

      {"optimizer.name", one_of({"SGD", "ADAMW", "ADAFACTOR"})},
      {"optimizer.learning_rate", one_of({"0.01", "0.1"})},
      {"optimizer.schedule", one_of({"CONSTANT", "LINEAR", "COSINE", "RSQRT"})},
      {"optimizer.warmup_steps", one_of({"1", "3", "1000"})},
      {"optimizer.linear_warmup_steps", one_of({"0", "2"})},
      {"optimizer.final_ramp_steps", final_ramps},
      {"optimizer.decay_steps", decay_steps},
      {"optimizer.gradient_clipping", one_of({"0", "0.5"})},
      {"optimizer.decay_exponent", one_of({"0.8", "0.5"})},
      {"optimizer.clipping_threshold", one_of({"1", "0.1"})},
      {"optimizer.min_dim_size_to_factor", one_of({"128", "1", "6"})},
      {"optimizer.adam_beta1", one_of({"0.9", "0"})},
      {"optimizer.adam_beta2", one_of({"0.999", "0.5"})},
      {"optimizer.adam_epsilon", one_of({"1e-8", "0.001"})},
      {"optimizer.weight_decay", one_of({"0", "0.1"})},
      {"optimizer.momentum", one_of({"0", "0.9"})},

      {"checkpoint.interval", one_of({"0", "1"})},

      {"stop_after", stops},
      {"train.eval_interval", evaluation_intervals},
      {"processes_after", after_a_stop(process_counts)},
      {"threads_after", after_a_stop(one_of({"1", "2", "3"}))},
      {"processes", process_counts},
      {"threads", one_of({"1", "2", "3"})},
      {"parallel.overlap_reduction", one_of({"true", "false"})},
      {"parallel.exchange", one_of({"AUTO", "DIRECT", "TWO_LEVEL"})},
      {"parallel.exchange_chunks", one_of({"0", "1", "2", "3"})},
      {"parallel.shard_optimizer", one_of({"AUTO", "ON", "OFF"})},
  });
}

}  // namespace switchyard::test
