#include "train/trainer.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

#include "checkpoint/load.hpp"
#include "checkpoint/save.hpp"
#include "checkpoint/store.hpp"
#include "train/start_report.hpp"
#include "train/step_cost.hpp"
#include "train/weights.hpp"

namespace switchyard {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The validation samples that an evaluation uses.
std::int64_t evaluated_samples(const Settings& settings, const TrainingData& data) {
  return std::min(settings.eval_samples, data.validation_samples);
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
      learner_(job.comm, settings_, job.data.target_length),
      progress_(job.log, leads() && isatty(STDERR_FILENO), settings_.steps,
                settings_.log_interval) {
  const std::string report = start_report(job_.comm, learner_.layout(), job_.host, settings_,
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
                  state.is_imported() ? weights(learner_.model()) : learner_.tensors());
  learner_.go_on_from(state.step);
  progress_.say((state.is_imported() ? "begins with imported weights"
                                     : "resumed from step " + std::to_string(step())) +
                " (" + checkpoint_directory + ")");
}

ExitCode Trainer::run() {
  if (leads()) {
    metrics_.emplace(job_.env, paths_.metrics(), step());
    if (metrics_->last()) seconds_ = metrics_->last()->seconds();
    if (settings_.tensorboard) {
      tensorboard_.emplace(job_.env, job_.log,
                           TensorBoard::Start{.directory = paths_.run,
                                              .host = job_.host,
                                              .config_text = job_.config_text,
                                              .step = step()});
    }
  }
  evaluate_if_missed();
  if (settings_.steps == 0) save();

  while (step() < settings_.steps) {
    StepRecord record = learner_.take_step(job_.data.training);
    if (!was_taken(record)) give_up(record);
    seconds_ += record.step_ms() / 1000;
    record.set_seconds(seconds_);

    // What follows only looks, writes and decides whether to go on; no number depends on it.
    const StopReason reason = step() < settings_.steps ? stop_reason() : StopReason::none;
    if (leads()) progress_.step(record);
    if (reason == StopReason::none && evaluation_due()) evaluate_into(record);
    keep(record);
    if (reason != StopReason::none) return stop(reason);
    if (saving_due()) save();
  }
  progress_.say("done: " + grouped(step()) + " steps, " + clock_text(seconds_) + " of training");
  return ExitCode::done;
}

// Whether any process was asked to stop. Collective.
StopReason Trainer::stop_reason() const {
  std::array<std::int64_t, 1> most = {static_cast<std::int64_t>(own_stop_reason())};
  all_reduce_max(job_.comm, most);
  return static_cast<StopReason>(most[0]);
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
  if (step() == settings_.steps) return true;
  return settings_.eval_interval > 0 && step() > 0 && step() % settings_.eval_interval == 0;
}

bool Trainer::saving_due() const {
  if (step() == settings_.steps) return true;
  return settings_.checkpoint_interval > 0 && step() % settings_.checkpoint_interval == 0;
}

void Trainer::evaluate_into(StepRecord& record) {
  const Clock::time_point begin = Clock::now();
  PhaseTimer timer;
  StepContext context = learner_.context(Mode::evaluate, timer);
  const ValidationStream stream{.source = job_.data.validation,
                                .vocabulary = job_.data.vocabulary,
                                .samples = evaluated_samples(settings_, job_.data),
                                .shape = learner_.batch_shape(settings_.rows_at_once())};
  const Evaluation evaluation = evaluate(context, learner_.model(), stream);
  record_evaluation(evaluation, record);
  record.set_eval_ms(1000 * seconds_since(begin));
  const std::string text =
      evaluation.text_targets > 0 ? " | text " + fixed_width(evaluation.loss_text, 5) : "";
  progress_.say("eval " + std::to_string(step()) + " | loss " + fixed_width(evaluation.loss, 5) +
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
    missed[0] = evaluation_due() && last && last->step() == step() && !last->has_eval_loss();
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
  const RunState state{.step = step(),
                       .samples = step() * settings_.batch_size,
                       .config_text = job_.config_text,
                       .data_digest = job_.data.digest,
                       .tokenizer_digest = job_.data.tokenizer_digest,
                       .build = job_.build};
  const std::string directory = save_checkpoint(job_.env, job_.comm, learner_.layout(),
                                                paths_.checkpoints(), state, learner_.tensors());
  if (leads()) apply_retention(job_.env, paths_.checkpoints(), settings_.keep_last);
  progress_.say("saved " + directory + " in " + fixed_width(seconds_since(begin), 4) + " s");
}

ExitCode Trainer::stop(StopReason reason) {
  save();
  if (leads()) job_.env.remove_file(paths_.stop());
  progress_.say("stopped after step " + std::to_string(step()) + " (" + reason_text(reason) +
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

}  // namespace switchyard
