#include "record/saved_record.hpp"

#include <algorithm>
#include <sstream>

#include "checkpoint/store.hpp"

namespace switchyard {
namespace {

constexpr const char* nothing = "none";

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::optional<std::string> recorded(const Env& env, const RunPaths& run) {
  if (!env.exists(run.saved())) return std::nullopt;
  return first_line(read_file(env, run.saved(), 1 << 16));
}

// Whether a line of log.txt, without its time stamp, reports a save: "saved
// RUN/checkpoints/step-00000100 in 0.1 s".
bool tells_of_a_checkpoint(const std::string& line) {
  constexpr const char* beginnings[] = {"saved ", "resumed from step ",
                                        "begins with imported weights "};
  return std::ranges::any_of(beginnings,
                             [&](const char* begin) { return line.starts_with(begin); }) &&
         line.find("/step-") != line.npos;
}

// The last line of log.txt that reports a saved checkpoint.
std::optional<std::string> logged(const Env& env, const RunPaths& run) {
  if (!env.exists(run.log())) return std::nullopt;
  std::istringstream lines(read_file(env, run.log(), env.file_size(run.log())));
  std::optional<std::string> last;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t blank = line.find(' ');
    if (blank == line.npos) continue;
    if (line.erase(0, blank + 1); tells_of_a_checkpoint(line)) last = line;
  }
  return last;
}

// Whether `import` created the run and no training has begun since: import writes its sources and a
// first checkpoint.
bool is_fresh_import(const Env& env, const RunPaths& run) {
  return env.exists(run.hugging_face()) && env.exists(run.config()) && !env.exists(run.build());
}

}  // namespace

void remember_saved(Env& env, const RunPaths& run, std::int64_t step) {
  write_file_atomically(env, run.saved(), checkpoint_name(step) + "\n");
}

void remember_nothing_saved(Env& env, const RunPaths& run) {
  write_file_atomically(env, run.saved(), std::string(nothing) + "\n");
}

std::optional<std::int64_t> remembered_step(const Env& env, const RunPaths& run) {
  const auto name = recorded(env, run);
  return name ? step_of(*name) : std::nullopt;
}

std::optional<std::string> evidence_of_saving(const Env& env, const RunPaths& run) {
  if (const auto name = recorded(env, run)) {
    if (*name == nothing) return std::nullopt;
    return run.saved() + " names " + *name;
  }
  if (const auto line = logged(env, run)) return run.log() + " says: " + *line;
  if (is_fresh_import(env, run)) return "it was imported, as " + run.hugging_face() + " shows";
  return std::nullopt;
}

}  // namespace switchyard
