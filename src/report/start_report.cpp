#include "report/start_report.hpp"

#include <omp.h>

#include <algorithm>
#include <iomanip>
#include <sstream>
#include <string_view>
#include <vector>

#include "config/option_enums.hpp"
#include "config/update_sharing.hpp"
#include "plan/parameters.hpp"
#include "report/numbers.hpp"

namespace switchyard {
namespace {

void row(std::ostream& table, std::string_view name, std::string_view value) {
  table << "  " << std::left << std::setw(11) << name << value << "\n";
}

template <class I>
std::string range_text(const char* one, const char* many, Interval<I> range) {
  if (range.empty()) return std::string("no ") + many;
  if (range.size() == 1) return std::string(one) + " " + std::to_string(range.first.value);
  return std::string(many) + " " + std::to_string(range.first.value) + "-" +
         std::to_string(range.last.value - 1);
}

std::string routing_text(const MoeConfig& moe, RoutingMethod method) {
  const std::string name = option_name(method);
  switch (method) {
    case RoutingMethod::top2:
      return name + " (second " + option_name(moe.second_policy) + ")";
    case RoutingMethod::topk:
      return name + " " + std::to_string(moe.router_topk) +
             (moe.normalize_gates ? " (normalised)" : "");
    case RoutingMethod::ntlb:
      return name + " (" + std::to_string(moe.ntlb_top_k) + " choices)";
    default:
      return name;
  }
}

std::string balance_text(const ModelConfig& config) {
  std::ostringstream text;
  if (config.moe.load_balancing == LoadBalancing::bias) {
    text << "balance by a bias of " << config.moe.bias_update_rate << " per step";
  } else {
    text << "balance weight " << config.aux_loss_weight();
  }
  text << " and z weight " << config.z_loss_weight() << " a layer";
  return text.str();
}

std::string experts_text(const ModelConfig& config) {
  const MoeConfig& moe = config.moe;
  if (moe.num_experts == 0) return "none: a dense model";
  const int sparse = config.sparse_layers();
  std::ostringstream text;
  text << moe.num_experts << " in each of " << sparse << " sparse layers, ";
  if (moe.dropless) {
    text << "dropless";
  } else {
    text << "capacity factor " << moe.capacity_factor << " (at least " << moe.min_capacity
         << " places)";
  }
  // State how the balancing loss weighs on each layer, since programs differ in whether they add or
  // average over layers.
  text << "; " << balance_text(config);
  if (moe.router_precision == Precision::bfloat16) text << "; BFLOAT16 router";
  return text.str();
}

std::string batch_text(const Settings& settings, std::int64_t target_length) {
  const std::int64_t positions =
      settings.batch_size * (settings.spans.input_length + target_length);
  return std::to_string(settings.batch_size) + " rows of " +
         std::to_string(settings.spans.input_length) + " + " + std::to_string(target_length) +
         " positions, " + grouped(positions) + " per step" +
         (settings.accumulation_steps > 1
              ? ", in " + std::to_string(settings.accumulation_steps) + " parts"
              : std::string());
}

// evaluated: the number of samples per evaluation, as requested or as available.
std::string steps_text(const Settings& settings, std::int64_t evaluated) {
  const auto every = [](std::int64_t interval) {
    return interval > 0 ? "every " + grouped(interval) + " steps" : std::string("at the end");
  };
  std::string evaluation = "never evaluated";
  if (evaluated > 0) {
    evaluation = "evaluated " + every(settings.eval_interval) + " on " + grouped(evaluated) +
                 (evaluated == 1 ? " sample" : " samples");
    if (evaluated < settings.eval_samples)
      evaluation += " (all there are; " + grouped(settings.eval_samples) + " were asked for)";
  }
  return grouped(settings.steps) + "; " + evaluation + ", saved " +
         every(settings.checkpoint_interval) + ", " + std::to_string(settings.keep_last) + " kept";
}

std::string count_text(std::int64_t count, const char* one) {
  return (count == 0 ? "no" : std::to_string(count)) + " " + one + (count == 1 ? "" : "s");
}

// Processes whose shares have the same size, of all from some rank on.
struct EqualShares {
  std::int64_t virtual_ranks = 0, experts = 0, groups = 0;  // of each process
  bool is_dense = false;
  Rank first, last;  // both belong to it; between them there may be others
  std::int64_t processes = 0;

