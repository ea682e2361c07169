// Checks at start, before any work, that this process is in the job it believes to be in: its
// launcher, its host, and that all ranks agree.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "comm/comm.hpp"

namespace switchyard {

struct EnvironmentVariable {
  std::string name, value;
};

// Whose mpirun starts this program: Open MPI's, or one with the words of MPICH's (Intel MPI,
// MVAPICH). Decided when the program is built.
enum class MpiFamily { open_mpi, mpich };
MpiFamily mpi_family();
const char* mpi_name();  // "Open MPI"

// Whether mpirun, or another launcher that MPI can join, started this process. Not collective.
bool has_launcher();

// Whether SimGrid's smpirun did: all processes of the job are then turns of one thread, and time is
// simulated (cluster/simulate). Not collective.
bool is_simulated();

// The environment variable in which a launcher announces several processes although MPI's world has
// size 1: this process is then one of several tasks that a launcher of another MPI started
// (OMPI_COMM_WORLD_SIZE, PMI_SIZE, or SLURM_STEP_NUM_TASKS in a task of a job step). A Slurm
// allocation of several tasks alone does not count, since its batch script is one process. Not
// collective.
std::optional<EnvironmentVariable> foreign_launcher(int world_size);

// The lowest rank of those that share memory with this process: a number for its host. Collective.
std::int64_t host_number(const Comm& comm);
// The processes on this host, in rank order. Collective.
Comm within_host(const Comm& comm);

struct HostShare {
  std::string name;
  int processes = 0;
  bool operator==(const HostShare&) const = default;
};

// Each host of the job with the number of its processes, in the order of their lowest ranks. On
// process 0 only, empty elsewhere: one process of each host sends its name. Collective.
std::vector<HostShare> hosts_of_job(const Comm& comm);

// Two processes whose texts differ.
struct Difference {
  Rank rank;               // the lowest that differs from rank 0
  std::string first_host;  // rank 0's
  std::string host;        // the other's
  std::string first, other;
};

// Compares `text` with rank 0's; nullopt where all are equal. No process ever holds more than two
// texts. Collective.
std::optional<Difference> find_difference(const Comm& comm, const std::string& text);

// Throws Error(mismatch) on every rank unless `text` is the same on all ranks. The message names
// the first rank that differs, both hosts and both texts (for multi-line texts, the first lines
// that differ). `label` says what is compared, such as "build"; `hint` what to do about a
// difference. Collective.
void require_equal_on_all_ranks(
    const Comm& comm, const std::string& label, const std::string& text,
    const std::string& hint = "start the same program on machines of the same kind");

}  // namespace switchyard
