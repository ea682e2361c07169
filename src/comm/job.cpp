#include "comm/job.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <span>
#include <utility>

#include "base/error.hpp"
#include "base/host.hpp"
#include "comm/mpi.hpp"

namespace switchyard {
namespace {

bool is_set(const char* name) { return std::getenv(name) != nullptr; }

// The number of processes as announced by a launcher in the environment, if it does.
std::optional<EnvironmentVariable> promised_size() {
  const bool is_task = is_set("SLURM_STEP_ID") && is_set("SLURM_PROCID");
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    const char* value = std::getenv(name);
    if (value && (is_task || std::string(name) != "SLURM_STEP_NUM_TASKS"))
      return EnvironmentVariable{name, value};
  }
  return std::nullopt;
}

// The first line of each text in which the two differ; "" for a text that has already ended.
std::pair<std::string, std::string> first_lines_that_differ(std::string a, std::string b) {
  const auto line_end = [](const std::string& text) {
    return std::min(text.find('\n'), text.size());
  };
  while (!(a.empty() && b.empty()) && a.substr(0, line_end(a)) == b.substr(0, line_end(b))) {
    a.erase(0, line_end(a) + 1);
    b.erase(0, line_end(b) + 1);
  }
  return {a.substr(0, line_end(a)), b.substr(0, line_end(b))};
}

}  // namespace

MpiFamily mpi_family() {
#ifdef OPEN_MPI
  return MpiFamily::open_mpi;
#else
  return MpiFamily::mpich;
#endif
}

const char* mpi_name() { return mpi_family() == MpiFamily::open_mpi ? "Open MPI" : "MPICH"; }

bool has_launcher() {
  return is_simulated() ||
         std::ranges::any_of(std::array{"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}, is_set);
}

bool is_simulated() {
#ifdef SMPI_H
  return is_set("SMPI_GLOBAL_SIZE");
#else
  return false;
#endif
}

std::optional<EnvironmentVariable> foreign_launcher(int world_size) {
  if (world_size != 1) return std::nullopt;
  const auto promise = promised_size();
  if (!promise || std::strtol(promise->value.c_str(), nullptr, 10) <= 1) return std::nullopt;
  return promise;
}

std::int64_t host_number(const Comm& comm) {
  if (comm.size() == 1) return 0;
  MPI_Comm sharing = MPI_COMM_NULL;
  check_mpi(
      MPI_Comm_split_type(comm.handle().comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &sharing),
      "MPI_Comm_split_type");
  std::int64_t lowest = comm.rank().value;
  check_mpi(MPI_Bcast(&lowest, 1, MPI_INT64_T, 0, sharing), "MPI_Bcast");
  check_mpi(MPI_Comm_free(&sharing), "MPI_Comm_free");
  return lowest;
}

Comm within_host(const Comm& comm) {
  return comm.split(static_cast<int>(host_number(comm)), static_cast<int>(comm.rank().value));
}

std::vector<HostShare> hosts_of_job(const Comm& comm) {
  const Comm here = within_host(comm);
  const bool leads = here.rank() == Rank{0};
  const Comm leaders = comm.split(leads ? 0 : 1, static_cast<int>(comm.rank().value));
  if (!leads) return {};
  std::vector<HostShare> hosts;
  std::map<std::string, std::size_t> index;  // of a host in `hosts`
  for (const std::string& text :
       gather_strings(leaders, std::to_string(here.size()) + " " + host_name(), Rank{0})) {
    const std::size_t space = text.find(' ');
    const std::string name = text.substr(space + 1);
    // Two parts of a host that do not share memory, such as containers, count as one host.
    const auto known = index.emplace(name, hosts.size());
    if (known.second) hosts.push_back({name, 0});
    hosts[known.first->second].processes += std::stoi(text);
  }
  return hosts;
}

std::optional<Difference> find_difference(const Comm& comm, const std::string& text) {
  const std::string first = broadcast_string(comm, text, Rank{0});
  const std::optional<Rank> rank = find_lowest(comm, text != first);
  if (!rank) return std::nullopt;
  return Difference{.rank = *rank,
                    .first_host = broadcast_string(comm, host_name(), Rank{0}),
                    .host = broadcast_string(comm, host_name(), *rank),
                    .first = first,
                    .other = broadcast_string(comm, text, *rank)};
}

void require_equal_on_all_ranks(const Comm& comm, const std::string& label, const std::string& text,
                                const std::string& hint) {
  const std::optional<Difference> found = find_difference(comm, text);
  if (!found) return;
  const auto [first, other] = first_lines_that_differ(found->first, found->other);
  throw Error(ExitCode::mismatch,
              "the processes disagree on " + label + ": rank 0 on " + found->first_host +
                  " has \"" + first + "\", rank " + std::to_string(found->rank.value) + " on " +
                  found->host + " has \"" + other + "\"",
              hint);
}

}  // namespace switchyard
