#include "train/trainer.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

#include "base/timer.hpp"
#include "checkpoint/load.hpp"
#include "checkpoint/save.hpp"
#include "checkpoint/store.hpp"
#include "comm/together.hpp"
#include "model/weights.hpp"
#include "record/saved_record.hpp"
#include "record/step_record.hpp"
#include "report/numbers.hpp"
#include "report/start_report.hpp"
#include "train/continuation.hpp"
#include "train/evaluator.hpp"

namespace switchyard {
namespace {

// A disk that has failed this many saves in a row is not expected to recover.
constexpr int most_failed_saves = 3;
// Limit on the unwritten records that a checkpoint stores.
constexpr std::size_t most_unwritten_bytes = 64 << 20;

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

// Whether the error may be a passing fault of the disk, so that a later save can succeed.
bool may_pass(const Error& error) {
  return error.code() == ExitCode::io_error || error.code() == ExitCode::output_not_writable ||
         error.code() == ExitCode::missing_input;
}

}  // namespace

ExitCode train(const TrainJob& job) {
  const RunDirectory run(job.env, job.comm, job.run_directory, job.log);
  const Continuation before = find_continuation(job, run.paths());
  if (before.is_complete) {
    job.log.info("nothing left to do: " + job.run_directory + " has " + grouped(before.state.step) +
                 " steps of train.steps = " + grouped(job.settings.steps) +
                 "; set train.steps higher to go on");
    return ExitCode::done;
  }
  if (job.run_begins) job.run_begins();
  Trainer trainer(job, run.paths());
  if (before.newest) trainer.resume(*before.newest, before.state);
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
                                          {.description = job_.data.description,
                                           .target_length = job_.data.target_length,
                                           .evaluated_samples = job_.evaluated_samples()});
  job_.log.info("training in " + job_.run_directory + "\n" + report);
  on_first(job_.comm, [&] {
    write_file_atomically(job_.env, paths_.config(), job_.config_text);
    const std::time_t now = std::time(nullptr);
    char date[32];
    std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
    append_provenance(job_.env, paths_,
                      std::string("started ") + date + "\n" + job_.version_text + report + "\n\n");
    return std::string();
  });
}

void Trainer::resume(const CheckpointReader& checkpoint, const RunState& state) {
  load_checkpoint(job_.comm, checkpoint,
                  state.is_imported() ? weights(learner_.model()) : learner_.tensors());
  learner_.go_on_from(state.step);
  first_step_ = saved_step_ = state.step;
  carried_records_ = state.unwritten_records;
  progress_.say((state.is_imported() ? "begins with imported weights"
                                     : "resumed from step " + std::to_string(step())) +
                " (" + checkpoint.directory() + ")");
}

ExitCode Trainer::run() {
  open_records();
  StopReason reason = stop_reason();
  if (reason == StopReason::none) reason = evaluate_if_missed();
  if (reason != StopReason::none) return stop(reason);
  if (settings_.steps == 0) save_at_last();

  while (step() < settings_.steps) {
    const StepFigures figures = learner_.take_step(job_.data.training);
    StepRecord record = to_record(figures, tokens_due());
    if (!was_taken(record)) give_up(record);
    seconds_ += record.step_ms() / 1000;
    record.set_seconds(seconds_);

    // From here on the step is only observed, written, and followed by the decision whether to
    // continue; no number that training computes depends on it.
    const bool is_last = step() == settings_.steps;
    if (!is_last) reason = stop_reason();
    if (leads()) progress_.step(record);
    if (reason == StopReason::none && evaluation_due()) reason = evaluate_into(record);
    keep(record);
    if (reason == StopReason::none && saving_due()) {
      is_last ? save_at_last() : save();
      if (!is_last) reason = stop_reason();  // a stop may have been requested while saving
    }
    if (reason != StopReason::none) return stop(reason);
  }
  return finish();
}

void Trainer::open_records() {
  on_first(job_.comm, [this] {
    metrics_.emplace(job_.env, job_.log, paths_.metrics(), step(), carried_records_);
    if (metrics_->last()) seconds_ = metrics_->last()->seconds();
    if (settings_.tensorboard) {
      tensorboard_.emplace(job_.env, job_.log,
                           TensorBoard::Start{.directory = paths_.run,
                                              .host = job_.host,
                                              .config_text = job_.config_text,
                                              .step = step()});
    }
    return std::string();
  });
}

