#include "report/step_line.hpp"

#include "report/numbers.hpp"

namespace switchyard {
std::string step_line(const StepRecord& record, const Pace& pace) {
  const bool sparse = record.has_aux();
  std::string line = formatted("step %5lld/%lld", static_cast<long long>(record.step()),
                               static_cast<long long>(pace.steps));
  line += " | loss " + fixed_width(record.loss(), 5);
  if (sparse) {
    line += " aux " + fixed_width(record.aux(), 4);
    line += " | drop " + fixed_width(100 * record.dropped_fraction(), 3) + "%";
    line += " load " + fixed_width(record.load_imbalance(), 4) + "x";
  }
  line += " | norm " + fixed_width(record.norm(), 4) + formatted(" lr %.1e", record.lr());
  line += formatted(" | %3.0f ms", pace.step_ms);
  if (sparse) line += formatted(" (exchange %2.0f)", pace.a2a_ms);
  line += " | " + short_count(pace.tokens_per_second) + " tok/s";
  line += " | " + (pace.seconds_left ? clock_text(*pace.seconds_left) : "-:--:--") + " left";
  return line;
}

}  // namespace switchyard