  bool has_size_of(const EqualShares& other) const {
    return virtual_ranks == other.virtual_ranks && experts == other.experts &&
           groups == other.groups;
  }
  // "processes 8-1023", "process 8", or "340 of processes 8-1023" where others lie between them
  std::string whose() const {
    const std::string range =
        range_text("process", "processes", Interval{first, Rank{last.value + 1}});
    const bool consecutive = processes == last.value - first.value + 1;
    return consecutive ? range : std::to_string(processes) + " of " + range;
  }
  // "1 virtual rank and 2 experts each"
  std::string what() const {
    std::string text = count_text(virtual_ranks, "virtual rank");
    if (!is_dense) text += " and " + count_text(experts, "expert");
    if (!is_dense && groups > 1) text += " of " + std::to_string(groups) + " replica groups";
    return processes == 1 ? text : text + " each";
  }
};

// The shares of all processes from `begin` on. Since shares are cut evenly, there are only a few
// sizes, however many processes there are.
std::vector<EqualShares> equal_shares(const Layout& layout, Rank begin) {
  std::vector<EqualShares> all;
  for (Rank p = begin; p.value < layout.processes(); ++p) {
    const bool is_dense = layout.experts() == 0;
    const EqualShares own{.virtual_ranks = layout.hosted(p).size(),
                          .experts = is_dense ? 0 : layout.owned_experts(p).size(),
                          .groups = layout.groups_of(p).size(),
                          .is_dense = is_dense,
                          .first = p,
                          .last = p};
    auto known =
        std::ranges::find_if(all, [&](const EqualShares& equal) { return equal.has_size_of(own); });
    if (known == all.end()) known = all.insert(known, own);
    known->last = p;
    ++known->processes;
  }
  return all;
}

struct RuleText {
  std::ostream& text;

