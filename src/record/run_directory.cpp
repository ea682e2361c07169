#include "record/run_directory.hpp"

#include <algorithm>
#include <filesystem>
#include <span>
#include <vector>

#include "base/error.hpp"
#include "checkpoint/store.hpp"
#include "checkpoint/visibility.hpp"
#include "comm/together.hpp"

namespace switchyard {
namespace {

// Any failure to create the run's directory is reported as Error(output_not_writable), whatever the
// system's reason.
void make_run_directory(Env& env, const std::string& path) {
  try {
    make_durable_directories(env, path);
  } catch (const Error& error) {
    throw Error(ExitCode::output_not_writable, error.what(), "choose another --output");
  }
}

// Whether the directory holds files that the program writes and that would not be there by chance.
bool is_run(const Env& env, const RunPaths& run) {
  const auto has = [&](const std::string& path) { return env.exists(path); };
  if (has(run.lock()) && has(run.log())) return true;  // a start that ended early
  return has(run.config()) &&
         (has(run.lock()) || has(run.checkpoints()) || has(run.build()) || has(run.metrics()));
}

// Names that may exist before a new run: created for it, by the file system, or hidden.
bool may_be_there_before(const std::string& name) {
  constexpr const char* names[] = {"checkpoints", "hugging_face", "study.txt", "lost+found",
                                   "lock"};
  return name.starts_with(".") || std::ranges::count(names, name) > 0;
}

// Called before anything is written, since a run's many files would otherwise mix with a user's.
void require_run_or_room(const Env& env, const RunPaths& run) {
  if (!env.is_directory(run.run) || is_run(env, run)) return;
  std::vector<std::string> others = env.list_directory(run.run);
  std::erase_if(others, may_be_there_before);
  if (others.empty()) return;
  const std::string more =
      others.size() > 1 ? " and " + std::to_string(others.size() - 1) + " more" : "";
  throw Error(ExitCode::output_not_writable,
              run.run + " is no run, and holds " + others[0] + more +
                  ": training would mix its files with those",
              "choose another --output: a new directory, an empty one, or a run");
}

}  // namespace

RunPaths run_of(const std::string& checkpoint) {
  const std::filesystem::path path = std::filesystem::absolute(checkpoint).lexically_normal();
  return {parent_directory(parent_directory(path.string()))};
}

RunDirectory::RunDirectory(Env& env, const Comm& comm, const std::string& path, Log& log,
                           std::chrono::milliseconds patience)
    : paths_{path} {
  on_first(comm, [&] {
    require_run_or_room(env, paths_);
    make_run_directory(env, path);
    lock_.emplace(path);
    env.make_directories(paths_.checkpoints());
    clean_leftovers(env, paths_.checkpoints());
    env.remove_file(paths_.stop());  // a request meant for an earlier start
    log.append_to(paths_.log());
    return std::string();
  });
  require_seen_by_all(env, comm, paths_.checkpoints(), patience);
}

void append_provenance(Env& env, const RunPaths& paths, const std::string& text) {
  const auto file = env.open_for_append(paths.build());
  file->append(std::as_bytes(std::span(text.data(), text.size())));
  file->sync();
  file->close();
}

}  // namespace switchyard
