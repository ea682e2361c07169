#include "config/validate.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "config/option_enums.hpp"
#include "config/option_fields.hpp"
#include "data/example_file.hpp"
#include "data/span_corruption.hpp"

namespace switchyard {
namespace {

// Collects sentences about what is wrong; each rule below takes one line. A rule applies to options
// that are set or have a default, and no rule accepts NaN or infinity.
class Problems {
 public:
  explicit Problems(const RunConfig& config)
      : config_(config), options_(option_fields(*RunConfig::descriptor())) {}

  void require(bool holds, const std::string& sentence) {
    if (!holds) sentences_ += (sentences_.empty() ? "" : "\n  ") + sentence;
  }
  void at_least(double low, const std::string& path) {
    check(path, "at least " + plain(low), [=](double x) { return x >= low; });
  }
  void within(double low, double high, const std::string& path) {
    check(path, plain(low) + " to " + plain(high), [=](double x) { return low <= x && x <= high; });
  }
  void positive(const std::string& path) {
    check(path, "above 0", [](double x) { return x > 0; });
  }
  void share_below_one(const std::string& path) {
    check(path, "at least 0 and below 1", [](double x) { return 0 <= x && x < 1; });
  }
  void between_zero_and_one(const std::string& path) {
    check(path, "above 0 and below 1", [](double x) { return 0 < x && x < 1; });
  }

  const std::string& sentences() const { return sentences_; }

 private:
  static std::string plain(double whole) { return std::to_string(static_cast<int>(whole)); }

  template <class Rule>
  void check(const std::string& path, const std::string& demand, Rule holds) {
    const auto option = std::find_if(options_.begin(), options_.end(),
                                     [&](const OptionField& o) { return o.path == path; });
    assert(option != options_.end());
    const std::string text = value_text(config_, *option);
    if (text == "unset") return;
    const double value = std::stod(text);
    const bool finite = std::isfinite(value);
    require(finite && holds(value),
            path + " is " + text + "; it must be " + (finite ? demand : "a finite number"));
  }

  const RunConfig& config_;
  std::vector<OptionField> options_;
  std::string sentences_;
};

// Larger than any model that could be trained, and small enough that products of sizes do not
// overflow.
constexpr double largest_width = 1 << 20, most_layers = 1 << 12, most_experts = 1 << 16,
                 most_rows = 1 << 20;

void check_model(const ModelOptions& model, Problems& problems) {
  for (const char* width : {"model.d_model", "model.d_ff", "model.d_kv", "model.num_heads"}) {
    problems.within(1, largest_width, width);
  }
  problems.within(1, most_layers, "model.num_layers");
  problems.within(1, most_layers, "model.num_decoder_layers");
  problems.at_least(1, "model.vocab_size");
  problems.require(
      model.has_d_kv() || model.num_heads() < 1 || model.d_model() % model.num_heads() == 0,
      "model.d_model (" + std::to_string(model.d_model()) +
          ") is not a multiple of model.num_heads (" + std::to_string(model.num_heads()) +
          "), and model.d_kv, the width of a head, is not set");
  problems.at_least(1, "model.attention_window");
  problems.at_least(0, "model.global_tokens");
  problems.share_below_one("model.dropout_rate");
  problems.positive("model.layer_norm_epsilon");
  problems.positive("model.initializer_scale");
}

void check_window(const ModelOptions& model, const DataOptions& data, Problems& problems) {
  problems.require(model.encoder_attention() == ModelOptions::FULL ||
                       model.global_tokens() <= data.input_length(),
                   "model.global_tokens (" + std::to_string(model.global_tokens()) +
                       ") are more than the positions of a row, data.input_length (" +
                       std::to_string(data.input_length()) + ")");
}

void check_moe_numbers(Problems& problems) {
  problems.within(0, most_experts, "moe.num_experts");
  for (const char* count : {"moe.encoder_sparse_step", "moe.decoder_sparse_step",
                            "moe.min_capacity", "moe.aux_loss_coef", "moe.z_loss_coef"}) {
    problems.at_least(0, count);
  }
  problems.positive("moe.capacity_factor");
  problems.positive("moe.eval_capacity_factor");
  for (const char* share : {"moe.jitter_eps", "moe.router_dropout_rate", "moe.expert_dropout_rate"})
    problems.share_below_one(share);
  for (const char* positive :
       {"moe.second_threshold", "moe.bias_update_rate", "moe.sample_temperature"}) {
    problems.positive(positive);
  }
}

// The routing methods that the model's sparse layers use. Options of unused methods are not checked
// for consistency: an option without effect does no harm.
class Routings {
 public:
  explicit Routings(const RunConfig& config) {
    const MoeOptions& moe = config.moe();
    const ModelOptions& model = config.model();
    const int decoder_layers =
        model.has_num_decoder_layers() ? model.num_decoder_layers() : model.num_layers();
    if (has_sparse_layer(moe, moe.encoder_sparse_step(), model.num_layers()))
      encoder_ = from_option<RoutingMethod>(moe.routing());
    if (has_sparse_layer(moe, moe.decoder_sparse_step(), decoder_layers))
      decoder_ = from_option<RoutingMethod>(moe.has_decoder_routing() ? moe.decoder_routing()
                                                                      : moe.routing());
  }

