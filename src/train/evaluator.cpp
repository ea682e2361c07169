#include "train/evaluator.hpp"

#include <algorithm>
#include <cassert>
#include <span>

#include "base/buffer.hpp"
#include "model/sequence.hpp"
#include "statistics/step_statistics.hpp"

namespace switchyard {
namespace {

constexpr std::size_t row_loss_doubles = sizeof(RowLoss) / sizeof(double);

RowLoss sum_row(const Vocabulary& vocabulary, std::span<const std::int32_t> targets,
                const float* loss) {
  RowLoss row;
  for (std::size_t t = 0; t < targets.size(); ++t) {
    row.targets += 1;
    row.sum += loss[t];
    if (!vocabulary.is_text(targets[t])) continue;
    row.text_targets += 1;
    row.text_sum += loss[t];
  }
  return row;
}

// The loss of every row of the global batch, [global rows], in sample order: rows are ordered by
// virtual rank, and so are the processes that host them. Collective.
std::vector<RowLoss> gather_rows(const Comm& comm, const Vocabulary& vocabulary, const Batch& batch,
                                 const Transformer::Output& output) {
  std::vector<double> own;
  for (std::size_t i = 0; i < batch.samples.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    const std::span targets(&batch.targets[i * static_cast<std::size_t>(batch.target_length)],
                            static_cast<std::size_t>(batch.target_lengths[i]));
    const RowLoss loss = sum_row(vocabulary, targets, output.token_loss.view().row(row));
    own.insert(own.end(), {loss.targets, loss.sum, loss.text_targets, loss.text_sum});
  }
  const auto all = all_gather_v(comm, std::span<const double>(own));
  std::vector<RowLoss> rows;
  for (std::size_t at = 0; at < all.size(); at += row_loss_doubles) {
    rows.push_back({all[at], all[at + 1], all[at + 2], all[at + 3]});
  }
  return rows;
}

// Appends the predictions for this batch's rows until `predictions` holds `wanted` of them.
void gather_predictions(const Comm& comm, const Batch& batch, const Transformer::Output& output,
                        std::size_t wanted, std::vector<std::vector<std::int32_t>>& predictions) {
  const auto all = all_gather_v(comm, std::span<const std::int32_t>(output.predictions));
  const auto lengths = all_gather_v(comm, std::span<const std::int32_t>(batch.target_lengths));
  for (std::size_t row = 0; row < lengths.size() && predictions.size() < wanted; ++row) {
    const auto first = all.begin() + static_cast<std::int64_t>(row) * batch.target_length;
    predictions.emplace_back(first, first + lengths[row]);
  }
}

// Adds this process's part of a batch to `table`.
void count_experts(const Batch& batch, const Transformer::Output& output, ExpertTable& table) {
  const auto decoder_pieces = decoder_input(batch);
  table.layers.resize(output.sparse_layers.size());
  for (std::size_t i = 0; i < output.sparse_layers.size(); ++i) {
    const SparseLayerStats& layer = output.sparse_layers[i];
    table.layers[i].name = layer.name;
    count_pieces(layer.decoder ? decoder_pieces : batch.inputs, layer.expert, table.layers[i]);
  }
}

void add_routing(Buffer<LayerStatistics> batch, Buffer<LayerStatistics>& total) {
  if (total.empty()) {
    total = std::move(batch);
    return;
  }
  for (std::size_t i = 0; i < total.size(); ++i) total[i].add(batch[i]);
}

}  // namespace

Evaluation evaluate(StepContext& context, const Transformer& model, const ValidationStream& stream,
                    const Keep& keep, const std::function<bool()>& give_up) {
  assert(context.mode == Mode::evaluate);
  Evaluation result;
  result.samples = stream.samples;
  result.experts.num_experts = model.config().moe.num_experts;
  RowLoss total;
  const auto wanted = static_cast<std::size_t>(std::min(keep.predictions, stream.samples));
  for (std::int64_t first = 0; first < stream.samples; first += stream.shape.rows) {
    if (first > 0 && give_up && give_up()) {
      result.given_up = true;
      return result;
    }
    const Batch batch = build_batch(context.comm, context.layout, stream.source, stream.shape,
                                    first, stream.samples);
    const Transformer::Output output = model.forward(context, batch);
    std::vector<RowLoss> rows = gather_rows(context.comm, stream.vocabulary, batch, output);
    rows.resize(static_cast<std::size_t>(std::min(stream.shape.rows, stream.samples - first)));
    for (const RowLoss& row : rows) total.add(row);
    if (keep.rows) result.rows.insert(result.rows.end(), rows.begin(), rows.end());
    add_routing(gather_statistics(context.comm, context.layout, {&batch, 1}, {&output, 1}).layers,
                result.layers);
    if (result.predictions.size() < wanted) {
      gather_predictions(context.comm, batch, output, wanted, result.predictions);
    }
    if (keep.experts) count_experts(batch, output, result.experts);
  }
  if (keep.experts) result.experts = join_on_first(context.comm, result.experts);
  result.targets = static_cast<std::int64_t>(total.targets);
  result.text_targets = static_cast<std::int64_t>(total.text_targets);
  result.loss = total.sum / std::max(total.targets, 1.0);
  result.loss_text = total.text_sum / std::max(total.text_targets, 1.0);
  return result;
}

}  // namespace switchyard