// The reason to stop if any process has one; the largest where there are several. Collective.
StopReason Trainer::stop_reason() const {
  std::array<std::int64_t, 1> most = {static_cast<std::int64_t>(own_stop_reason())};
  all_reduce_max(job_.comm, most);
  return static_cast<StopReason>(most[0]);
}

// This process's reason to stop; only process 0 checks the stop file and the clock. However short
// the time limit, each start takes at least one step.
StopReason Trainer::own_stop_reason() const {
  if (job_.signals.requested()) return StopReason::signal;
  if (!leads()) return StopReason::none;
  if (stop_file_exists()) return StopReason::stop_file;
  const bool over = settings_.max_minutes && step() > first_step_ &&
                    seconds_since(started_) >= 60 * *settings_.max_minutes;
  return over ? StopReason::time_limit : StopReason::none;
}

// An error while looking for RUN/stop does not count as a request to stop.
bool Trainer::stop_file_exists() const {
  try {
    return job_.env.exists(paths_.stop());
  } catch (const Error&) {
    return false;
  }
}

// Whether the record of the step just taken lists the tokens of each expert. It depends on the step
// and the options alone, so that an interrupted run has the records of one that was not.
bool Trainer::tokens_due() const {
  return step() == 1 || step() == settings_.steps || step() % settings_.routing_log_interval == 0 ||
         evaluation_due();
}

bool Trainer::evaluation_due() const {
  if (job_.evaluated_samples() == 0) return false;
  if (step() == settings_.steps) return true;
  return settings_.eval_interval > 0 && step() > 0 && step() % settings_.eval_interval == 0;
}

bool Trainer::saving_due() const {
  if (step() == settings_.steps) return true;
  return settings_.checkpoint_interval > 0 && step() % settings_.checkpoint_interval == 0;
}

// Evaluates and adds the figures to `record`. Returns the reason to stop where one ended the
// evaluation early; then `record` has no evaluation and the next start evaluates instead.
// Collective.
StopReason Trainer::evaluate_into(StepRecord& record) {
  const Clock::time_point begin = Clock::now();
  PhaseTimer timer;
  StepContext context = learner_.context(Mode::evaluate, timer);
  const ValidationStream stream{.source = job_.data.validation,
                                .vocabulary = job_.data.vocabulary,
                                .samples = job_.evaluated_samples(),
                                .shape = learner_.batch_shape(settings_.rows_at_once())};
  StopReason reason = StopReason::none;
  const Evaluation evaluation = evaluate(context, learner_.model(), stream, {}, [&] {
    reason = stop_reason();
    return reason != StopReason::none;
  });
  if (evaluation.given_up) return reason;
  record_evaluation(evaluation, record);
  record.set_eval_ms(1000 * seconds_since(begin));
  const std::string text =
      evaluation.text_targets > 0 ? " | text " + fixed_width(evaluation.loss_text, 5) : "";
  progress_.say("eval " + std::to_string(step()) + " | loss " + fixed_width(evaluation.loss, 5) +
                text + " | ppl " + fixed_width(std::exp(evaluation.loss), 5) + " | " +
                std::to_string(evaluation.samples) + " samples in " +
                fixed_width(seconds_since(begin), 4) + " s");
  return StopReason::none;
}

// A run that is asked to stop saves at once, without an evaluation that was due. The next start
// does that evaluation here and adds it to the record of its step. Collective.
StopReason Trainer::evaluate_if_missed() {
  std::array<std::int64_t, 1> missed{};
  if (leads()) {
    const std::optional<StepRecord>& last = metrics_->last();
    missed[0] = evaluation_due() && last && last->step() == step() && !last->has_eval_samples();
  }
  all_reduce_max(job_.comm, missed);
  if (!missed[0]) return StopReason::none;
  StepRecord record = leads() ? *metrics_->last() : StepRecord();
  const StopReason reason = evaluate_into(record);
  if (reason != StopReason::none) return reason;
  on_first(job_.comm, [&] {
    const StepRecord before = *metrics_->last();
    metrics_->replace_last(record);
    if (tensorboard_) tensorboard_->append_added(before, record);
    return std::string();
  });
  return StopReason::none;
}

void Trainer::keep(const StepRecord& record) {
  if (leads()) metrics_->append(record);
  if (tensorboard_) tensorboard_->append(record);
}

