#include "checkpoint/store.hpp"

#include <algorithm>
#include <cstdio>
#include <set>

#include "base/error.hpp"
#include "checkpoint/manifest.hpp"
#include "checkpoint/visibility.hpp"
#include "comm/together.hpp"

namespace switchyard {
namespace {

constexpr std::string_view step_prefix = "step-", trash_prefix = ".trash-";

std::optional<std::string> contradiction(const Manifest& manifest, const CheckpointEntry& entry) {
  if (manifest.step() == entry.step) return std::nullopt;
  return entry.directory + " holds step " + std::to_string(manifest.step());
}

// The newest existing checkpoint that is not in `damaged`; nullopt where none was ever committed.
// Throws Error(damaged_data) where all are damaged. Collective.
std::optional<CheckpointEntry> newest_but(const Env& env, const Comm& comm,
                                          const std::string& checkpoints_directory,
                                          const std::set<std::int64_t>& damaged) {
  const std::string directory = on_first(comm, [&]() -> std::string {
    const auto all = list_checkpoints(env, checkpoints_directory);
    for (const CheckpointEntry& entry : all)
      if (!damaged.contains(entry.step)) return entry.directory;
    if (all.empty()) return "";
    throw Error(ExitCode::damaged_data,
                "none of the " + std::to_string(all.size()) + " checkpoints in " +
                    checkpoints_directory + " is valid",
                "restore one from a backup, or start anew in another directory");
  });
  if (directory.empty()) return std::nullopt;
  return CheckpointEntry{*step_of(base_name(directory)), directory};
}

// Whether process 0 sees the directory. Collective.
bool is_there(const Env& env, const Comm& comm, const std::string& directory) {
  return !on_first(comm, [&] { return std::string(env.exists(directory) ? "yes" : ""); }).empty();
}

// Opens a checkpoint that the user named, with no other to fall back to. Collective.
CheckpointReader open_named(const Env& env, const Comm& comm, const std::string& directory) {
  try {
    return open_valid(env, comm, directory);
  } catch (const Error& error) {  // the same error on all processes
    const std::string hint =
        "give the run's directory instead: its newest valid checkpoint is then used";
    if (!is_there(env, comm, directory))
      throw Error(ExitCode::missing_input, directory + " was deleted while it was read", hint);
    if (error.code() != ExitCode::damaged_data) throw;
    throw Error(ExitCode::damaged_data, error.what(), hint);
  }
}

// Whether the user's path names a checkpoint rather than a run directory.
bool names_a_checkpoint(const Env& env, const std::string& path) {
  if (!env.exists(path)) {
    throw Error(ExitCode::missing_input, "there is no checkpoint or run at " + path,
                "check the path");
  }
  return env.exists(path + "/" + manifest_name) || step_of(base_name(path));
}

}  // namespace

std::string checkpoint_name(std::int64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%08lld", static_cast<long long>(step));
  return name;
}

std::optional<std::int64_t> step_of(const std::string& name) {
  const bool plain =
      name.starts_with(step_prefix) && name.size() <= step_prefix.size() + 18 &&
      name.find_first_not_of("0123456789", step_prefix.size()) == std::string::npos &&
      name.size() > step_prefix.size();
  if (!plain) return std::nullopt;
  const std::int64_t step = std::stoll(name.substr(step_prefix.size()));
  if (name != checkpoint_name(step)) return std::nullopt;
  return step;
}

std::vector<CheckpointEntry> list_checkpoints(const Env& env,
                                              const std::string& checkpoints_directory) {
  std::vector<CheckpointEntry> entries;
  if (!env.exists(checkpoints_directory)) return entries;
  for (const std::string& name : env.list_directory(checkpoints_directory)) {
    const std::string path = checkpoints_directory + "/" + name;
    if (const auto step = step_of(name); step && env.is_directory(path))
      entries.push_back({*step, path});
  }
  std::ranges::sort(entries, std::greater{}, &CheckpointEntry::step);
  return entries;
}

void verify_checkpoint(const Env& env, const std::string& checkpoint_directory) {
  CheckpointReader(env, checkpoint_directory).verify();
}

CheckpointReader open_valid(const Env& env, const Comm& comm,
                            const std::string& checkpoint_directory) {
  const std::string manifest =
      on_first(comm, [&] { return read_manifest_bytes(env, checkpoint_directory); });
  std::optional<CheckpointReader> reader;
  all_or_none(comm, [&] {
    if (!env.exists(checkpoint_directory)) {
      throw Error(ExitCode::missing_input, checkpoint_directory + " is not there",
                  "the run must be on a file system that all hosts share");
    }
    reader.emplace(env, checkpoint_directory, manifest);
    for (auto i = static_cast<int>(comm.rank().value); i < reader->manifest().files_size();
         i += comm.size()) {
      reader->verify_file(i);
    }
  });
  return *std::move(reader);
}

std::optional<CheckpointReader> open_newest_valid(const Env& env, const Comm& comm,
                                                  const std::string& checkpoints_directory,
                                                  Log& log) {
  std::set<std::int64_t> damaged;
  while (const auto entry = newest_but(env, comm, checkpoints_directory, damaged)) {
    try {
      CheckpointReader reader = open_valid(env, comm, entry->directory);
      if (const auto lie = contradiction(reader.manifest(), *entry))
        throw Error(ExitCode::damaged_data, *lie);
      return reader;
    } catch (const Error& error) {  // the same error on all processes
      // Deleted after a trainer saved a newer one.
      if (!is_there(env, comm, entry->directory)) continue;
      if (error.code() != ExitCode::damaged_data) throw;
      damaged.insert(entry->step);
      log.warning("checkpoint of step " + std::to_string(entry->step) +
                  " passed over: " + error.what());
    }
  }
  return std::nullopt;
}

CheckpointReader open_checkpoint(const Env& env, const Comm& comm, const std::string& path,
                                 Log& log) {
  const std::string kind = on_first(
      comm, [&] { return std::string(names_a_checkpoint(env, path) ? "checkpoint" : "run"); });
  if (kind == "checkpoint") return open_named(env, comm, path);
  auto newest = open_newest_valid(env, comm, path + "/checkpoints", log);
  if (!newest) {
    throw Error(ExitCode::missing_input, path + " holds no checkpoint",
                "give a run's directory, or one of its checkpoints/step-…");
  }
  return *std::move(newest);
}

void retire_checkpoint(Env& env, const std::string& checkpoints_directory,
                       const std::string& name) {
  const std::string trash = checkpoints_directory + "/" + std::string(trash_prefix) + name;
  env.remove_tree(trash);
  env.rename(checkpoints_directory + "/" + name, trash);
  env.remove_tree(trash);
}

void apply_retention(Env& env, const std::string& checkpoints_directory, std::int64_t saved,
                     int keep_last) {
  const CheckpointEntry entry{saved, checkpoints_directory + "/" + checkpoint_name(saved)};
  if (const auto lie = contradiction(CheckpointReader(env, entry.directory).manifest(), entry))
    throw Error(ExitCode::damaged_data, *lie);
  int kept = 0;
  for (const CheckpointEntry& other : list_checkpoints(env, checkpoints_directory)) {
    if (other.step > saved || kept++ < std::max(keep_last, 1)) continue;
    retire_checkpoint(env, checkpoints_directory, checkpoint_name(other.step));
  }
}

void clean_leftovers(Env& env, const std::string& checkpoints_directory) {
  if (!env.exists(checkpoints_directory)) return;
  for (const std::string& name : env.list_directory(checkpoints_directory)) {
    const bool unfinished =
        name.starts_with(step_prefix) && name.find(".tmp-") != std::string::npos;
    if (unfinished || name.starts_with(trash_prefix) || is_left_over_sign(name))
      env.remove_tree(checkpoints_directory + "/" + name);
  }
}

}  // namespace switchyard
