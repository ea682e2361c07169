#include "report/numbers.hpp"

#include <algorithm>
#include <cmath>

namespace switchyard {
std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::int64_t>(text.size()) - 3; at > (number < 0); at -= 3) {
    text.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return text;
}

std::string decimals(int count, double value) { return formatted("%.*f", count, value); }

std::string percent(int count, double share) { return decimals(count, 100 * share) + "%"; }

std::string fixed_width(double value, int width) {
  if (!std::isfinite(value)) return formatted("%*s", width, std::isnan(value) ? "nan" : "inf");
  for (int count = std::max(width - 2, 0); count > 0; --count) {
    const std::string text = formatted("%.*f", count, value);
    if (static_cast<int>(text.size()) <= width) return text;
  }
  return formatted("%*.0f", width, value);
}

std::string short_count(double value) {
  if (value >= 1e6) return fixed_width(value / 1e6, 4) + " M";
  if (value >= 1e3) return fixed_width(value / 1e3, 4) + " k";
  return formatted("%4.0f  ", value);
}

std::string clock_text(double seconds) {
  const auto s = static_cast<long long>(std::llround(std::max(seconds, 0.0)));
  return formatted("%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
}

}  // namespace switchyard
