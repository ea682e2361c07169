#include "train/learner.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "base/buffer.hpp"
#include "base/timer.hpp"
#include "config/update_sharing.hpp"
#include "model/weights.hpp"
#include "train/router_bias.hpp"

namespace switchyard {
namespace {

using Clock = std::chrono::steady_clock;

RowTransport::Options transport_options(const Settings& settings) {
  RowTransport::Options options;
  if (settings.two_level_exchange) options.way = RowTransport::Way::two_level;
  options.chunks = settings.exchange_chunks;
  return options;
}

std::unique_ptr<UpdateShare> make_share(const Comm& comm, const Settings& settings,
                                        ParamSet& params) {
  if (!shards_optimizer(settings, comm.size())) return nullptr;
  return std::make_unique<UpdateShare>(comm, params);
}

}  // namespace

Learner::Learner(const Comm& comm, const Settings& settings, std::int64_t target_length)
    : comm_(comm),
      settings_(settings),
      target_length_(target_length),
      layout_(settings.virtual_ranks, comm.size(), settings.groups, settings.model.moe.num_experts),
      transport_(comm, layout_, transport_options(settings)),
      model_(settings.model, layout_, comm.rank(), settings.seed, Transformer::Gradients::yes),
      reducer_(comm, layout_, model_.parameters()),
      share_(make_share(comm, settings, model_.parameters())),
      optimizer_(make_optimizer(settings.optimizer, model_.parameters().params(), share_.get())) {}

BatchShape Learner::batch_shape(std::int64_t rows) const {
  return {
      .rows = rows, .input_length = settings_.spans.input_length, .target_length = target_length_};
}

StepContext Learner::context(Mode mode, PhaseTimer& timer) {
  return {.comm = comm_,
          .transport = transport_,
          .layout = layout_,
          .seed = settings_.seed,
          .step = steps_,
          .mode = mode,
          .timer = timer,
          .work = work_,
          .micro_steps = settings_.accumulation_steps};
}

std::vector<NamedTensor> Learner::tensors() {
  std::vector<NamedTensor> all = weights(model_);
  std::ranges::move(optimizer_->state(), std::back_inserter(all));
  return all;
}

UpdateShare::WholeState Learner::tensors_to_save() {
  if (!share_) return {tensors(), {}};
  UpdateShare::WholeState state = share_->gather_state(optimizer_->state());
  std::ranges::copy(weights(model_), std::inserter(state.tensors, state.tensors.begin()));
  return state;
}

void Learner::go_on_from(std::int64_t steps) {
  model_.round_weights();
  steps_ = steps;
}

const StepFigures& Learner::take_step(const ExampleSource& source) {
  const Clock::time_point begin = Clock::now();
  PhaseTimer timer;
  const Buffer<Batch> batches = read_step(source, timer);
  const Clock::time_point read = Clock::now();
  const Buffer<Transformer::Output> outputs = forward_backward(batches, timer);
  const double computing = seconds_since(read);
  const double norm = reduce_gradients(timer);
  describe_step(gather_statistics(comm_, layout_, batches, outputs), norm);
  if (!std::isfinite(figures_.loss_total) || !std::isfinite(norm)) return figures_;
  update(timer);
  ++steps_;

  // From here on values are only observed; no number that training computes depends on them.
  figures_.cost = gather_cost(comm_, {timer, computing, seconds_since(begin)},
                              figures_.statistics.layers.size());
  const std::int64_t positions =
      settings_.batch_size * (settings_.spans.input_length + target_length_);
  figures_.tokens_per_second = 1000 * static_cast<double>(positions) / figures_.cost->step_ms;
  return figures_;
}

// Reads all micro-steps of the next step before the first forward pass, since the loss of each is
// divided by the number of targets in the whole step. Collective.
Buffer<Batch> Learner::read_step(const ExampleSource& source, PhaseTimer& timer) const {
  const ScopedPhase phase(timer, Phase::input);
  const std::int64_t first = steps_ * settings_.batch_size;
  const Batch whole = build_batch(comm_, layout_, source, batch_shape(settings_.batch_size), first,
                                  first + settings_.batch_size);
  return split_batch(whole, settings_.accumulation_steps);
}

Buffer<Transformer::Output> Learner::forward_backward(std::span<const Batch> batches,
                                                      PhaseTimer& timer) {
  StepContext step = context(Mode::train, timer);
  model_.parameters().zero_gradients();
  Buffer<Transformer::Output> outputs;
  reducer_.begin();
  for (const Batch& batch : batches) {
    if (settings_.overlap_reduction && &batch == &batches.back()) {
      step.gradients = &reducer_;
      work_.between_products = [this] { reducer_.advance(); };
    }
    outputs.push_back(model_.forward_backward(step, batch));
  }
  work_.between_products = nullptr;
  return outputs;
}

// Sums the gradients over the run and returns their global norm. Collective.
double Learner::reduce_gradients(PhaseTimer& timer) {
  const ScopedPhase phase(timer, Phase::reduction);
  reducer_.finish();
  return gradient_norm(comm_, layout_, model_.parameters());
}

// Fills in `figures_` for the step in progress.
void Learner::describe_step(StepStatistics statistics, double norm) {
  const double loss = total_loss(statistics, settings_.model);
  figures_ = {.step = steps_ + 1,
              .samples = (steps_ + 1) * settings_.batch_size,
              .statistics = std::move(statistics),
              .loss_total = loss,
              .norm = norm,
              .learning_rate = learning_rate(settings_.schedule, steps_)};
}

void Learner::update(PhaseTimer& timer) {
  const ScopedPhase phase(timer, Phase::optimizer);
  ParamSet& params = model_.parameters();
  if (settings_.gradient_clipping > 0)
    clip_gradients(params, figures_.norm, settings_.gradient_clipping, share_.get());
  optimizer_->update(params.params(), steps_, figures_.learning_rate);
  if (share_) share_->gather_values();
  update_router_biases(figures_.statistics.layers, settings_.model.moe.bias_update_rate, params);
}

}  // namespace switchyard
