#include "train/step_statistics.hpp"

#include <algorithm>
#include <numeric>
#include <span>

#include "comm/canonical.hpp"

namespace switchyard {
namespace {

// What a micro-step of a virtual rank contributes travels as one row of doubles; counts are exact
// below 2^53.
// Row: these, then for each sparse layer those, then its tokens for each expert.
enum LossColumn { loss, extra_loss, losses };
enum LayerColumn { real, dropped, capacity, balance, z, confidence, entropy, tokens };

// Of the batch's rows first … first + count - 1; an empty matrix counts for zeros.
double sum_rows(const Tensor<float>& values, std::int64_t first, std::int64_t count) {
  if (values.size() == 0) return 0;
  const std::span<const float> all = values.row_range(first, count).flat();
  return std::accumulate(all.begin(), all.end(), 0.0);
}

std::vector<double> pack(std::span<const Batch> batches,
                         std::span<const Transformer::Output> outputs, std::int64_t hosted) {
  std::vector<double> rows;
  for (std::int64_t i = 0; i < hosted; ++i) {
    for (std::size_t m = 0; m < batches.size(); ++m) {
      const std::int64_t b = batches[m].rows;
      rows.push_back(sum_rows(outputs[m].token_loss, i * b, b));
      rows.push_back(sum_rows(outputs[m].extra_loss, i * b, b));
      for (const SparseLayerStats& layer : outputs[m].sparse_layers) {
        const RoutingStats& s = layer.groups[static_cast<std::size_t>(i)];
        rows.insert(rows.end(),
                    {static_cast<double>(s.real_tokens), static_cast<double>(s.dropped_tokens),
                     static_cast<double>(s.capacity), s.balance_loss, s.z_sum, s.confidence_sum,
                     s.entropy_sum});
        rows.insert(rows.end(), s.tokens_per_expert.begin(), s.tokens_per_expert.end());
      }
    }
  }
  return rows;
}

// The gathered rows of all virtual ranks and micro-steps, read by column.
class Table {
 public:
  Table(std::vector<double> values, int virtual_ranks, std::size_t micro_steps)
      : values_(std::move(values)),
        virtual_ranks_(virtual_ranks),
        micro_steps_(micro_steps),
        width_(values_.size() / (virtual_ranks * micro_steps)) {}

  double at(VirtualRank v, std::size_t micro_step, std::size_t column) const {
    return values_[(static_cast<std::size_t>(v.value) * micro_steps_ + micro_step) * width_ +
                   column];
  }
  std::int64_t count(VirtualRank v, std::size_t micro_step, std::size_t column) const {
    return static_cast<std::int64_t>(at(v, micro_step, column));
  }
  // Micro-steps of a virtual rank in order, then the tree over the virtual ranks.
  double sum(std::size_t column) const {
    std::vector<double> leaves;
    for (const VirtualRank v : virtual_ranks()) {
      leaves.push_back(0);
      for (std::size_t m = 0; m < micro_steps_; ++m) leaves.back() += at(v, m, column);
    }
    return canonical_sum(leaves);
  }
  Interval<VirtualRank> virtual_ranks() const {
    return {VirtualRank(0), VirtualRank(virtual_ranks_)};
  }
  std::size_t micro_steps() const { return micro_steps_; }
  std::int64_t groups() const { return virtual_ranks_ * static_cast<std::int64_t>(micro_steps_); }

