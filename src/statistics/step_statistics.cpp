#include "statistics/step_statistics.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>

#include "base/buffer.hpp"
#include "comm/canonical.hpp"

namespace switchyard {
namespace {

// Real numbers of one virtual rank, added in the canonical tree: the loss columns, then for each
// sparse layer the layer columns.
enum LossColumn { loss, extra_loss, losses };
enum LayerColumn { balance, z, confidence, entropy, layer_columns };

// Counts of one sparse layer, exact in any order; its tokens per expert follow.
enum CountColumn { groups, real, wanted, dropped, computed, places, counts };

// The sum over rows first … first + count - 1 of the batch; 0 for an empty matrix.
double sum_rows(const Tensor<float>& values, std::int64_t first, std::int64_t count) {
  if (values.size() == 0) return 0;
  const std::span<const float> all = values.row_range(first, count).flat();
  return std::accumulate(all.begin(), all.end(), 0.0);
}

// Adds what the i-th hosted virtual rank measured in one micro-step.
void add_sums(const Batch& batch, const Transformer::Output& output, std::int64_t i,
              std::span<double> sums) {
  sums[loss] += sum_rows(output.token_loss, i * batch.rows, batch.rows);
  sums[extra_loss] += sum_rows(output.extra_loss, i * batch.rows, batch.rows);
  std::span<double> rest = sums.subspan(losses);
  for (const SparseLayerStats& layer : output.sparse_layers) {
    const RoutingStats& s = layer.groups[static_cast<std::size_t>(i)];
    rest[balance] += s.balance_sum;
    rest[z] += s.z_sum;
    rest[confidence] += s.confidence_sum;
    rest[entropy] += s.entropy_sum;
    rest = rest.subspan(layer_columns);
  }
}

// The sums over all virtual ranks: the micro-steps of each in order, then the tree. Collective.
Buffer<double> add_up_sums(const Comm& comm, const Layout& layout, std::span<const Batch> batches,
                           std::span<const Transformer::Output> outputs) {
  const std::size_t columns = losses + layer_columns * outputs[0].sparse_layers.size();
  const std::int64_t hosted = layout.hosted(comm.rank()).size();
  Buffer<double> all(static_cast<std::size_t>(hosted) * columns, 0.0);
  Buffer<std::span<double>> leaves;
  for (std::int64_t i = 0; i < hosted; ++i) {
    leaves.push_back(std::span(all).subspan(static_cast<std::size_t>(i) * columns, columns));
    for (std::size_t m = 0; m < batches.size(); ++m)
      add_sums(batches[m], outputs[m], i, leaves.back());
  }
  canonical_all_reduce<double>(comm, {layout.virtual_ranks(), layout.processes()}, leaves);
  all.resize(columns);
  return all;
}

void add_counts(const RoutingStats& s, std::span<std::int64_t> sums) {
  std::size_t column = 0;
  for (const std::int64_t count :
       {s.groups, s.real_tokens, s.wanted, s.dropped, s.computed, s.places})
    sums[column++] += count;
  for (const std::int64_t tokens : s.tokens_per_expert) sums[column++] += tokens;
}

// For each sparse layer its counts and then its tokens per expert. Collective.
Buffer<std::int64_t> add_up_counts(const Comm& comm, std::size_t experts,
                                   std::span<const Transformer::Output> outputs) {
  const std::size_t columns = counts + experts;
  Buffer<std::int64_t> sums(columns * outputs[0].sparse_layers.size(), 0);
  for (const Transformer::Output& output : outputs) {
    for (std::size_t l = 0; l < output.sparse_layers.size(); ++l) {
      for (const RoutingStats& stats : output.sparse_layers[l].groups)
        add_counts(stats, std::span(sums).subspan(l * columns, columns));
    }
  }
  all_reduce_sum(comm, sums);
  return sums;
}

LayerStatistics layer_statistics(std::span<const double> sums,
                                 std::span<const std::int64_t> count) {
  LayerStatistics result;
  result.groups = count[groups];
  result.real_tokens = count[real];
  result.wanted = count[wanted];
  result.dropped = count[dropped];
  result.computed = count[computed];
  result.places = count[places];
  result.tokens_per_expert.assign(count.begin() + counts, count.end());
  result.balance_sum = sums[balance];
  result.z_sum = sums[z];
  result.confidence_sum = sums[confidence];
  result.entropy_sum = sums[entropy];
  return result;
}

}  // namespace

StepStatistics gather_statistics(const Comm& comm, const Layout& layout,
                                 std::span<const Batch> batches,
                                 std::span<const Transformer::Output> outputs) {
  const auto experts = static_cast<std::size_t>(layout.experts());
  const Buffer<double> sums = add_up_sums(comm, layout, batches, outputs);
  const Buffer<std::int64_t> counted = add_up_counts(comm, experts, outputs);
  StepStatistics result;
  const auto targets = static_cast<double>(std::max<std::int64_t>(batches[0].target_tokens, 1));
  result.loss = sums[loss] / targets;
  result.extra_loss = sums[extra_loss] / targets;
  for (std::size_t l = 0; l < outputs[0].sparse_layers.size(); ++l) {
    result.layers.push_back(
        layer_statistics(std::span(sums).subspan(losses + l * layer_columns, layer_columns),
                         std::span(counted).subspan(l * (counts + experts), counts + experts)));
    result.layers.back().name = outputs[0].sparse_layers[l].name;
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
