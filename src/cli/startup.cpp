#include "cli/startup.hpp"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <thread>

#include "base/error.hpp"
#include "cli/command_line.hpp"
#include "cli/control_group.hpp"
#include "cli/version.hpp"
#include "comm/job.hpp"
#include "config/run_config.hpp"
#include "tensor/gemm.hpp"
#include "tensor/instruction_set.hpp"

namespace switchyard {
namespace {

int cores_of_host() { return static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)); }

int usable_cores() { return static_cast<int>(std::thread::hardware_concurrency()); }

}  // namespace

void require_own_launcher(const Comm& world) {
  const auto promise = foreign_launcher(world.size());
  if (!promise) return;
  throw Error(ExitCode::mismatch,
              promise->name + " is " + promise->value +
                  ", but MPI knows of this one process only: another MPI's launcher started it",
              std::string("start it with ") + mpi_name() +
                  "'s mpirun, with `mpirun -n 1` for one process, or unset " + promise->name);
}

bool is_bound_to_cores() { return usable_cores() < cores_of_host(); }

void require_one_job(const Comm& world, std::span<const std::string> words) {
  if (world.size() == 1) return;
  const Build program = build();
  require_equal_on_all_ranks(world, "the program's build",
                             program.version + " " + program.commit + " " + program.id,
                             "install the same program on every host");
  require_equal_on_all_ranks(world, "the command line", shell_text(words),
                             "give every process the same words");
  require_equal_on_all_ranks(world, "the oneDNN version", onednn_version(),
                             "install the same program and the same oneDNN on every host");
  require_equal_on_all_ranks(
      world, "the instruction set", onednn_isa(),
      "start it on hosts of the same kind, or let oneDNN use on all of them what all have: "
      "mpirun -x ONEDNN_MAX_CPU_ISA=AVX2 …");
  require_equal_on_all_ranks(world, "the bits of matrix products (a hash of probes)",
                             std::to_string(probe_products()),
                             "start it on hosts of the same kind");
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

std::string crowding_advice(int processes, int threads, const Cores& cores,
                            std::span<const std::string> words) {
  const int granted =
      cores.quota ? std::max(1, static_cast<int>(std::ceil(*cores.quota))) : cores.of_host;
  const bool by_quota = granted < cores.of_host;
  const int usable = std::min(granted, cores.of_host);
  if (processes * threads <= usable && threads <= cores.bound) return "";
  const auto count = [](int n) { return std::to_string(n) + (n == 1 ? " core" : " cores"); };
  const int fitting = std::min(processes, usable);
  const std::string wish = std::to_string(processes) + " x " + std::to_string(threads) + " threads";
  return "warning: " + wish +
         (processes * threads <= usable ? " are bound to " + count(cores.bound) + " per process"
          : by_quota                    ? " share the time of " + count(usable) +
                           ", the CPU quota of their control group, and slow each other down"
                     : " share " + count(usable) + " of this host and slow each other down") +
         "; better: " + local_command_line(fitting, std::max(1, usable / fitting), words);
}

void require_one_configuration(const Comm& world, const RunConfig& config) {
  const std::optional<Difference> found = find_difference(world, resolved_text(config));
  if (!found) return;
  std::string changes;
  for (const std::string& change :
       changed_fields(parse_config(found->first, "rank 0"), parse_config(found->other, "another")))
    changes += (changes.empty() ? "" : "; ") + change;
  throw Error(ExitCode::mismatch,
              "the processes have different configurations: from rank 0 on " + found->first_host +
                  " to rank " + std::to_string(found->rank.value) + " on " + found->host + ", " +
                  changes,
              "give every process the same --config files and the same --set");
}

void warn_of_crowding(const Comm& world, std::span<const std::string> words) {
  const int here = within_host(world).size();
  if (world.rank() != Rank(0)) return;
  const Cores cores{
      .of_host = cores_of_host(), .bound = usable_cores(), .quota = processor_quota_of_groups()};
  const std::string advice = crowding_advice(here, omp_get_max_threads(), cores, words);
  if (!advice.empty()) std::cerr << advice + "\n" << std::flush;
}

}  // namespace switchyard
