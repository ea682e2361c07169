// Is this process in the job it believes to be in? Checks at start, before any work.
#pragma once

#include <optional>
#include <string>

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

// A launcher's promise of several processes that MPI knows nothing of: the world is 1 although this
// is one of several tasks that another launcher started (OMPI_COMM_WORLD_SIZE, PMI_SIZE, or
// SLURM_STEP_NUM_TASKS in a task of a step). An allocation of many tasks promises nothing yet: its
// script is one process. Not collective.
std::optional<EnvironmentVariable> foreign_launcher(int world_size);

// The processes that share memory with this one: its host's, in the order of their ranks.
// Collective.
Comm within_host(const Comm& comm);

// Two processes that do not have the same text.
struct Difference {
  Rank rank;               // the lowest that differs from rank 0
  std::string first_host;  // rank 0's
  std::string host;        // the other's
  std::string first, other;
};

// Where `text` is not rank 0's; nothing where it is the same everywhere. No process ever holds more
// than two texts. Collective.
std::optional<Difference> find_difference(const Comm& comm, const std::string& text);

// Throws Error(mismatch) on every rank when `text` is not rank 0's everywhere: the first rank that
// differs, both hosts and both texts, of longer ones the first lines that differ. `label` says what
// is compared, "build", and `hint` what to do about a difference. Collective.
void require_equal_on_all_ranks(
    const Comm& comm, const std::string& label, const std::string& text,
    const std::string& hint = "start the same program on machines of the same kind");

}  // namespace switchyard
