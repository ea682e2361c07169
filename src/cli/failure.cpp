#include "cli/failure.hpp"

#include <chrono>
#include <iostream>
#include <new>
#include <string>
#include <thread>

#include "base/host.hpp"
#include "comm/job.hpp"
#include "comm/rendezvous.hpp"

namespace switchyard {
namespace {

constexpr std::chrono::milliseconds patience{2000};

struct Failure {
  ExitCode code;
  std::string text;
};

Failure describe(const std::exception& failure) {
  if (const auto* error = dynamic_cast<const Error*>(&failure)) {
    return {error->code(),
            error->what() + (error->hint().empty() ? "" : "\n  hint: " + error->hint())};
  }
  if (dynamic_cast<const std::bad_alloc*>(&failure)) {
    return {ExitCode::machine_cannot,
            "memory is exhausted\n  hint: use more machines, or a smaller "
            "train.batch_size or model"};
  }
  return {ExitCode::unexpected, failure.what()};
}

// Written in one call, since several processes may share a terminal.
void print(const std::string& who, const std::string& text) {
  std::cout.flush();
  std::cerr << who + text + "\n" << std::flush;
}

std::string whereabouts(const Comm& comm) {
  return "[rank " + std::to_string(comm.rank().value) + "/" + std::to_string(comm.size()) + " " +
         host_name() + "] ";
}

}  // namespace

ExitCode report_failure(const std::exception& failure) {
  const auto [code, text] = describe(failure);
  print("switchyard: ", text);
  return code;
}

ExitCode report_failure(const std::exception& failure, const Comm& ending) {
  if (ending.size() == 1) return report_failure(failure);
  const auto [code, text] = describe(failure);
  if (!all_arrive_within(ending, patience)) {
    print(whereabouts(ending), text);
    // mpirun forwards stderr on a different path than the abort: give the message time to arrive
    // before mpirun's own.
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    abort_job(static_cast<int>(code));
  }
  const bool alike = !find_difference(ending, text);
  if (!alike) print(whereabouts(ending), text);
  if (alike && ending.rank() == Rank(0)) print("switchyard: ", text);
  return code;
}

}  // namespace switchyard
