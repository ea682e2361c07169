#include "cli/command_line.hpp"

#include <filesystem>
#include <string_view>
#include <vector>

#include "cli/paths.hpp"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

bool is_plain(const std::string& word) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
  return !word.empty() && word.find_first_not_of(plain) == std::string::npos;
}

std::string quoted(const std::string& word) {
  if (is_plain(word)) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

// Relative where it lies below the working directory; never a bare name, which a shell would look
// for in PATH.
std::string from_here(const fs::path& file) {
  std::error_code unknown;
  const fs::path here = fs::current_path(unknown);
  const std::string path = unknown ? file : file.lexically_proximate(here);
  if (path.starts_with("..")) return file;
  return path.find('/') == std::string::npos ? "./" + path : path;
}

// Whether launch/local.sh finds this very program by itself.
bool is_launched_by_default(const fs::path& program) {
  std::error_code missing;
  const fs::path launch = launch_directory();
  if (launch.empty()) return false;
  return program == fs::weakly_canonical(launch / "../build/release/switchyard", missing) ||
         program == fs::weakly_canonical(launch / "../../../bin/switchyard", missing);
}

}  // namespace

std::string shell_text(std::span<const std::string> words) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ' ';
    text += quoted(word);
  }
  return text;
}

std::string program_command_line(std::span<const std::string> words) {
  return quoted(from_here(program_path())) + " " + shell_text(words);
}

std::string local_command_line(int processes, int threads, std::span<const std::string> words) {
  if (launch_directory().empty()) {  // a copy of the program alone
    return "OMP_NUM_THREADS=" + std::to_string(threads) + " " +
           (processes == 1 ? program_command_line(words) : mpirun_command_line(processes, words));
  }
  const std::string what =
      is_launched_by_default(program_path()) ? shell_text(words) : program_command_line(words);
  return quoted(from_here(launch_directory() / "local.sh")) + " -n " + std::to_string(processes) +
         " -t " + std::to_string(threads) + " " + what;
}

std::string mpirun_command_line(int processes, std::span<const std::string> words) {
  return "mpirun -n " + std::to_string(processes) + " " + program_command_line(words);
}

}  // namespace switchyard
