#include "support/program.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <stdexcept>

namespace switchyard::test {

Outcome run_shell(const std::string& command) {
  FILE* pipe = popen(("{ " + command + "; } 2>&1").c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  Outcome outcome;
  std::array<char, 4096> buffer;
  for (std::size_t n; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    outcome.output.append(buffer.data(), n);
  const int status = pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

std::string alone(int threads) {
  return "OMP_NUM_THREADS=" + std::to_string(threads) + " " MPI_ENVIRONMENT " ";
}

std::string mpirun(int threads, int timeout_seconds) {
  return "MPIEXEC_TIMEOUT=" + std::to_string(timeout_seconds) + " " + alone(threads) + MPIRUN " ";
}

std::string mpirun_by_rank(const std::vector<std::string>& commands, int timeout_seconds) {
  std::string script = "case ${OMPI_COMM_WORLD_RANK:-$PMI_RANK} in ";
  for (std::size_t rank = 0; rank < commands.size(); ++rank)
    script += std::to_string(rank) + ") " + commands[rank] + ";; ";
  return mpirun(1, timeout_seconds) + "-n " + std::to_string(commands.size()) + " sh -c '" +
         std::regex_replace(script + "esac", std::regex("'"), "'\\''") + "'";
}

Outcome run_program(const std::string& arguments, int processes, int threads) {
  const std::string start =
      processes > 0 ? mpirun(threads) + "-n " + std::to_string(processes) + " " : alone(threads);
  return run_shell(start + SWITCHYARD_PROGRAM " " + arguments);
}

std::vector<nlohmann::json> read_metrics(const std::string& run) {
  std::istringstream lines(read_text(run + "/metrics.jsonl"));
  std::vector<nlohmann::json> records;
  for (std::string line; std::getline(lines, line);) records.push_back(nlohmann::json::parse(line));
  return records;
}

std::map<std::string, std::string> tensor_hashes(const std::string& checkpoint) {
  const Outcome outcome = run_program("inspect " + checkpoint + " --hash");
  if (outcome.exit_code != 0) {
    throw std::runtime_error("inspect ended with " + std::to_string(outcome.exit_code) + ": " +
                             outcome.output);
  }
  std::map<std::string, std::string> hashes;
  std::istringstream lines(outcome.output);
  for (std::string line; std::getline(lines, line);) {
    constexpr std::size_t digits = 64;
    if (line.find("  ") == digits) hashes[line.substr(digits + 2)] = line.substr(0, digits);
  }
  return hashes;
}

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  if (!(out << text)) throw std::runtime_error("cannot write " + path);
}

TemporaryDirectory::TemporaryDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "switchyard-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace switchyard::test
