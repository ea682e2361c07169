// The training loop: steps, and between them evaluation, saving and stopping. Every decision is
// made from values that are equal on all processes, so all processes decide alike.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "checkpoint/reader.hpp"
#include "checkpoint/run_state.hpp"
#include "record/metrics.hpp"
#include "record/run_directory.hpp"
#include "record/tensorboard.hpp"
#include "report/progress.hpp"
#include "train/job.hpp"
#include "train/learner.hpp"

namespace switchyard {

// Trains until train.steps, continuing from the run's newest valid checkpoint where there is one.
// Returns `done`, or `preempted` when it was asked to stop and has saved. Throws
// Error(output_not_writable) before anything is computed; Error(mismatch) where the directory holds
// a different run; Error(damaged_data) where no checkpoint is valid or all saved ones are gone;
// Error(diverged); Error(io_error) where the last state could not be saved or several saves in a
// row failed. Collective.
ExitCode train(const TrainJob& job);

// Why a run stops before its last step. Where there are several reasons, the largest is reported.
enum class StopReason : std::int64_t { none, time_limit, stop_file, signal };

// The loop behind `train`. The caller holds the lock of the run directory.
class Trainer {
 public:
  Trainer(const TrainJob& job, const RunPaths& paths);

  // Continues from a checkpoint. Collective.
  void resume(const CheckpointReader& checkpoint, const RunState& state);
  ExitCode run();

 private:
  using Clock = std::chrono::steady_clock;

  void open_records();
  StopReason stop_reason() const;
  StopReason own_stop_reason() const;
  bool stop_file_exists() const;
  bool tokens_due() const;
  bool evaluation_due() const;
  bool saving_due() const;
  StopReason evaluate_into(StepRecord& record);
  StopReason evaluate_if_missed();
  void keep(const StepRecord& record);
  void save();
  void save_at_last();
  void write_checkpoint();
  std::string unwritten_records();
  void forgive(const std::string& what, const std::function<void()>& action);
  ExitCode stop(StopReason reason);
  ExitCode finish();
  [[noreturn]] void give_up(const StepRecord& record);
  std::int64_t step() const { return learner_.steps(); }  // taken over all starts
  bool leads() const { return job_.comm.rank() == Rank(0); }

  const TrainJob& job_;
  const Settings& settings_;
  RunPaths paths_;
  Learner learner_;
  Progress progress_;
  std::optional<MetricsFile> metrics_;      // on process 0 only
  std::optional<TensorBoard> tensorboard_;  // on process 0 only, if enabled
  const Clock::time_point started_ = Clock::now();
  std::int64_t first_step_ = 0;  // steps taken before this start
  // The newest checkpoint's step; before the first step there is nothing to save.
  std::int64_t saved_step_ = 0;
  int failed_saves_ = 0;         // failed saves since that checkpoint
  std::string carried_records_;  // lines of metrics.jsonl that the checkpoint has stored
  double seconds_ = 0;           // spent in steps, over all starts
};

}  // namespace switchyard