 private:
  std::vector<double> values_;
  int virtual_ranks_;
  std::size_t micro_steps_, width_;
};

// Slots are given first come, first served, so an expert keeps the smaller of its tokens and C.
std::int64_t rows_leaving_their_process(const Layout& layout, const Table& table,
                                        std::size_t first) {
  std::int64_t moved = 0;
  for (const VirtualRank v : table.virtual_ranks()) {
    for (int e = 0; e < layout.experts(); ++e) {
      if (layout.owner(ExpertId(e), layout.group(v)) == layout.host(v)) continue;
      const std::size_t wanted = first + tokens + static_cast<std::size_t>(e);
      for (std::size_t m = 0; m < table.micro_steps(); ++m)
        moved += std::min(table.count(v, m, wanted), table.count(v, m, first + capacity));
    }
  }
  return moved;
}

LayerStatistics layer_statistics(const Layout& layout, const Table& table, std::size_t first) {
  LayerStatistics result;
  result.real_tokens = static_cast<std::int64_t>(table.sum(first + real));
  result.dropped_tokens = static_cast<std::int64_t>(table.sum(first + dropped));
  result.moved_rows = rows_leaving_their_process(layout, table, first);
  for (int e = 0; e < layout.experts(); ++e) {
    result.tokens_per_expert.push_back(
        static_cast<std::int64_t>(table.sum(first + tokens + static_cast<std::size_t>(e))));
  }
  result.balance_loss = table.sum(first + balance) / static_cast<double>(table.groups());
  result.z_loss =
      result.real_tokens > 0 ? table.sum(first + z) / static_cast<double>(result.real_tokens) : 0;
  result.confidence_sum = table.sum(first + confidence);
  result.entropy_sum = table.sum(first + entropy);
  return result;
}

// The busiest expert's tokens over the mean; 1 where there are none.
double imbalance(const std::vector<std::int64_t>& tokens_per_expert) {
  const auto total =
      std::accumulate(tokens_per_expert.begin(), tokens_per_expert.end(), std::int64_t{0});
  if (total == 0) return 1;
  const std::int64_t most = *std::max_element(tokens_per_expert.begin(), tokens_per_expert.end());
  return static_cast<double>(most) * static_cast<double>(tokens_per_expert.size()) /
         static_cast<double>(total);
}

void record_routing(const std::vector<LayerStatistics>& layers, StepRecord& record) {
  std::int64_t real_tokens = 0, dropped_tokens = 0, dead = 0;
  double imbalances = 0, confidences = 0, entropies = 0;
  for (const LayerStatistics& layer : layers) {
    real_tokens += layer.real_tokens;
    dropped_tokens += layer.dropped_tokens;
    dead += std::count(layer.tokens_per_expert.begin(), layer.tokens_per_expert.end(), 0);
    imbalances += imbalance(layer.tokens_per_expert);
    confidences += layer.confidence_sum;
    entropies += layer.entropy_sum;
    StepRecord::LayerTokens& load = *record.add_tokens_per_expert();
    load.set_layer(layer.name);
    load.mutable_tokens()->Assign(layer.tokens_per_expert.begin(), layer.tokens_per_expert.end());
  }
  const auto tokens_or_one = static_cast<double>(std::max<std::int64_t>(real_tokens, 1));
  record.set_dropped_fraction(static_cast<double>(dropped_tokens) / tokens_or_one);
  record.set_load_imbalance(imbalances / static_cast<double>(layers.size()));
  record.set_dead_experts(dead);
  record.set_router_confidence(confidences / tokens_or_one);
  record.set_router_entropy(entropies / tokens_or_one);
}

}  // namespace

StepStatistics gather_statistics(const Comm& comm, const Layout& layout,
                                 std::span<const Batch> batches,
                                 std::span<const Transformer::Output> outputs) {
  const std::vector<double> own = pack(batches, outputs, layout.hosted(comm.rank()).size());
  const Table table(all_gather_v(comm, std::span<const double>(own)), layout.virtual_ranks(),
                    batches.size());
  StepStatistics result;
  const auto targets = static_cast<double>(std::max<std::int64_t>(batches[0].target_tokens, 1));
  result.loss = table.sum(loss) / targets;
  result.extra_loss = table.sum(extra_loss) / targets;
  std::size_t first = losses;
  for (const SparseLayerStats& layer : outputs[0].sparse_layers) {
    result.layers.push_back(layer_statistics(layout, table, first));
    result.layers.back().name = layer.name;
    first += tokens + static_cast<std::size_t>(layout.experts());
  }
  return result;
}

void record_statistics(const StepStatistics& statistics, const ModelConfig& config,
                       StepRecord& record) {
  double balance_loss = 0, z_loss = 0;
  std::int64_t moved_rows = 0;
  for (const LayerStatistics& layer : statistics.layers) {
    balance_loss += layer.balance_loss;
    z_loss += layer.z_loss;
    moved_rows += layer.moved_rows;
  }
  record.set_loss(statistics.loss);
  record.set_loss_total(statistics.loss + config.moe.aux_loss_coef * balance_loss +
                        config.moe.z_loss_coef * z_loss + statistics.extra_loss);
  if (statistics.layers.empty()) return;
  record.set_aux(balance_loss / static_cast<double>(statistics.layers.size()));
  record.set_load_balancing_loss(balance_loss);
  record.set_z_loss(z_loss);
  record_routing(statistics.layers, record);
  record.set_a2a_bytes(moved_rows * config.transfers() * config.d_model * config.input_bytes());
}

}  // namespace switchyard
