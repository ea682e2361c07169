#include "checkpoint/store.hpp"

#include <algorithm>
#include <cstdio>

#include "base/error.hpp"
#include "checkpoint/manifest.hpp"
#include "checkpoint/shard.hpp"
#include "checkpoint/together.hpp"
#include "files/sha256.hpp"

namespace switchyard {
namespace {

constexpr std::string_view step_prefix = "step-", trash_prefix = ".trash-";

// The step of a committed checkpoint's name; nothing for any other name, temporary ones included.
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

void verify_file(const Env& env, const std::string& directory, const ManifestFile& entry) {
  constexpr std::int64_t block = 1 << 20;
  const auto file = open_listed_file(env, directory, entry);
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(block, entry.size())));
  Sha256 hash;
  for (std::int64_t offset = 0; offset < entry.size(); offset += block) {
    const auto part =
        std::span(buffer).first(static_cast<std::size_t>(std::min(block, entry.size() - offset)));
    file->read_at(offset, part);
    hash.update(part);
  }
  const auto digest = hash.finish();
  if (!std::ranges::equal(digest, std::as_bytes(std::span(entry.sha256())))) {
    throw Error(ExitCode::damaged_data,
                directory + "/" + entry.name() + " does not match its SHA-256");
  }
}

// A committed checkpoint, whose name must tell the truth too. What is wrong, or nothing.
std::optional<std::string> damage_of(const Env& env, const CheckpointEntry& entry) {
  try {
    verify_checkpoint(env, entry.directory);
    const std::int64_t step = read_manifest(env, entry.directory).step();
    if (step == entry.step) return std::nullopt;
    return entry.directory + " holds step " + std::to_string(step);
  } catch (const Error& error) {
    if (error.code() != ExitCode::damaged_data) throw;
    return error.what();
  }
}

std::optional<CheckpointEntry> newest_valid(const Env& env,
                                            const std::string& checkpoints_directory, Log& log) {
  const auto all = list_checkpoints(env, checkpoints_directory);
  for (const CheckpointEntry& entry : all) {
    const auto damage = damage_of(env, entry);
    if (!damage) return entry;
    log.warning("checkpoint of step " + std::to_string(entry.step) + " passed over: " + *damage);
  }
  if (all.empty()) return std::nullopt;
  throw Error(ExitCode::damaged_data,
              "none of the " + std::to_string(all.size()) + " checkpoints in " +
                  checkpoints_directory + " is valid",
              "restore one from a backup, or start anew in another directory");
}

// Of a checkpoint that a user named: there is no other to fall back to.
void require_valid(const Env& env, const std::string& directory) {
  try {
    verify_checkpoint(env, directory);
  } catch (const Error& error) {
    if (error.code() != ExitCode::damaged_data) throw;
    throw Error(ExitCode::damaged_data, error.what(),
                "give the run's directory instead: its newest valid checkpoint is then used");
  }
}

std::string resolve_here(const Env& env, const std::string& path, Log& log) {
  if (!env.exists(path)) {
    throw Error(ExitCode::missing_input, "there is no checkpoint or run at " + path,
                "check the path");
  }
  if (env.exists(path + "/" + manifest_name) || step_of(base_name(path))) {
    require_valid(env, path);
    return path;
  }
  const auto newest = newest_valid(env, path + "/checkpoints", log);
  if (!newest) {
    throw Error(ExitCode::missing_input, path + " holds no checkpoint",
                "give a run's directory, or one of its checkpoints/step-…");
  }
  return newest->directory;
}

}  // namespace

std::string checkpoint_name(std::int64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%08lld", static_cast<long long>(step));
  return name;
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
  const Manifest manifest = read_manifest(env, checkpoint_directory);
  for (const ManifestFile& file : manifest.files()) verify_file(env, checkpoint_directory, file);
}

std::optional<CheckpointEntry> find_newest_valid(const Env& env, const Comm& comm,
                                                 const std::string& checkpoints_directory,
                                                 Log& log) {
  const std::string directory = on_first(comm, [&] {
    const auto newest = newest_valid(env, checkpoints_directory, log);
    return newest ? newest->directory : "";
  });
  if (directory.empty()) return std::nullopt;
  return CheckpointEntry{*step_of(base_name(directory)), directory};
}

std::string resolve_checkpoint(const Env& env, const Comm& comm, const std::string& path,
                               Log& log) {
  return on_first(comm, [&] { return resolve_here(env, path, log); });
}

void retire_checkpoint(Env& env, const std::string& checkpoints_directory,
                       const std::string& name) {
  const std::string trash = checkpoints_directory + "/" + std::string(trash_prefix) + name;
  env.remove_tree(trash);
  env.rename(checkpoints_directory + "/" + name, trash);
  env.remove_tree(trash);
}

void apply_retention(Env& env, const std::string& checkpoints_directory, int keep_last) {
  const auto all = list_checkpoints(env, checkpoints_directory);
  auto at = std::ranges::find_if(
      all, [&](const CheckpointEntry& entry) { return !damage_of(env, entry); });
  for (int kept = 0; at != all.end(); ++at, ++kept) {
    if (kept >= std::max(keep_last, 1))
      retire_checkpoint(env, checkpoints_directory, checkpoint_name(at->step));
  }
}

void clean_leftovers(Env& env, const std::string& checkpoints_directory) {
  if (!env.exists(checkpoints_directory)) return;
  for (const std::string& name : env.list_directory(checkpoints_directory)) {
    const bool unfinished =
        name.starts_with(step_prefix) && name.find(".tmp-") != std::string::npos;
    if (unfinished || name.starts_with(trash_prefix))
      env.remove_tree(checkpoints_directory + "/" + name);
  }
}

}  // namespace switchyard
