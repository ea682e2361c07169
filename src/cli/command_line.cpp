#include "cli/command_line.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "config/paths.hpp"

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

// A relative path if `file` is below the working directory, but never a bare name, which a shell
// would look up in PATH.
std::string from_here(const fs::path& file) {
  std::error_code unknown;
  const fs::path here = fs::current_path(unknown);
  const std::string path = unknown ? file : file.lexically_proximate(here);
  if (path.starts_with("..")) return file;
  return path.find('/') == std::string::npos ? "./" + path : path;
}

// Whether launch/local.sh would find this same program by default.
bool is_launched_by_default(const fs::path& program) {
  std::error_code missing;
  const fs::path launch = launch_directory();
  if (launch.empty()) return false;
  return program == fs::weakly_canonical(launch / "../build/release/switchyard", missing) ||
         program == fs::weakly_canonical(launch / "../../../bin/switchyard", missing);
}

fs::path local_script() { return launch_directory() / "local.sh"; }

// "n1:2,n2:2". Ranks may be placed differently than in this job, which does not change any number.
std::string host_list(std::span<const HostShare> hosts) {
  std::string list;
  for (const auto& [name, processes] : hosts)
    list += (list.empty() ? "" : ",") + name + ":" + std::to_string(processes);
  return list;
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

namespace {

std::string threads_text(int threads) { return "OMP_NUM_THREADS=" + std::to_string(threads); }

struct Mpirun {
  int processes = 1, threads = 1;
  std::string hosts;  // "n1:2,n2:2"; empty: this one
  bool bound = true;  // to cores
};

std::string options_of_open_mpi(const Mpirun& run) {
  return (geteuid() == 0 ? std::string(" --allow-run-as-root") : "") +
         (run.hosts.empty() ? "" : " --host " + quoted(run.hosts)) +
         (run.bound ? " --map-by slot:PE=" + std::to_string(run.threads) + " --bind-to core"
                    : " --bind-to none") +
         " -x OMP_NUM_THREADS";
}

std::string options_of_mpich(const Mpirun& run) {
  return (run.hosts.empty() ? "" : " -hosts " + quoted(run.hosts)) + std::string(" -bind-to ") +
         (run.bound ? "core:" + std::to_string(run.threads) : "none");
}

std::string mpirun_line(const Mpirun& run, std::span<const std::string> words) {
  return threads_text(run.threads) + " mpirun -n " + std::to_string(run.processes) +
         (mpi_family() == MpiFamily::open_mpi ? options_of_open_mpi(run) : options_of_mpich(run)) +
         " " + program_command_line(words);
}

}  // namespace

std::string local_command_line(int processes, int threads, std::span<const std::string> words) {
  if (launch_directory().empty()) {  // the program has been copied alone
    return processes == 1
               ? threads_text(threads) + " " + program_command_line(words)
               : mpirun_line({.processes = processes, .threads = threads, .hosts = ""}, words);
  }
  const std::string what =
      is_launched_by_default(program_path()) ? shell_text(words) : program_command_line(words);
  return quoted(from_here(local_script())) + " -n " + std::to_string(processes) + " -t " +
         std::to_string(threads) + " " + what;
}

std::string launcher_of_job() {
  const char* const words = std::getenv("SWITCHYARD_LAUNCHED_BY");
  return words ? words : "";
}

std::string job_command_line(const Placement& job, std::span<const std::string> words) {
  if (!job.launcher.empty())
    return job.launcher + " " +
           (is_launched_by_default(program_path()) ? shell_text(words)
                                                   : program_command_line(words));
  int processes = 0;
  for (const HostShare& host : job.hosts) processes += host.processes;
  if (processes == 1) return program_command_line(words);
  if (job.hosts.size() == 1 && !launch_directory().empty())
    return local_command_line(processes, job.threads, words);
  return mpirun_line({.processes = processes,
                      .threads = job.threads,
                      .hosts = host_list(job.hosts),
                      .bound = job.bound},
                     words);
}

}  // namespace switchyard
