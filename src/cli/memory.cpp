#include "cli/memory.hpp"

#include <omp.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <limits>
#include <string>

#include "base/error.hpp"
#include "base/host.hpp"
#include "cli/control_group.hpp"
#include "comm/job.hpp"
#include "config/update_sharing.hpp"

namespace switchyard {
namespace {

constexpr std::int64_t unknown = std::numeric_limits<std::int64_t>::max();

// MemAvailable from /proc/meminfo, which is in units of 1024 bytes.
std::int64_t available_on_host() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  for (std::int64_t amount; file >> name >> amount;
       file.ignore(std::numeric_limits<std::streamsize>::max(), '\n')) {
    if (name == "MemAvailable:") return amount * 1024;
  }
  return unknown;
}

Layout layout_of(const Comm& world, const Settings& settings) {
  return {settings.virtual_ranks, world.size(), settings.groups, settings.model.moe.num_experts};
}

// What the processes of a host need together, and the least that any of them may take.
struct Demand {
  std::int64_t processes = 0, needed = 0;
  AvailableMemory available{unknown};
};

// Adds up the demand of this host's processes. needed: bytes of this process's arrays; the program
// itself is already loaded. Collective.
Demand demand_here(const Comm& world, std::int64_t needed) {
  const AvailableMemory available = available_memory().value_or(AvailableMemory{unknown});
  const std::array<std::int64_t, 3> own = {needed, available.bytes, available.by_group};
  const Comm here = within_host(world);
  const auto all = all_gather(here, std::span<const std::int64_t>(own));
  Demand demand{.processes = here.size()};
  for (std::size_t at = 0; at < all.size(); at += own.size()) {
    demand.needed += all[at];
    if (all[at + 1] < demand.available.bytes) demand.available = {all[at + 1], all[at + 2] != 0};
  }
  return demand;
}

// Throws Error(machine_cannot) where a host has less memory than its processes need. Each process
// knows only its own need and its host's; the host of the lowest rank that lacks memory reports.
// needed: bytes of this process's arrays; what: "training"; hint: what to do. Collective.
void require_room(const Comm& world, std::int64_t needed, const std::string& what,
                  const std::string& hint) {
  const Demand demand = demand_here(world, needed);
  const auto lacking = find_lowest(world, demand.needed > demand.available.bytes);
  if (!lacking) return;
  const std::string processes =
      demand.processes == 1 ? "process" : std::to_string(demand.processes) + " processes";
  const std::string problem = what + " needs " + bytes_text(demand.needed) + " for the " +
                              processes + " on " + host_name() + ", which has " +
                              available_text(demand.available);
  throw Error(ExitCode::machine_cannot, broadcast_string(world, problem, *lacking), hint);
}

}  // namespace

StepShape step_shape(const Settings& settings) {
  const SpanCorruptionConfig& spans = settings.spans;
  const SpanLengths lengths =
      settings.examples ? SpanLengths{.inputs = spans.input_length, .targets = *spans.target_length}
                        : fit_segment(spans);
  return {.rows = settings.batch_size,
          .input_length = spans.input_length,
          .target_length = spans.target_length.value_or(lengths.targets),
          .real_inputs = lengths.inputs,
          .real_targets = lengths.targets,
          .micro_steps = settings.accumulation_steps};
}

namespace {

OptimizerShape optimizer_shape(const OptimizerConfig& config, bool shared) {
  if (const auto* adafactor = std::get_if<AdafactorConfig>(&config)) {
    return {.moments = 1, .factor_from = adafactor->min_dim_size_to_factor, .shared = shared};
  }
  if (const auto* sgd = std::get_if<SgdConfig>(&config)) {
    return {.moments = sgd->momentum > 0 ? 1 : 0, .factor_from = std::nullopt, .shared = shared};
  }
  return {.moments = 2, .factor_from = std::nullopt, .shared = shared};  // AdamW
}

}  // namespace

ProcessMemory predicted_memory(const Settings& settings, const Layout& layout, Rank p, Load load,
                               int threads) {
  return plan_memory({.config = settings.model,
                      .layout = layout,
                      .shape = step_shape(settings),
                      .optimizer = optimizer_shape(settings.optimizer,
                                                   shards_optimizer(settings, layout.processes())),
                      .threads = threads,
                      .exchange_chunks = settings.exchange_chunks},
                     p, load);
}

std::optional<AvailableMemory> available_memory() {
  const std::int64_t host = available_on_host();
  const std::int64_t groups = memory_left_to_groups().value_or(unknown);
  if (std::min(host, groups) == unknown) return std::nullopt;
  return AvailableMemory{std::min(host, groups), groups < host};
}

std::string available_text(const AvailableMemory& available) {
  return bytes_text(available.bytes) + " left" +
         (available.by_group ? " under the memory limit of its control group (cgroup)" : "");
}

void require_memory(const Comm& world, const Settings& settings) {
  const ProcessMemory own = predicted_memory(settings, layout_of(world, settings), world.rank(),
                                             Load::balanced, omp_get_max_threads());
  require_room(world, own.arrays(), "training",
               "start it on more hosts, set train.recompute=BLOCK, or make train.batch_size or the "
               "model smaller; `switchyard describe` shows what takes how much");
}

void require_memory_to_evaluate(const Comm& world, const Settings& settings,
                                std::int64_t input_length, std::int64_t target_length) {
  Settings longest = settings;
  longest.examples = true;
  longest.spans.input_length = input_length;
  longest.spans.target_length = target_length;
  longest.model.recompute = Recompute::attention;  // evaluation does not keep attention weights
  const ProcessMemory training = predicted_memory(longest, layout_of(world, longest), world.rank(),
                                                  Load::balanced, omp_get_max_threads());
  require_room(world,
               training.weights + training.copies + training.activations + training.buffers / 2,
               "the longest example, of " + std::to_string(input_length) + " inputs or " +
                   std::to_string(target_length) + " targets,",
               "shorten it, set train.batch_size lower, or start it on more hosts");
}

std::string bytes_text(std::int64_t bytes) {
  constexpr std::array units = {"B", "kB", "MB", "GB", "TB", "PB"};
  auto amount = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; amount >= 999.5 && unit + 1 < units.size(); ++unit) amount /= 1000;
  const int decimals = unit == 0 || amount >= 99.95 ? 0 : amount >= 9.995 ? 1 : 2;
  char text[32];
  std::snprintf(text, sizeof text, "%.*f %s", decimals, amount, units[unit]);
  return text;
}

}  // namespace switchyard
