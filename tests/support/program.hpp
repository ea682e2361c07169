// Runs the built program as a user would, alone or under mpirun, and reads the files it writes.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace switchyard::test {

struct Outcome {
  int exit_code = 0;
  std::string output;  // stdout and stderr together
};

// Runs a shell command line.
Outcome run_shell(const std::string& command);

// Shell words before a command, or before "-n" and a command: of a process without mpirun, and of
// mpirun on a machine that may have fewer cores than processes.
std::string alone(int threads = 1);
std::string mpirun(int threads = 1, int timeout_seconds = 200);

// A job whose rank r runs the r-th shell command line. (mpirun's own `-n 1 A : -n 1 B` crashes in
// Open MPI 5.0.7.)
std::string mpirun_by_rank(const std::vector<std::string>& commands, int timeout_seconds = 200);

// Runs `switchyard ARGUMENTS` on this many processes; 0: without mpirun.
Outcome run_program(const std::string& arguments, int processes = 0, int threads = 1);

// The step records of a run in file order.
std::vector<nlohmann::json> read_metrics(const std::string& run);

// tensor name -> SHA-256 for a run's newest checkpoint, including "all".
std::map<std::string, std::string> tensor_hashes(const std::string& checkpoint);

std::string read_text(const std::string& path);
void write_text(const std::string& path, const std::string& text);

// A directory that is removed with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace switchyard::test