  void operator()(const AdafactorConfig&) const { text << "Adafactor"; }
  void operator()(const AdamWConfig& adamw) const {
    text << "AdamW (betas " << adamw.beta_1 << " and " << adamw.beta_2 << ", weight decay "
         << adamw.weight_decay << ")";
  }
  void operator()(const SgdConfig& sgd) const { text << "SGD with momentum " << sgd.momentum; }
};

std::string optimizer_text(const Settings& settings, int processes) {
  std::ostringstream text;
  std::visit(RuleText{text}, settings.optimizer);
  if (settings.gradient_clipping > 0)
    text << ", gradients clipped to norm " << settings.gradient_clipping;
  if (shards_optimizer(settings, processes))
    text << ", dense weights updated in " << processes << " parts";
  const ExtraLoss& extra = settings.model.extra_loss;
  if (extra.label_smoothing > 0) text << ", label smoothing " << extra.label_smoothing;
  if (extra.z_loss > 0) text << ", output z-loss " << extra.z_loss;
  text << ", rate " << schedule_text(settings.schedule) << ", seed " << settings.seed;
  return text.str();
}

}  // namespace

std::string routing_text(const ModelConfig& config) {
  std::string text;
  for (const bool decoder : {false, true}) {
    if (config.sparse_layers(decoder) == 0) continue;
    const std::string stack = routing_text(config.moe, config.moe.routing(decoder));
    if (stack == text) continue;
    text = text.empty() ? stack : text + " in the encoder, " + stack + " in the decoder";
  }
  return text;
}

std::string precision_text(Precision precision) {
  return precision == Precision::bfloat16
             ? "BFLOAT16 in products and exchanged rows, FLOAT32 in all else"
             : "FLOAT32";
}

std::string recompute_text(Recompute recompute) {
  switch (recompute) {
    case Recompute::none:
      return "nothing";
    case Recompute::attention:
      return "attention's weights in backward: less memory, the same numbers";
    case Recompute::block:
      return "each block in backward, from its input: less memory, the same numbers";
  }
  return {};
}

std::string schedule_text(const ScheduleConfig& schedule) {
  std::ostringstream text;
  text << schedule.learning_rate;
  const std::string end = " to 0 at step " + grouped(schedule.decay_steps);
  switch (schedule.shape) {
    case ScheduleConfig::Shape::rsqrt:
      text << " / sqrt(max(step, " << schedule.warmup_steps << "))";
      break;
    case ScheduleConfig::Shape::constant:
      break;
    case ScheduleConfig::Shape::linear:
      text << " falling in a straight line" << end;
      break;
    case ScheduleConfig::Shape::cosine:
      text << " falling along a cosine" << end;
      break;
  }
  if (schedule.linear_warmup_steps > 0)
    text << ", rising over the first " << grouped(schedule.linear_warmup_steps) << " steps";
  if (schedule.final_ramp_steps > 0)
    text << ", falling over the last " << grouped(schedule.final_ramp_steps) << end;
  return text.str();
}

std::string model_text(const ModelConfig& config) {
  const ParameterCount count = count_parameters(config);
  std::ostringstream text;
  text << config.num_layers << "+" << config.num_decoder_layers << " layers, d_model "
       << config.d_model << ", d_ff " << config.d_ff << ", " << config.num_heads << " heads of "
       << config.d_kv << ", " << grouped(config.vocab_size) << " words; " << grouped(count.total())
       << " parameters";
  if (count.experts > 0) text << ", " << grouped(count.experts) << " of them in experts";
  if (const auto& window = config.encoder_window) {
    text << "; encoder positions see " << grouped(window->reach) << " to each side";
    if (window->globals > 0) text << " and the first " << grouped(window->globals);
  }
  return text.str();
}

std::string share_text(const Layout& layout, Rank p) {
  std::string text = range_text("virtual rank", "virtual ranks", layout.hosted(p));
  if (layout.experts() > 0) {
    text += ", " + range_text("expert", "experts", layout.owned_experts(p));
    if (layout.groups() > 1) {
      text += " of " + range_text("replica group", "replica groups", layout.groups_of(p));
    }
  }
  return text;
}

std::vector<std::string> share_lines(const Layout& layout, std::span<const std::string> hosts) {
  std::vector<std::string> lines;
  const std::int64_t named = std::min<std::int64_t>(layout.processes(), most_process_lines);
  for (Rank p(0); p.value < named; ++p) {
    const std::string where =
        hosts.empty() ? "" : " on " + hosts[static_cast<std::size_t>(p.value)];
    lines.push_back("process " + std::to_string(p.value) + where + ": " + share_text(layout, p));
  }
  for (const EqualShares& equal : equal_shares(layout, Rank{named}))
    lines.push_back(equal.whose() + ": " + equal.what());
  return lines;
}

namespace {

// The hosts of the processes that have a line of their own. Collective.
std::vector<std::string> named_hosts(const Comm& comm, const std::string& host) {
  std::vector<std::string> hosts;
  for (Rank p(0); p.value < std::min<std::int64_t>(comm.size(), most_process_lines); ++p)
    hosts.push_back(broadcast_string(comm, host, p));
  return hosts;
}

std::string layout_text(const Layout& layout, std::span<const std::string> hosts) {
  std::ostringstream text;
  const bool replicated = layout.groups() > 1;
  text << layout.virtual_ranks() << " virtual ranks";
  if (replicated) text << " in " << layout.groups() << " replica groups";
  text << " on " << layout.processes() << " process" << (layout.processes() == 1 ? "" : "es")
       << " x " << omp_get_max_threads() << " thread" << (omp_get_max_threads() == 1 ? "" : "s");
  for (const std::string& line : share_lines(layout, hosts)) text << "\n    " << line;
  return text.str();
}

}  // namespace

std::string start_report(const Comm& comm, const Layout& layout, const std::string& host,
                         const Settings& settings, const ReportedData& data) {
  const std::string layout_lines = layout_text(layout, named_hosts(comm, host));
  std::ostringstream table;
  row(table, "model", model_text(settings.model));
  row(table, "experts", experts_text(settings.model));
  if (settings.model.sparse_layers() > 0) row(table, "routing", routing_text(settings.model));
  row(table, "data", data.description);
  row(table, "batch", batch_text(settings, data.target_length));
  row(table, "precision", precision_text(settings.model.precision));
  if (settings.model.recompute != Recompute::none)
    row(table, "recompute", recompute_text(settings.model.recompute));
  row(table, "optimizer", optimizer_text(settings, comm.size()));
  row(table, "steps", steps_text(settings, data.evaluated_samples));
  row(table, "layout", layout_lines);
  std::string text = table.str();
  text.pop_back();
  return text;
}

}  // namespace switchyard
