#include "train/step_line.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace switchyard {
namespace {

template <class... Values>
std::string print(const char* format, Values... values) {
  char text[128];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

}  // namespace

std::string fixed_width(double value, int width) {
  if (!std::isfinite(value)) return print("%*s", width, std::isnan(value) ? "nan" : "inf");
  const int decimals_at_most = std::max(width - 2, 0);
  for (int decimals = decimals_at_most; decimals > 0; --decimals) {
    const std::string text = print("%.*f", decimals, value);
    if (static_cast<int>(text.size()) <= width) return text;
  }
  return print("%*.0f", width, value);
}

std::string short_count(double value) {
  if (value >= 1e6) return fixed_width(value / 1e6, 4) + " M";
  if (value >= 1e3) return fixed_width(value / 1e3, 4) + " k";
  return print("%4.0f  ", value);
}

std::string clock_text(double seconds) {
  const auto s = static_cast<long long>(std::llround(std::max(seconds, 0.0)));
  return print("%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
}

std::string step_line(const StepRecord& record, const Pace& pace) {
  const bool sparse = record.has_aux();
  std::string line = print("step %5lld/%lld", static_cast<long long>(record.step()),
                           static_cast<long long>(pace.steps));
  line += " | loss " + fixed_width(record.loss(), 5);
  if (sparse) {
    line += " aux " + fixed_width(record.aux(), 4);
    line += " | drop " + fixed_width(100 * record.dropped_fraction(), 3) + "%";
    line += " load " + fixed_width(record.load_imbalance(), 4) + "x";
  }
  line += " | norm " + fixed_width(record.norm(), 4) + print(" lr %.1e", record.lr());
  line += print(" | %3.0f ms", pace.step_ms);
  if (sparse) line += print(" (exchange %2.0f)", pace.a2a_ms);
  line += " | " + short_count(pace.tokens_per_second) + " tok/s";
  line += " | " + (pace.seconds_left ? clock_text(*pace.seconds_left) : "-:--:--") + " left";
  return line;
}

}  // namespace switchyard
