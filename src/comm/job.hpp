// Is this process in the job it believes to be in? Checks at start, before any work.
#pragma once

#include <optional>
#include <string>

#include "comm/comm.hpp"

namespace switchyard {

struct EnvironmentVariable {
  std::string name, value;
};

// A launcher's promise of several processes that MPI knows nothing of: the world is 1 although
// PMI_SIZE, SLURM_NTASKS or OMPI_COMM_WORLD_SIZE says more, because another MPI's launcher started
// the program. Not collective.
std::optional<EnvironmentVariable> foreign_launcher(int world_size);

// Throws Error(mismatch) on every rank when `text` is not rank 0's everywhere, with the first rank
// that differs and both texts. `label` says what is compared: "build". Collective.
void require_equal_on_all_ranks(const Comm& comm, const std::string& label,
                                const std::string& text);

}  // namespace switchyard
