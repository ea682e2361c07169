#include "comm/job.hpp"

#include <cstdlib>
#include <vector>

#include "base/error.hpp"

namespace switchyard {

std::optional<EnvironmentVariable> foreign_launcher(int world_size) {
  if (world_size != 1) return std::nullopt;
  for (const char* name : {"PMI_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"}) {
    const char* value = std::getenv(name);
    if (value && std::strtol(value, nullptr, 10) > 1) return EnvironmentVariable{name, value};
  }
  return std::nullopt;
}

void require_equal_on_all_ranks(const Comm& comm, const std::string& label,
                                const std::string& text) {
  const std::vector<std::string> texts = all_gather_strings(comm, text);
  for (std::size_t rank = 1; rank < texts.size(); ++rank) {
    if (texts[rank] == texts[0]) continue;
    throw Error(ExitCode::mismatch,
                "the processes disagree on " + label + ": rank 0 has \"" + texts[0] + "\", rank " +
                    std::to_string(rank) + " has \"" + texts[rank] + "\"",
                "start the same program on machines of the same kind");
  }
}

}  // namespace switchyard
