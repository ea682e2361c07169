#include "statistics/step_statistics.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>

#include "base/buffer.hpp"
#include "comm/canonical.hpp"

namespace switchyard {
namespace {

// The contribution of one micro-step of one virtual rank is sent as one row of doubles; counts are
// exact below 2^53. A row has the loss columns, then for each sparse layer the layer columns, then
// its tokens per expert.
enum LossColumn { loss, extra_loss, losses };
enum LayerColumn {
  groups,
  real,
  wanted,
  dropped,
  computed,
  places,
  balance,
  z,
  confidence,
  entropy,
  tokens
};

// The sum over rows first … first + count - 1 of the batch; 0 for an empty matrix.
double sum_rows(const Tensor<float>& values, std::int64_t first, std::int64_t count) {
  if (values.size() == 0) return 0;
  const std::span<const float> all = values.row_range(first, count).flat();
  return std::accumulate(all.begin(), all.end(), 0.0);
}

Buffer<double> to_rows(std::span<const Batch> batches, std::span<const Transformer::Output> outputs,
                       std::int64_t hosted) {
  Buffer<double> rows;
  for (std::int64_t i = 0; i < hosted; ++i) {
    for (std::size_t m = 0; m < batches.size(); ++m) {
      const std::int64_t b = batches[m].rows;
      rows.push_back(sum_rows(outputs[m].token_loss, i * b, b));
      rows.push_back(sum_rows(outputs[m].extra_loss, i * b, b));
      for (const SparseLayerStats& layer : outputs[m].sparse_layers) {
        const RoutingStats& s = layer.groups[static_cast<std::size_t>(i)];
        for (const std::int64_t count :
             {s.groups, s.real_tokens, s.wanted, s.dropped, s.computed, s.places})
          rows.push_back(static_cast<double>(count));
        rows.insert(rows.end(), {s.balance_sum, s.z_sum, s.confidence_sum, s.entropy_sum});
        rows.insert(rows.end(), s.tokens_per_expert.begin(), s.tokens_per_expert.end());
      }
    }
  }
  return rows;
}

// The gathered rows of all virtual ranks and micro-steps, accessed by column.
class Table {
 public:
  Table(Buffer<double> values, std::size_t virtual_ranks, std::size_t micro_steps)
      : values_(std::move(values)),
        virtual_ranks_(virtual_ranks),
        micro_steps_(micro_steps),
        width_(values_.size() / (virtual_ranks * micro_steps)) {}

  // Sums the micro-steps of each virtual rank in order, then the virtual ranks in the canonical
  // tree.
  double sum(std::size_t column) const {
    Buffer<double> leaves(virtual_ranks_, 0.0);
    for (std::size_t v = 0; v < virtual_ranks_; ++v) {
      for (std::size_t m = 0; m < micro_steps_; ++m)
        leaves[v] += values_[(v * micro_steps_ + m) * width_ + column];
    }
    return canonical_sum(leaves);
  }

 private:
  Buffer<double> values_;
  std::size_t virtual_ranks_, micro_steps_, width_;
};

LayerStatistics layer_statistics(const Table& table, std::size_t first, std::size_t experts) {
  const auto count = [&](std::size_t column) {
    return static_cast<std::int64_t>(table.sum(first + column));
  };
  LayerStatistics result;
  result.groups = count(groups);
  result.real_tokens = count(real);
  result.wanted = count(wanted);
  result.dropped = count(dropped);
  result.computed = count(computed);
  result.places = count(places);
  for (std::size_t e = 0; e < experts; ++e) result.tokens_per_expert.push_back(count(tokens + e));
  result.balance_sum = table.sum(first + balance);
  result.z_sum = table.sum(first + z);
  result.confidence_sum = table.sum(first + confidence);
  result.entropy_sum = table.sum(first + entropy);
  return result;
}

}  // namespace

StepStatistics gather_statistics(const Comm& comm, const Layout& layout,
                                 std::span<const Batch> batches,
                                 std::span<const Transformer::Output> outputs) {
  const Buffer<double> own = to_rows(batches, outputs, layout.hosted(comm.rank()).size());
  const Table table(all_gather_v(comm, std::span<const double>(own)),
                    static_cast<std::size_t>(layout.virtual_ranks()), batches.size());
  StepStatistics result;
  const auto targets = static_cast<double>(std::max<std::int64_t>(batches[0].target_tokens, 1));
  result.loss = table.sum(loss) / targets;
  result.extra_loss = table.sum(extra_loss) / targets;
  const auto experts = static_cast<std::size_t>(layout.experts());
  std::size_t first = losses;
  for (const SparseLayerStats& layer : outputs[0].sparse_layers) {
    result.layers.push_back(layer_statistics(table, first, experts));
    result.layers.back().name = layer.name;
    first += tokens + experts;
  }
  return result;
}

double StepStatistics::balance_loss() const {
  double sum = 0;
  for (const LayerStatistics& layer : layers) sum += layer.balance_loss();
  return sum;
}

double StepStatistics::z_loss() const {
  double sum = 0;
  for (const LayerStatistics& layer : layers) sum += layer.z_loss();
  return sum;
}

double total_loss(const StepStatistics& statistics, const ModelConfig& config) {
  return statistics.loss + config.aux_loss_weight() * statistics.balance_loss() +
         config.z_loss_weight() * statistics.z_loss() + statistics.extra_loss;
}

}  // namespace switchyard
