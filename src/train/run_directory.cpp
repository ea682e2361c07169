#include "train/run_directory.hpp"

#include <filesystem>
#include <span>

#include "base/error.hpp"
#include "checkpoint/store.hpp"
#include "checkpoint/together.hpp"

namespace switchyard {
namespace {

// Whatever the system's reason: a run's directory that cannot be made is output that cannot be
// written.
void make_run_directory(Env& env, const std::string& path) {
  try {
    make_durable_directories(env, path);
  } catch (const Error& error) {
    throw Error(ExitCode::output_not_writable, error.what(), "choose another --output");
  }
}

}  // namespace

RunPaths run_of(const std::string& checkpoint) {
  const std::filesystem::path path = std::filesystem::absolute(checkpoint).lexically_normal();
  return {parent_directory(parent_directory(path.string()))};
}

RunDirectory::RunDirectory(Env& env, const Comm& comm, const std::string& path, Log& log)
    : paths_{path} {
  on_first(comm, [&] {
    make_run_directory(env, path);
    lock_.emplace(path);
    env.make_directories(paths_.checkpoints());
    clean_leftovers(env, paths_.checkpoints());
    env.remove_file(paths_.stop());  // meant for an earlier start
    log.append_to(paths_.log());
    return std::string();
  });
}

void append_provenance(Env& env, const RunPaths& paths, const std::string& text) {
  const auto file = env.open_for_append(paths.build());
  file->append(std::as_bytes(std::span(text.data(), text.size())));
  file->sync();
  file->close();
}

}  // namespace switchyard