  std::optional<RoutingMethod> decoder() const { return decoder_; }
  bool empty() const { return !encoder_ && !decoder_; }

  template <class Property>
  bool any(Property holds) const {
    return (encoder_ && holds(*encoder_)) || (decoder_ && holds(*decoder_));
  }
  bool have(RoutingMethod routing) const {
    return any([=](RoutingMethod other) { return other == routing; });
  }

 private:
  // Places sparse layers like ModelConfig::is_sparse.
  static bool has_sparse_layer(const MoeOptions& moe, int step, int blocks) {
    const int first = moe.sparse_place() == MoeOptions::LAST ? step - 1 : std::min(1, step - 1);
    return moe.num_experts() > 0 && step > 0 && first < blocks;
  }

  std::optional<RoutingMethod> encoder_, decoder_;
};

void check_row_routings(const RunConfig& config, const Routings& routings, Problems& problems) {
  const MoeOptions& moe = config.moe();
  if (!routings.any(sees_whole_row)) return;
  if (routings.decoder() && sees_whole_row(*routings.decoder())) {
    problems.require(
        false, std::string(moe.has_decoder_routing() ? "moe.decoder_routing" : "moe.routing") +
                   " " + option_name(*routings.decoder()) +
                   " looks at all of a row, so the decoder would see the future; "
                   "set moe.decoder_routing=SWITCH");
  }
  const std::string name =
      routings.have(RoutingMethod::soft) ? "moe.routing SOFT" : "moe.routing EXPERT_CHOICE";
  problems.require(!moe.dropless(), "moe.dropless is true, but " + name +
                                        " has as many places as moe.capacity_factor says");
  problems.require(moe.exploration() != MoeOptions::SAMPLE,
                   "moe.exploration SAMPLE draws experts for a token, but with " + name +
                       " tokens do not choose");
  problems.require(moe.drop_policy() == MoeOptions::DropPolicy::POSITION ||
                       routings.any(std::not_fn(sees_whole_row)),
                   "moe.drop_policy is " + MoeOptions::DropPolicy::Value_Name(moe.drop_policy()) +
                       ", but " + name + " turns no token away");
  problems.require(!routings.have(RoutingMethod::soft) ||
                       config.data().input_length() * moe.capacity_factor() <= most_rows,
                   "data.input_length (" + std::to_string(config.data().input_length()) +
                       ") times moe.capacity_factor makes more slots a row than " +
                       std::to_string(static_cast<int>(most_rows)));
}

void check_choices(const MoeOptions& moe, const Routings& routings, Problems& problems) {
  const bool topk = routings.have(RoutingMethod::topk), ntlb = routings.have(RoutingMethod::ntlb);
  problems.within(1, topk ? moe.num_experts() : most_experts, "moe.router_topk");
  problems.within(1, ntlb ? moe.num_experts() : most_experts, "moe.ntlb_top_k");
  problems.require(!topk || !moe.normalize_gates() || moe.router_topk() != 1,
                   "moe.normalize_gates is true, but moe.router_topk is 1: a gate that is always "
                   "1 teaches the router nothing");
  if (routings.have(RoutingMethod::top2)) {
    problems.require(moe.num_experts() >= 2, "moe.num_experts is " +
                                                 std::to_string(moe.num_experts()) +
                                                 ", but moe.routing TOP2 needs 2 experts");
  }
}

void check_balance(const RunConfig& config, const Routings& routings, Problems& problems) {
  const MoeOptions& moe = config.moe();
  const bool choose = routings.any(tokens_choose);
  if (moe.load_balancing() == MoeOptions::LoadBalancing::BIAS) {
    problems.require(choose || routings.empty(),
                     "moe.load_balancing is BIAS, but no layer has a router by which tokens choose "
                     "(moe.routing SWITCH, TOP2, TOPK or NTLB)");
    problems.require(!choose || moe.exploration() != MoeOptions::SAMPLE,
                     "moe.load_balancing BIAS chooses by biased probabilities and "
                     "moe.exploration SAMPLE by drawn ones; take one of them");
  }
  if (moe.aux_loss_scope() == MoeOptions::GLOBAL) {
    problems.require(choose || routings.empty(),
                     "moe.aux_loss_scope is GLOBAL, but no layer has a load-balancing loss "
                     "(moe.routing SWITCH, TOP2, TOPK or NTLB)");
    problems.require(!choose || config.train().accumulation_steps() <= 1,
                     "moe.aux_loss_scope GLOBAL needs the counts of the whole step before its "
                     "first backward pass, but train.accumulation_steps is " +
                         std::to_string(config.train().accumulation_steps()));
  }
}

void check_moe(const RunConfig& config, Problems& problems) {
  check_moe_numbers(problems);
  const Routings routings(config);
  check_row_routings(config, routings, problems);
  check_choices(config.moe(), routings, problems);
  check_balance(config, routings, problems);
}

void check_example_files(const DataOptions& data, Problems& problems) {
  const bool examples = is_example_file(data.train());
  problems.require(!examples || data.has_target_length(),
                   "data.target_length is not set; with a file of examples it is the decoder "
                   "positions of a row");
  problems.require(
      data.train().empty() || !data.has_validation() ||
          is_example_file(data.validation()) == examples,
      "data.train (" + data.train() + ") and data.validation (" + data.validation() +
          ") are of two kinds; both are prepared data, or both files of examples (.jsonl)");
  problems.require(data.train().empty() || examples || !data.has_tokenizer(),
                   "data.tokenizer is set, but data.train (" + data.train() +
                       ") is prepared data, which has its own");
}

void check_data(const DataOptions& data, Problems& problems) {
  problems.within(1, most_rows, "data.input_length");
  problems.within(1, most_rows, "data.target_length");
  problems.between_zero_and_one("data.noise_density");
  problems.at_least(1, "data.mean_noise_span_length");
  check_example_files(data, problems);
}

void check_schedule(const OptimizerOptions& optimizer, Problems& problems) {
  problems.positive("optimizer.learning_rate");
  problems.at_least(1, "optimizer.warmup_steps");
  problems.at_least(0, "optimizer.linear_warmup_steps");
  problems.at_least(1, "optimizer.decay_steps");
  problems.at_least(0, "optimizer.final_ramp_steps");
  const bool decays = optimizer.schedule() == OptimizerOptions::LINEAR ||
                      optimizer.schedule() == OptimizerOptions::COSINE;
  const bool ramps = optimizer.final_ramp_steps() > 0;
  const std::string schedule = OptimizerOptions::Schedule_Name(optimizer.schedule());
  problems.require(!decays || !ramps,
                   "optimizer.final_ramp_steps is " + std::to_string(optimizer.final_ramp_steps()) +
                       ", but optimizer.schedule " + schedule + " falls to 0 on its own");
  if (!decays && !ramps) return;
  if (!optimizer.has_decay_steps()) {
    problems.require(false, "optimizer.decay_steps is not set; " +
                                (decays ? "optimizer.schedule " + schedule
                                        : std::string("optimizer.final_ramp_steps")) +
                                " needs the step at which the rate is to be 0");
    return;
  }
  const std::int64_t ramp_steps =
      std::int64_t{optimizer.linear_warmup_steps()} + optimizer.final_ramp_steps();
  problems.require(ramp_steps + decays <= optimizer.decay_steps(),
                   "optimizer.decay_steps (" + std::to_string(optimizer.decay_steps()) +
                       ") leaves no room for optimizer.linear_warmup_steps (" +
                       std::to_string(optimizer.linear_warmup_steps()) + ")" +
                       (ramps ? " and optimizer.final_ramp_steps (" +
                                    std::to_string(optimizer.final_ramp_steps()) + ")"
                              : std::string()));
}

void check_training(Problems& problems) {
  problems.share_below_one("optimizer.adam_beta1");
  problems.share_below_one("optimizer.adam_beta2");
  problems.positive("optimizer.adam_epsilon");
  problems.at_least(0, "optimizer.weight_decay");
  problems.share_below_one("optimizer.momentum");
  problems.at_least(0, "optimizer.gradient_clipping");
  problems.positive("optimizer.decay_exponent");
  problems.positive("optimizer.clipping_threshold");
  problems.at_least(1, "optimizer.min_dim_size_to_factor");
  problems.share_below_one("train.label_smoothing");
  problems.at_least(0, "train.z_loss");
  problems.within(1, most_rows, "train.batch_size");
  problems.at_least(0, "train.steps");
  problems.positive("train.max_minutes");
  problems.at_least(1, "train.log_interval");
  problems.at_least(1, "train.routing_log_interval");
  problems.at_least(0, "train.eval_interval");
  problems.at_least(1, "train.eval_samples");
  problems.at_least(0, "checkpoint.interval");
  problems.at_least(1, "checkpoint.keep_last");
}

void check_replicas(int replicas, int virtual_ranks, int processes, Problems& problems) {
  problems.at_least(1, "parallel.expert_replicas");
  if (replicas < 1) return;
  const std::string name = "parallel.expert_replicas (" + std::to_string(replicas) + ")";
  problems.require(virtual_ranks % replicas == 0,
                   name + " does not divide parallel.virtual_ranks (" +
                       std::to_string(virtual_ranks) + "); each group has an equal part of them");
  problems.require(replicas == 1 || processes % replicas == 0 || replicas % processes == 0,
                   name + " groups cannot be shared out whole over the processes (" +
                       std::to_string(processes) +
                       "); start a number of them that divides it or is a multiple of it");
}

void check_division(const RunConfig& config, int processes, Problems& problems) {
  const int virtual_ranks = config.parallel().virtual_ranks();
  const int batch = config.train().batch_size();
  problems.at_least(1, "parallel.virtual_ranks");
  if (virtual_ranks < 1) return;
  problems.require(processes <= virtual_ranks,
                   "there are more processes (" + std::to_string(processes) +
                       ") than parallel.virtual_ranks (" + std::to_string(virtual_ranks) +
                       "); start at most that many");
  check_replicas(config.parallel().expert_replicas(), virtual_ranks, processes, problems);
  const std::int64_t parts = config.train().accumulation_steps();
  problems.at_least(1, "train.accumulation_steps");
  if (parts < 1) return;
  problems.require(
      batch % (virtual_ranks * parts) == 0,
      "train.batch_size (" + std::to_string(batch) +
          ") is not a multiple of parallel.virtual_ranks (" + std::to_string(virtual_ranks) + ")" +
          (parts > 1 ? " times train.accumulation_steps (" + std::to_string(parts) + ")"
                     : std::string()) +
          "; each takes an equal part of it");
}

// fit_segment throws where the spans cannot fill the row lengths.
void check_spans(const DataOptions& data) {
  SpanCorruptionConfig spans;
  spans.input_length = data.input_length();
  spans.noise_density = data.noise_density();
  spans.mean_noise_span_length = data.mean_noise_span_length();
  if (data.has_target_length()) spans.target_length = data.target_length();
  fit_segment(spans);
}

}  // namespace

void validate(const RunConfig& config, int processes) {
  Problems problems(config);
  check_model(config.model(), problems);
  check_window(config.model(), config.data(), problems);
  check_moe(config, problems);
  check_data(config.data(), problems);
  check_schedule(config.optimizer(), problems);
  check_training(problems);
  check_division(config, processes, problems);
  if (!problems.sentences().empty()) {
    throw Error(ExitCode::usage, problems.sentences(),
                "change it in the configuration or with --set; `switchyard options` explains each");
  }
  if (!is_example_file(config.data().train())) check_spans(config.data());
}

}  // namespace switchyard
