#include "train/continuation.hpp"

#include <string>
#include <vector>

#include "base/error.hpp"
#include "checkpoint/store.hpp"
#include "comm/together.hpp"
#include "files/sha256.hpp"
#include "record/metrics.hpp"
#include "record/saved_record.hpp"
#include "report/numbers.hpp"

namespace switchyard {
namespace {

// Error(mismatch) unless this configuration may continue the run of `state` on the same data. An
// imported model fixes only its tensors, and its tokenizer if it came with one.
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
                "the run in " + job.run_directory + " was trained with another tokenizer: it is " +
                    unlike(job.data.tokenizer_digest, state.tokenizer_digest),
                hint);
  }
  if (state.data_digest != job.data.digest && !state.is_imported()) {
    throw Error(ExitCode::mismatch,
                "the run in " + job.run_directory + " was trained on other data: it is " +
                    unlike(job.data.digest, state.data_digest),
                hint);
  }
}

// There is no checkpoint: the run is new, ended before its first checkpoint, or has lost its
// checkpoints. In the last case it starts over only with --restart. Collective.
void begin_at_step_1(const TrainJob& job, const RunPaths& paths) {
  on_first(job.comm, [&] {
    const auto evidence = evidence_of_saving(job.env, paths);
    if (evidence && !job.restart) {
      throw Error(ExitCode::damaged_data,
                  "the run in " + job.run_directory + " has saved checkpoints (" + *evidence +
                      "), but " + paths.checkpoints() + " holds none",
                  "put them back from a backup; or begin again at step 1 with --restart, which "
                  "drops what metrics.jsonl has");
    }
    if (evidence) {
      job.log.info("begins again at step 1, as --restart says: the checkpoints of the run in " +
                   job.run_directory + " are gone");
    } else if (job.env.exists(paths.build())) {
      job.log.info("begins again at step 1: the run in " + job.run_directory +
                   " ended before its first checkpoint");
    }
    remember_nothing_saved(job.env, paths);
    return std::string();
  });
}

// Warns where the newest checkpoint is older than the last one that the run has saved. Collective.
void compare_with_record(const TrainJob& job, const RunPaths& paths, std::int64_t newest) {
  on_first(job.comm, [&] {
    const auto remembered = remembered_step(job.env, paths);
    if (!remembered) remember_saved(job.env, paths, newest);
    const std::int64_t there = list_checkpoints(job.env, paths.checkpoints()).front().step;
    if (remembered && *remembered > there) {
      job.log.warning("the run has saved step " + grouped(*remembered) + " (" + paths.saved() +
                      "), but of its checkpoints the newest is of step " + grouped(there));
    }
    return std::string();
  });
}

void require_no_restart(const TrainJob& job, const CheckpointReader& newest) {
  if (!job.restart) return;
  throw Error(ExitCode::usage,
              "train: --restart is for a run whose checkpoints are gone, but " +
                  newest.directory() + " is there",
              "leave --restart out to go on from it; to begin again, choose another --output or "
              "remove the checkpoints");
}

void warn_of_other_bits(const TrainJob& job, const BuildInfo& before) {
  if (before.isa == job.build.isa && before.probe_products == job.build.probe_products &&
      before.onednn_version == job.build.onednn_version) {
    return;
  }
  const auto text = [](const BuildInfo& build) {
    return "oneDNN " + build.onednn_version + " on " + build.isa + ", hash of probes " +
           std::to_string(build.probe_products);
  };
  job.log.warning("this machine computes other bits than the one that wrote the checkpoint (" +
                  text(before) + " then; " + text(job.build) +
                  " now): the run goes on, but not with the bits it would have had there");
}

// Whether a run that has taken all its steps also has the records of all steps and the evaluation
// of the last one; a stop or a full disk may have prevented either. Collective.
bool is_complete(const TrainJob& job, const RunPaths& paths, const RunState& state) {
  const std::string lacks = on_first(job.comm, [&]() -> std::string {
    const std::optional<StepRecord> last = last_record(job.env, paths.metrics());
    if (!state.unwritten_records.empty() && (!last || last->step() < state.step)) return "records";
    const bool is_last = last && last->step() == state.step && state.step == job.settings.steps;
    if (!is_last || last->has_eval_samples()) return "";
    return job.evaluated_samples() > 0 ? "an evaluation" : "";
  });
  return lacks.empty();
}

}  // namespace

Continuation find_continuation(const TrainJob& job, const RunPaths& paths) {
  Continuation found{.newest = open_newest_valid(job.env, job.comm, paths.checkpoints(), job.log)};
  if (!found.newest) {
    begin_at_step_1(job, paths);
    return found;
  }
  found.state = found.newest->state();
  require_no_restart(job, *found.newest);
  require_same_run(job, found.state);
  warn_of_other_bits(job, found.state.build);
  compare_with_record(job, paths, found.state.step);
  found.is_complete =
      found.state.step >= job.settings.steps && is_complete(job, paths, found.state);
  return found;
}

}  // namespace switchyard
