// Memory before it is needed: the prediction for a configuration, what the machine has, and the
// refusal to begin what cannot end well.
#pragma once

#include <cstdint>
#include <optional>

#include "comm/comm.hpp"
#include "config/settings.hpp"
#include "plan/memory.hpp"

namespace switchyard {

// The rows of one of the run's steps: span corruption fills all rows alike; examples are taken to
// fill theirs.
StepShape step_shape(const Settings& settings);

// The prediction for process p of `layout`, with `threads` threads.
ProcessMemory predicted_memory(const Settings& settings, const Layout& layout, Rank p, Load load,
                               int threads);

struct AvailableMemory {
  std::int64_t bytes = 0;
  bool by_group = false;  // a control group's limit leaves less than the host has
};

// What new allocations on this host may still take, within the limits of this process's control
// groups; nothing where the system does not say.
std::optional<AvailableMemory> available_memory();

// "12.3 GB left", and why no more.
std::string available_text(const AvailableMemory& available);

// Throws one Error(machine_cannot), the same on all processes, where those of a host will need more
// than it has, even with balanced experts. Collective.
void require_memory(const Comm& world, const Settings& settings);

// The same where examples are evaluated, the longest of which have so many inputs and targets: no
// gradients, and half of what backward needs at its fullest. Collective.
void require_memory_to_evaluate(const Comm& world, const Settings& settings,
                                std::int64_t input_length, std::int64_t target_length);

// "12.3 GB", three figures; units of 1000.
std::string bytes_text(std::int64_t bytes);

}  // namespace switchyard
