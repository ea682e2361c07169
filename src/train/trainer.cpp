#include "train/trainer.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <span>

#include "checkpoint/load.hpp"
#include "checkpoint/save.hpp"
#include "checkpoint/store.hpp"
#include "optim/gradient_sync.hpp"
#include "train/exchange_record.hpp"
#include "train/router_bias.hpp"
#include "train/start_report.hpp"
#include "train/step_statistics.hpp"
#include "train/weights.hpp"

namespace switchyard {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

// The validation samples that an evaluation uses.
std::int64_t evaluated_samples(const Settings& settings, const TrainingData& data) {
  return std::min(settings.eval_samples, data.validation_samples);
}

BatchShape batch_shape(std::int64_t rows, const Settings& settings, const TrainingData& data) {
  return {.rows = rows,
          .input_length = settings.spans.input_length,
          .target_length = data.target_length};
}

const char* reason_text(StopReason reason) {
  switch (reason) {
    case StopReason::time_limit:
      return "train.max_minutes is over";
    case StopReason::stop_file:
      return "RUN/stop was made";
    default:
      return "asked by a signal";
  }
}

// A run on the same data that this configuration may go on with, or Error(mismatch). An imported
// model fixes its tensors alone, and its tokenizer where it brought one.
void require_same_run(const TrainJob& job, const RunState& state) {
  const std::string hint =
      "use another --output for another run, or give the run what it began with";
  const std::vector<std::string> changes = job.changed_fixed_fields(state.config_text);
  if (!changes.empty() && !state.is_imported()) {
    std::string list = changes[0];
    for (std::size_t i = 1; i < changes.size(); ++i) list += "; " + changes[i];
    throw Error(ExitCode::mismatch,
                "the run in " + job.run_directory + " has another configuration: " + list, hint);
  }
  if (state.tokenizer_digest != job.data.tokenizer_digest &&
      !(state.is_imported() && state.tokenizer_digest.empty())) {
    throw Error(ExitCode::mismatch,
                "the run in " + job.run_directory + " was trained with another tokenizer", hint);
  }
  if (state.data_digest != job.data.digest && !state.is_imported()) {
    throw Error(ExitCode::mismatch,
                "the run in " + job.run_directory + " was trained on other data", hint);
  }
}

void warn_of_other_bits(const TrainJob& job, const BuildInfo& before) {
  if (before.isa == job.build.isa && before.probe_products == job.build.probe_products &&
      before.onednn_version == job.build.onednn_version) {
    return;
  }
  job.log.warning(
      "this machine computes other bits than the one that wrote the checkpoint (oneDNN " +
      before.onednn_version + " " + before.isa + " then, " + job.build.onednn_version + " " +
      job.build.isa + " now): the run goes on, but not with the bits it would have had there");
}

void record_times(const PhaseTimer& timer, StepRecord& record) {
  const auto ms = [&](Phase phase) { return 1000 * timer.seconds(phase); };
  record.set_input_ms(ms(Phase::input));
  record.set_embedding_ms(ms(Phase::embedding));
  record.set_attention_ms(ms(Phase::attention));
  record.set_feed_forward_ms(ms(Phase::feed_forward));
  record.set_routing_ms(ms(Phase::routing));
  record.set_experts_ms(ms(Phase::experts));
  record.set_logits_ms(ms(Phase::logits));
  record.set_reduction_ms(ms(Phase::reduction));
  record.set_optimizer_ms(ms(Phase::optimizer));
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

}  // namespace

ExitCode train(const TrainJob& job) {
  const RunDirectory run(job.env, job.comm, job.run_directory, job.log);
  const RunPaths& paths = run.paths();
  const auto newest = find_newest_valid(job.env, job.comm, paths.checkpoints(), job.log);
  RunState state;
  if (newest) {
    state = read_run_state(job.env, newest->directory);
    require_same_run(job, state);
    warn_of_other_bits(job, state.build);
  }
  if (newest && state.step >= job.settings.steps) {
    job.log.info("nothing left to do: " + job.run_directory + " has " + grouped(state.step) +
                 " steps of train.steps = " + grouped(job.settings.steps) +
                 "; set train.steps higher to go on");
    return ExitCode::done;
  }
  Trainer trainer(job, paths);
  if (newest) trainer.resume(newest->directory, state);
  return trainer.run();
}

Trainer::Trainer(const TrainJob& job, const RunPaths& paths)
    : job_(job),
      settings_(job.settings),
      paths_(paths),
      layout_(settings_.virtual_ranks, job.comm.size(), settings_.groups,
              settings_.model.moe.num_experts),
      model_(settings_.model, layout_, job.comm.rank(), settings_.seed,
             Transformer::Gradients::yes),
      optimizer_(make_optimizer(settings_.optimizer, model_.parameters().params())),
      progress_(job.log, leads() && isatty(STDERR_FILENO), settings_.steps,
                settings_.log_interval) {
  const std::string report = start_report(job_.comm, layout_, job_.host, settings_,
                                          job_.data.target_length, job_.data.description);
  job_.log.info("training in " + job_.run_directory + "\n" + report);
  if (!leads()) return;
  write_file_atomically(job_.env, paths_.config(), job_.config_text);
  const std::time_t now = std::time(nullptr);
  char date[32];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  append_provenance(job_.env, paths_,
                    std::string("started ") + date + "\n" + job_.version_text + report + "\n\n");
}

void Trainer::resume(const std::string& checkpoint_directory, const RunState& state) {
  load_checkpoint(job_.env, job_.comm, checkpoint_directory,
                  state.is_imported() ? weights(model_) : tensors());
  model_.round_weights();
  step_ = state.step;
  progress_.say((state.is_imported() ? "begins with imported weights"
                                     : "resumed from step " + std::to_string(step_)) +
                " (" + checkpoint_directory + ")");
}

ExitCode Trainer::run() {
  if (leads()) {
    metrics_.emplace(job_.env, paths_.metrics(), step_);
    if (metrics_->last()) seconds_ = metrics_->last()->seconds();
    if (settings_.tensorboard) {
      tensorboard_.emplace(job_.env, job_.log,
                           TensorBoard::Start{.directory = paths_.run,
                                              .host = job_.host,
                                              .config_text = job_.config_text,
                                              .step = step_});
    }
  }
  evaluate_if_missed();
  if (settings_.steps == 0) save();
  ParamSet& params = model_.parameters();

  while (step_ < settings_.steps) {
    const Clock::time_point begin = Clock::now();
    PhaseTimer timer;
    StepContext step = context(Mode::train, timer);
    const std::vector<Batch> batches = read_step(timer);
    params.zero_gradients();
    std::vector<Transformer::Output> outputs;
    for (const Batch& batch : batches) {
      outputs.push_back(model_.forward(step, batch));
      model_.backward(step, batch, outputs.back());
    }

    const double norm = [&] {
      const ScopedPhase phase(timer, Phase::reduction);
      synchronize_gradients(job_.comm, layout_, params);
      return gradient_norm(job_.comm, layout_, params);
    }();
    const double rate = learning_rate(settings_.schedule, step_);
    StepRecord record = new_record(rate, norm);
    const StepStatistics statistics = gather_statistics(job_.comm, layout_, batches, outputs);
    record_statistics(statistics, settings_.model, record);
    if (!std::isfinite(record.loss_total()) || !std::isfinite(norm)) give_up(record);

    {
      const ScopedPhase phase(timer, Phase::optimizer);
      if (settings_.gradient_clipping > 0)
        clip_gradients(params, norm, settings_.gradient_clipping);
      optimizer_->update(params.params(), step_, rate);
      update_router_biases(statistics.layers, settings_.model.moe.bias_update_rate, params);
      model_.round_weights();
    }
    ++step_;

    // What follows only looks, writes and decides whether to go on; no number depends on it.
    StopReason reason = finish_step(timer, seconds_since(begin), record);
    if (step_ == settings_.steps) reason = StopReason::none;
    if (leads()) progress_.step(record);
    if (reason == StopReason::none && evaluation_due()) evaluate_into(record);
    keep(record);
    if (reason != StopReason::none) return stop(reason);
    if (saving_due()) save();
  }
  progress_.say("done: " + grouped(step_) + " steps, " + clock_text(seconds_) + " of training");
  return ExitCode::done;
}

// The micro-steps of the step that is to be taken: all are read before the first forward, since the
// step's count of targets divides the loss of each.
std::vector<Batch> Trainer::read_step(PhaseTimer& timer) const {
  const ScopedPhase phase(timer, Phase::input);
  const std::int64_t first = step_ * settings_.batch_size;
  const Batch whole = build_batch(job_.comm, layout_, job_.data.training,
                                  batch_shape(settings_.batch_size, settings_, job_.data), first,
                                  first + settings_.batch_size);
  return split_batch(whole, settings_.accumulation_steps);
}

StepContext Trainer::context(Mode mode, PhaseTimer& timer) {
  return {.comm = job_.comm,
          .layout = layout_,
          .seed = settings_.seed,
          .step = step_,
          .mode = mode,
          .timer = timer,
          .work = work_,
          .micro_steps = settings_.accumulation_steps};
}

// Of the step that is being taken.
StepRecord Trainer::new_record(double learning_rate, double norm) const {
  StepRecord record;
  record.set_step(step_ + 1);
  record.set_samples((step_ + 1) * settings_.batch_size);
  record.set_norm(norm);
  record.set_lr(learning_rate);
  return record;
}

// The slowest process's times, the largest one's memory, and whether any was asked to stop: one
// exchange for all of them. Collective.
StopReason Trainer::finish_step(const PhaseTimer& timer, double seconds, StepRecord& record) {
  constexpr auto phases = static_cast<std::size_t>(Phase::count);
  constexpr double nanoseconds = 1e9;
  std::array<std::int64_t, phases + 3> most{};
  for (std::size_t i = 0; i < phases; ++i) {
    most[i] = std::llround(timer.seconds(static_cast<Phase>(i)) * nanoseconds);
  }
  most[phases] = std::llround(seconds * nanoseconds);
  most[phases + 1] = peak_memory_bytes();
  most[phases + 2] = static_cast<std::int64_t>(own_stop_reason());
  all_reduce_max(job_.comm, most);

  PhaseTimer slowest;
  for (std::size_t i = 0; i < phases; ++i) {
    slowest.add(static_cast<Phase>(i), static_cast<double>(most[i]) / nanoseconds);
  }
  record_times(slowest, record);
  record_exchange(job_.comm, timer.transfers(), record);
  const double step_seconds = static_cast<double>(most[phases]) / nanoseconds;
  seconds_ += step_seconds;
  record.set_seconds(seconds_);
  record.set_step_ms(1000 * step_seconds);
  const std::int64_t positions =
      settings_.batch_size * (settings_.spans.input_length + job_.data.target_length);
  record.set_tokens_per_second(static_cast<double>(positions) / step_seconds);
  record.set_peak_memory(most[phases + 1]);
  return static_cast<StopReason>(most[phases + 2]);
}

// Of this process; only process 0 looks at files and at the clock.
StopReason Trainer::own_stop_reason() const {
  if (job_.signals.requested()) return StopReason::signal;
  if (!leads()) return StopReason::none;
  if (job_.env.exists(paths_.stop())) return StopReason::stop_file;
  const bool over = settings_.max_minutes && seconds_since(started_) >= 60 * *settings_.max_minutes;
  return over ? StopReason::time_limit : StopReason::none;
}

bool Trainer::evaluation_due() const {
  if (evaluated_samples(settings_, job_.data) == 0) return false;
  if (step_ == settings_.steps) return true;
  return settings_.eval_interval > 0 && step_ > 0 && step_ % settings_.eval_interval == 0;
}

bool Trainer::saving_due() const {
  if (step_ == settings_.steps) return true;
  return settings_.checkpoint_interval > 0 && step_ % settings_.checkpoint_interval == 0;
}

void Trainer::evaluate_into(StepRecord& record) {
  const Clock::time_point begin = Clock::now();
  PhaseTimer timer;
  StepContext step = context(Mode::evaluate, timer);
  const ValidationStream stream{
      .source = job_.data.validation,
      .vocabulary = job_.data.vocabulary,
      .samples = evaluated_samples(settings_, job_.data),
      .shape = batch_shape(settings_.rows_at_once(), settings_, job_.data)};
  const Evaluation evaluation = evaluate(step, model_, stream);
  record_evaluation(evaluation, record);
  record.set_eval_ms(1000 * seconds_since(begin));
  const std::string text =
      evaluation.text_targets > 0 ? " | text " + fixed_width(evaluation.loss_text, 5) : "";
  progress_.say("eval " + std::to_string(step_) + " | loss " + fixed_width(evaluation.loss, 5) +
                text + " | ppl " + fixed_width(std::exp(evaluation.loss), 5) + " | " +
                std::to_string(evaluation.samples) + " samples in " +
                fixed_width(seconds_since(begin), 4) + " s");
}

// A run that is stopped saves at once, even where it would have evaluated first: then the
// evaluation is made up for here, and joins its step's record.
void Trainer::evaluate_if_missed() {
  std::array<std::int64_t, 1> missed{};
  if (leads()) {
    const std::optional<StepRecord>& last = metrics_->last();
    missed[0] = evaluation_due() && last && last->step() == step_ && !last->has_eval_loss();
  }
  all_reduce_max(job_.comm, missed);
  if (!missed[0]) return;
  StepRecord record = leads() ? *metrics_->last() : StepRecord();
  evaluate_into(record);
  if (!leads()) return;
  const StepRecord before = *metrics_->last();
  metrics_->replace_last(record);
  if (tensorboard_) tensorboard_->append_added(before, record);
}

void Trainer::keep(const StepRecord& record) {
  if (leads()) metrics_->append(record);
  if (tensorboard_) tensorboard_->append(record);
}

void Trainer::save() {
  const Clock::time_point begin = Clock::now();
  if (leads()) metrics_->sync();
  if (tensorboard_) tensorboard_->sync();
  const RunState state{.step = step_,
                       .samples = step_ * settings_.batch_size,
                       .config_text = job_.config_text,
                       .data_digest = job_.data.digest,
                       .tokenizer_digest = job_.data.tokenizer_digest,
                       .build = job_.build};
  const std::string directory =
      save_checkpoint(job_.env, job_.comm, layout_, paths_.checkpoints(), state, tensors());
  if (leads()) apply_retention(job_.env, paths_.checkpoints(), settings_.keep_last);
  progress_.say("saved " + directory + " in " + fixed_width(seconds_since(begin), 4) + " s");
}

ExitCode Trainer::stop(StopReason reason) {
  save();
  if (leads()) job_.env.remove_file(paths_.stop());
  progress_.say("stopped after step " + std::to_string(step_) + " (" + reason_text(reason) +
                "); go on with: " + job_.continue_command);
  return ExitCode::preempted;
}

// The record of the step that went wrong stays for whoever looks into it; a resume cuts it off.
void Trainer::give_up(const StepRecord& record) {
  keep(record);
  const auto figure = [](double value) { return std::isfinite(value) ? "finite" : "not finite"; };
  throw Error(ExitCode::diverged,
              "training diverged at step " + std::to_string(record.step()) + ": the loss is " +
                  figure(record.loss_total()) + ", the gradient norm is " + figure(record.norm()),
              "the checkpoints are those from before; begin again with a smaller "
              "optimizer.learning_rate or more optimizer.linear_warmup_steps");
}

// Weights and optimizer state, as checkpoints name them.
std::vector<NamedTensor> Trainer::tensors() {
  std::vector<NamedTensor> all = weights(model_);
  std::ranges::move(optimizer_->state(), std::back_inserter(all));
  return all;
}

}  // namespace switchyard
