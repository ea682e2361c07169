// Checks memory before it is allocated: the predicted demand of a configuration, the memory
// available, and the refusal to start what would not fit.
#pragma once

#include <cstdint>
#include <optional>

#include "comm/comm.hpp"
#include "config/settings.hpp"
#include "plan/memory.hpp"

namespace switchyard {

// The rows of one of the run's steps. Span corruption fills all rows equally; examples are assumed
// to fill theirs.
StepShape step_shape(const Settings& settings);

// The predicted memory of process p of `layout` with `threads` threads.
ProcessMemory predicted_memory(const Settings& settings, const Layout& layout, Rank p, Load load,
                               int threads);

struct AvailableMemory {
  std::int64_t bytes = 0;
  bool by_group = false;  // a control group's limit leaves less than the host has
};

// How much new allocations on this host may take, within the limits of this process's control
// groups; nullopt where the system does not say.
std::optional<AvailableMemory> available_memory();

// "12.3 GB left", and what limits it.
std::string available_text(const AvailableMemory& available);

// Throws one Error(machine_cannot), the same on all processes, if the processes of a host will need
// more memory than it has, even with balanced experts. Collective.
void require_memory(const Comm& world, const Settings& settings);

// The same for the evaluation of examples, the longest of which have the given numbers of inputs
// and targets: no gradients, and half of the peak that backward needs. Collective.
void require_memory_to_evaluate(const Comm& world, const Settings& settings,
                                std::int64_t input_length, std::int64_t target_length);

// "12.3 GB": three significant digits, powers of 1000.
std::string bytes_text(std::int64_t bytes);

}  // namespace switchyard
