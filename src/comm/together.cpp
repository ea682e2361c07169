#include "comm/together.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "base/host.hpp"
#include "comm/job.hpp"

namespace switchyard {
namespace {

// The message each process sends: 'r' and the result, or 'e', the exit code as one byte, the
// message, NUL, the hint, NUL and the host.
std::string outcome_of(const std::function<std::string()>& work) {
  const auto failure = [](ExitCode code, const std::string& message, const std::string& hint) {
    return std::string("e") + static_cast<char>(code) + message + '\0' + hint + '\0' + host_name();
  };
  try {
    return 'r' + work();
  } catch (const Error& error) {
    return failure(error.code(), error.what(), error.hint());
  } catch (const std::exception& surprise) {
    return failure(ExitCode::unexpected, surprise.what(), "");
  }
}

struct Failure {
  ExitCode code;
  std::string message, hint, host;
};

std::optional<Failure> failure_of(const std::string& outcome) {
  if (outcome[0] != 'e') return std::nullopt;
  const std::size_t message_end = outcome.find('\0', 2),
                    hint_end = outcome.find('\0', message_end + 1);
  return Failure{.code = static_cast<ExitCode>(outcome[1]),
                 .message = outcome.substr(2, message_end - 2),
                 .hint = outcome.substr(message_end + 1, hint_end - message_end - 1),
                 .host = outcome.substr(hint_end + 1)};
}

// The failure of the lowest rank that failed, with that rank; nullopt where none did. Only that
// process sends its outcome. Collective.
std::optional<std::pair<Rank, Failure>> first_failure(const Comm& comm,
                                                      const std::string& outcome) {
  const std::optional<Rank> rank = find_lowest(comm, failure_of(outcome).has_value());
  if (!rank) return std::nullopt;
  return std::pair(*rank, *failure_of(broadcast_string(comm, outcome, *rank)));
}

// Process 0 often works alone on behalf of all, so naming it in the message would only confuse.
[[noreturn]] void throw_failure(const Failure& failure, Rank rank) {
  const std::string who =
      rank == Rank{0} ? "" : "process " + std::to_string(rank.value) + " on " + failure.host + ": ";
  throw Error(failure.code, who + failure.message, failure.hint);
}

// The processes of this process's host with its view, and its place among them in rank order.
struct Sharers {
  std::ptrdiff_t place = 0, count = 1;
};

// Collective.
Sharers sharers_of_view(const Comm& comm, const std::string& view) {
  const Comm here = within_host(comm);
  const std::vector<std::string> views = all_gather_strings(here, view);
  return {.place = std::count(views.begin(), views.begin() + here.rank().value, view),
          .count = std::ranges::count(views, view)};
}

}  // namespace

std::vector<std::string> together(const Comm& comm, const std::function<std::string()>& work) {
  const std::string outcome = outcome_of(work);
  if (const auto failed = first_failure(comm, outcome))
    throw_failure(failed->second, failed->first);
  return gather_strings(comm, outcome.substr(1), Rank{0});
}

void all_or_none(const Comm& comm, const std::function<void()>& work) {
  const std::string outcome = outcome_of([&work]() -> std::string {
    work();
    return "";
  });
  if (const auto failed = first_failure(comm, outcome))
    throw_failure(failed->second, failed->first);
}

void once_per_view(const Comm& comm, const std::string& view, const std::function<void()>& work) {
  share_per_view(comm, view, 1, [&](int) { work(); });
}

bool share_per_view(const Comm& comm, const std::string& view, int pieces,
                    const std::function<void(int piece)>& work) {
  const Sharers own = sharers_of_view(comm, view);
  const std::string outcome = outcome_of([&]() -> std::string {
    for (std::ptrdiff_t piece = own.place; piece < pieces; piece += own.count)
      work(static_cast<int>(piece));
    return "";
  });
  const auto failed = first_failure(comm, outcome);
  if (!failed) return own.place == 0;
  const Failure& failure = failed->second;
  const std::string where = comm.size() > 1 ? "on " + failure.host + ", " : "";
  throw Error(failure.code, where + failure.message, failure.hint);
}

std::string on_first(const Comm& comm, const std::function<std::string()>& work) {
  const bool first = comm.rank() == Rank{0};
  const std::string outcome = broadcast_string(comm, first ? outcome_of(work) : "", Rank{0});
  if (const auto failure = failure_of(outcome)) throw_failure(*failure, Rank{0});
  return outcome.substr(1);
}

}  // namespace switchyard
