#include "record/step_record.hpp"

#include <cmath>
#include <cstddef>

namespace switchyard {
namespace {

// Fills in a record or one of its layers; both have the same fields.
template <class Record>
void write(const RoutingFigures& figures, Record& record) {
  record.set_dropped_fraction(figures.dropped_fraction);
  record.set_load_imbalance(figures.load_imbalance);
  record.set_dead_experts(figures.dead_experts);
  record.set_expert_usage(figures.expert_usage);
  record.set_router_confidence(figures.router_confidence);
  record.set_router_entropy(figures.router_entropy);
}

template <class Record>
void write(const ExchangeFigures& figures, Record& record) {
  record.set_a2a_ms(figures.all_ms);
  record.set_a2a_dispatch_ms(figures.to_experts_ms);
  record.set_a2a_combine_ms(figures.from_experts_ms);
  record.set_a2a_backward_ms(figures.backward_ms);
  record.set_a2a_wait_ms(figures.waiting_ms);
  record.set_a2a_bytes(figures.bytes);
}

void record_tokens(const LayerStatistics& layer, StepRecord& record) {
  StepRecord::LayerTokens& load = *record.add_tokens_per_expert();
  load.mutable_layer()->assign(layer.name);
  load.mutable_tokens()->Assign(layer.tokens_per_expert.begin(), layer.tokens_per_expert.end());
}

void record_layer(const LayerStatistics& layer, StepRecord& record) {
  StepRecord::LayerRouting& routing = *record.add_layers();
  routing.mutable_layer()->assign(layer.name);
  routing.set_load_balancing_loss(layer.balance_loss());
  routing.set_z_loss(layer.z_loss());
  write(routing_figures({&layer, 1}), routing);
}

void record_routing(const StepStatistics& statistics, StepRecord& record) {
  const double balance_loss = statistics.balance_loss();
  record.set_aux(balance_loss / static_cast<double>(statistics.layers.size()));
  record.set_load_balancing_loss(balance_loss);
  record.set_z_loss(statistics.z_loss());
  write(routing_figures(statistics.layers), record);
  for (const LayerStatistics& layer : statistics.layers) record_layer(layer, record);
}

void record_exchange(const ExchangeCost& cost, const Buffer<LayerStatistics>& layers,
                     StepRecord& record) {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    StepRecord::LayerExchange& layer = *record.add_layer_exchanges();
    layer.mutable_layer()->assign(layers[i].name);
    write(cost.layers[i], layer);
  }
  write(cost.total, record);
}

void record_cost(const StepCost& cost, StepRecord& record) {
  record.set_input_ms(cost.ms(Phase::input));
  record.set_embedding_ms(cost.ms(Phase::embedding));
  record.set_attention_ms(cost.ms(Phase::attention));
  record.set_feed_forward_ms(cost.ms(Phase::feed_forward));
  record.set_routing_ms(cost.ms(Phase::routing));
  record.set_experts_ms(cost.ms(Phase::experts));
  record.set_logits_ms(cost.ms(Phase::logits));
  record.set_reduction_ms(cost.ms(Phase::reduction));
  record.set_optimizer_ms(cost.ms(Phase::optimizer));
  record.set_forward_backward_ms(cost.forward_backward_ms);
  record.set_step_ms(cost.step_ms);
  record.set_peak_memory(cost.peak_memory);
}

}  // namespace

StepRecord to_record(const StepFigures& figures, bool with_tokens) {
  const bool is_sparse = !figures.statistics.layers.empty();
  StepRecord record;
  record.set_step(figures.step);
  record.set_samples(figures.samples);
  record.set_loss(figures.statistics.loss);
  record.set_loss_total(figures.loss_total);
  record.set_norm(figures.norm);
  record.set_lr(figures.learning_rate);
  if (is_sparse) record_routing(figures.statistics, record);
  if (with_tokens || !figures.was_taken()) {
    for (const LayerStatistics& layer : figures.statistics.layers) record_tokens(layer, record);
  }
  if (!figures.was_taken()) return record;
  record_cost(*figures.cost, record);
  if (is_sparse) record_exchange(figures.cost->exchange, figures.statistics.layers, record);
  record.set_tokens_per_second(figures.tokens_per_second);
  return record;
}

void record_evaluation(const Evaluation& evaluation, StepRecord& record) {
  record.set_eval_samples(evaluation.samples);
  record.set_eval_targets(evaluation.targets);
  record.set_eval_loss(evaluation.loss);
  record.set_eval_neg_log_perplexity(-evaluation.loss);
  record.set_eval_ppl(std::exp(evaluation.loss));
  if (evaluation.text_targets > 0) record.set_eval_loss_text(evaluation.loss_text);
  if (evaluation.layers.empty()) return;
  const RoutingFigures routing = routing_figures(evaluation.layers);
  record.set_eval_dropped_fraction(routing.dropped_fraction);
  record.set_eval_load_imbalance(routing.load_imbalance);
  record.set_eval_dead_experts(routing.dead_experts);
  record.set_eval_router_confidence(routing.router_confidence);
  record.set_eval_router_entropy(routing.router_entropy);
}

}  // namespace switchyard
