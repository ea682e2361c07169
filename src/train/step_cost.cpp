#include "train/step_cost.hpp"

#include <sys/resource.h>

#include <array>
#include <cmath>

#include "train/exchange_record.hpp"

namespace switchyard {
namespace {

constexpr auto phases = static_cast<std::size_t>(Phase::count);
constexpr double nanoseconds_of_ms = 1e6;

std::int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }

std::int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace

void record_cost(const Comm& comm, const StepCost& own, StepRecord& record) {
  std::array<std::int64_t, phases + 3> most{};  // one exchange for all of them
  for (std::size_t i = 0; i < phases; ++i)
    most[i] = nanoseconds(own.timer.seconds(static_cast<Phase>(i)));
  most[phases] = nanoseconds(own.forward_backward_seconds);
  most[phases + 1] = nanoseconds(own.seconds);
  most[phases + 2] = peak_memory_bytes();
  all_reduce_max(comm, most);

  const auto ms = [&](std::size_t i) { return static_cast<double>(most[i]) / nanoseconds_of_ms; };
  const auto phase_ms = [&](Phase phase) { return ms(static_cast<std::size_t>(phase)); };
  record.set_input_ms(phase_ms(Phase::input));
  record.set_embedding_ms(phase_ms(Phase::embedding));
  record.set_attention_ms(phase_ms(Phase::attention));
  record.set_feed_forward_ms(phase_ms(Phase::feed_forward));
  record.set_routing_ms(phase_ms(Phase::routing));
  record.set_experts_ms(phase_ms(Phase::experts));
  record.set_logits_ms(phase_ms(Phase::logits));
  record.set_reduction_ms(phase_ms(Phase::reduction));
  record.set_optimizer_ms(phase_ms(Phase::optimizer));
  record.set_forward_backward_ms(ms(phases));
  record.set_step_ms(ms(phases + 1));
  record.set_peak_memory(most[phases + 2]);
  record_exchange(comm, own.timer.transfers(), record);
}

}  // namespace switchyard
