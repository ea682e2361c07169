#include "cli/startup.hpp"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string_view>
#include <thread>

#include "base/error.hpp"
#include "cli/command_line.hpp"
#include "cli/config.hpp"
#include "cli/version.hpp"
#include "comm/job.hpp"
#include "tensor/gemm.hpp"
#include "tensor/instruction_set.hpp"

namespace switchyard {
namespace {

// `mpirun -n 1` inside an allocation of many tasks is what it says.
bool open_mpi_says_one() {
  const char* size = std::getenv("OMPI_COMM_WORLD_SIZE");
  return size != nullptr && std::string_view(size) == "1";
}

}  // namespace

std::string host_name() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

void require_one_job(const Comm& world, std::span<const std::string> words) {
  if (const auto promise = foreign_launcher(world.size()); promise && !open_mpi_says_one()) {
    throw Error(ExitCode::mismatch,
                promise->name + " is " + promise->value +
                    ", but MPI knows of this one process only: another MPI's launcher started it",
                "start it with Open MPI's mpirun (launch/local.sh), with `mpirun -n 1` for one "
                "process, or unset " +
                    promise->name);
  }
  if (world.size() == 1) return;
  const Build program = build();
  require_equal_on_all_ranks(world, "the program's build",
                             program.version + " " + program.commit + " " + program.id);
  require_equal_on_all_ranks(world, "the command line", shell_text(words));
  require_equal_on_all_ranks(world, "the oneDNN version", onednn_version());
  require_equal_on_all_ranks(world, "the instruction set", onednn_isa());
  require_equal_on_all_ranks(world, "the bits of matrix products (a hash of probes)",
                             std::to_string(probe_products()));
}

void warn_of_slow_precision(Precision precision, Bfloat16Support support, Log& log) {
  if (precision != Precision::bfloat16 || support == Bfloat16Support::native) return;
  const std::string cpu = std::string("this CPU (") + onednn_isa() + ") has no ";
  log.warning(support == Bfloat16Support::widened
                  ? cpu +
                        "AVX-512: BFLOAT16's products are computed in f32, so it is no faster than "
                        "FLOAT32"
                  : cpu + "AVX512_BF16: BFLOAT16 is emulated and FLOAT32 is likely to be faster");
}

std::string crowding_advice(int processes, int threads, int cores, int bound,
                            std::span<const std::string> words) {
  if (processes * threads <= cores && threads <= bound) return "";
  const int fitting = std::min(processes, cores);
  const std::string wish = std::to_string(processes) + " x " + std::to_string(threads) + " threads";
  return "warning: " + wish +
         (processes * threads > cores
              ? " share " + std::to_string(cores) + " cores of this host and slow each other down"
              : " are bound to " + std::to_string(bound) + " cores a process") +
         "; better: " + local_command_line(fitting, std::max(1, cores / fitting), words);
}

void require_one_configuration(const Comm& world, const RunConfig& config) {
  const std::vector<std::string> texts = all_gather_strings(world, resolved_text(config));
  for (std::size_t rank = 1; rank < texts.size(); ++rank) {
    if (texts[rank] == texts[0]) continue;
    std::string changes;
    for (const std::string& change :
         changed_fields(parse_config(texts[0], "rank 0"), parse_config(texts[rank], "another")))
      changes += (changes.empty() ? "" : "; ") + change;
    throw Error(ExitCode::mismatch,
                "the processes have different configurations: from rank 0 to rank " +
                    std::to_string(rank) + ", " + changes,
                "give every process the same --config files and the same --set");
  }
}

void warn_of_crowding(const Comm& world, std::span<const std::string> words) {
  const std::vector<std::string> hosts = all_gather_strings(world, host_name());
  if (world.rank() != Rank(0)) return;
  const auto here = static_cast<int>(std::count(hosts.begin(), hosts.end(), hosts[0]));
  const auto cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  const auto bound = static_cast<int>(std::thread::hardware_concurrency());
  const std::string advice = crowding_advice(here, omp_get_max_threads(), cores, bound, words);
  if (!advice.empty()) std::cerr << advice + "\n" << std::flush;
}

}  // namespace switchyard