// Saves at an interval. A failed save is retried when the next one is due, since later steps can
// still be saved. All processes fail together (save_checkpoint), so they count failures alike.
// Collective.
void Trainer::save() {
  try {
    write_checkpoint();
  } catch (const Error& error) {
    if (!may_pass(error)) throw;
    if (++failed_saves_ == most_failed_saves) {
      throw Error(ExitCode::io_error,
                  std::to_string(most_failed_saves) + " saves in a row failed, the last at step " +
                      std::to_string(step()) + ": " + error.what(),
                  error.hint());
    }
    const std::int64_t interval = settings_.checkpoint_interval;
    const std::int64_t next = std::min((step() / interval + 1) * interval, settings_.steps);
    job_.log.warning("step " + std::to_string(step()) + " is not saved (failure " +
                     std::to_string(failed_saves_) + " in a row, " +
                     std::to_string(most_failed_saves) + " end the run): " + error.what() +
                     "; training goes on, and step " + std::to_string(next) + " is to be saved");
  }
}

// Saves the last state of this start; a failure is an error, since there is no later save.
// Collective.
void Trainer::save_at_last() {
  try {
    write_checkpoint();
  } catch (const Error& error) {
    if (!may_pass(error)) throw;
    throw Error(ExitCode::io_error,
                "step " + std::to_string(step()) + " could not be saved: " + error.what(),
                error.hint());
  }
}

void Trainer::write_checkpoint() {
  const Clock::time_point begin = Clock::now();
  const RunState state{.step = step(),
                       .samples = step() * settings_.batch_size,
                       .config_text = job_.config_text,
                       .data_digest = job_.data.digest,
                       .tokenizer_digest = job_.data.tokenizer_digest,
                       .build = job_.build,
                       .unwritten_records = unwritten_records()};
  const UpdateShare::WholeState contents = learner_.tensors_to_save();
  const std::string directory = save_checkpoint(job_.env, job_.comm, learner_.layout(),
                                                paths_.checkpoints(), state, contents.tensors);
  saved_step_ = step();
  failed_saves_ = 0;
  forgive("that it was saved is not written down",
          [&] { remember_saved(job_.env, paths_, saved_step_); });
  forgive("older checkpoints stay", [&] {
    apply_retention(job_.env, paths_.checkpoints(), saved_step_, settings_.keep_last);
  });
  progress_.say("saved " + directory + " in " + fixed_width(seconds_since(begin), 4) + " s");
}

// The records that the checkpoint must store because metrics.jsonl lacks them, on process 0; ""
// elsewhere. All other records are made durable. Collective.
std::string Trainer::unwritten_records() {
  on_first(job_.comm, [this] {
    metrics_->sync();
    if (tensorboard_) tensorboard_->sync();
    if (metrics_->unwritten().size() > most_unwritten_bytes) {
      throw Error(ExitCode::io_error, paths_.metrics() + " could not be written for too long",
                  "make room on the disk");
    }
    return std::string();
  });
  return leads() ? metrics_->unwritten() : "";
}

// Turns an error of process 0 in a dispensable action into a warning.
void Trainer::forgive(const std::string& what, const std::function<void()>& action) {
  if (!leads()) return;
  try {
    action();
  } catch (const Error& error) {
    job_.log.warning(what + ": " + error.what());
  }
}

ExitCode Trainer::stop(StopReason reason) {
  if (saved_step_ != step()) save_at_last();
  forgive("remove RUN/stop yourself", [this] { job_.env.remove_file(paths_.stop()); });
  progress_.say((step() == 0 ? "stopped before the first step"
                             : "stopped after step " + std::to_string(step())) +
                " (" + reason_text(reason) + "); go on with: " + job_.continue_command);
  return ExitCode::preempted;
}

ExitCode Trainer::finish() {
  progress_.say("done: " + grouped(step()) + " steps, " + clock_text(seconds_) + " of training");
  on_first(job_.comm, [this]() -> std::string {
    if (metrics_->unwritten().empty()) return "";
    throw Error(ExitCode::io_error,
                "the last checkpoint has all steps, but " + paths_.metrics() +
                    " could not be written to the end",
                "make room on the disk, then start the same command again: it writes what is "
                "missing");
  });
  return ExitCode::done;
}

// Keeps the record of the diverged step for inspection, and throws; a resumed run removes the
// record.
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
