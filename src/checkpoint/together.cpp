#include "checkpoint/together.hpp"

#include "base/error.hpp"

namespace switchyard {
namespace {

// What travels: 'r' and the result, or 'e', the exit code's byte, the message, NUL and the hint.
std::string outcome_of(const std::function<std::string()>& work) {
  try {
    return 'r' + work();
  } catch (const Error& error) {
    return std::string("e") + static_cast<char>(error.code()) + error.what() + '\0' + error.hint();
  } catch (const std::exception& surprise) {
    return std::string("e") + static_cast<char>(ExitCode::unexpected) + surprise.what() + '\0';
  }
}

[[noreturn]] void throw_outcome(const std::string& outcome, std::size_t rank) {
  const std::size_t end = outcome.find('\0', 2);
  const std::string message = outcome.substr(2, end - 2);
  // Process 0 often works alone, for all; naming it would only puzzle.
  throw Error(static_cast<ExitCode>(outcome[1]),
              rank == 0 ? message : "process " + std::to_string(rank) + ": " + message,
              outcome.substr(end + 1));
}

}  // namespace

std::vector<std::string> together(const Comm& comm, const std::function<std::string()>& work) {
  std::vector<std::string> outcomes = all_gather_strings(comm, outcome_of(work));
  for (std::size_t rank = 0; rank < outcomes.size(); ++rank) {
    if (outcomes[rank][0] == 'e') throw_outcome(outcomes[rank], rank);
  }
  for (std::string& outcome : outcomes) outcome.erase(0, 1);
  return outcomes;
}

void all_or_none(const Comm& comm, const std::function<void()>& work) {
  together(comm, [&work]() -> std::string {
    work();
    return "";
  });
}

std::string on_first(const Comm& comm, const std::function<std::string()>& work) {
  const bool first = comm.rank() == Rank{0};
  const std::string outcome = broadcast_string(comm, first ? outcome_of(work) : "", Rank{0});
  if (outcome[0] == 'e') throw_outcome(outcome, 0);
  return outcome.substr(1);
}

}  // namespace switchyard
