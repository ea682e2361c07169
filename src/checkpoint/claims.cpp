#include "checkpoint/claims.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

namespace switchyard {

std::optional<int> first_unclaimed(const Comm& comm, std::vector<int> claimed, int count) {
  std::array<std::int64_t, 4096> window{};  // 1: claimed
  std::ranges::sort(claimed);
  auto next = claimed.begin();
  for (int begin = 0; begin < count;) {
    const int size = std::min(count - begin, static_cast<int>(window.size()));
    const std::span<std::int64_t> marks = std::span(window).first(static_cast<std::size_t>(size));
    std::ranges::fill(marks, 0);
    for (; next != claimed.end() && *next < begin + size; ++next)
      marks[static_cast<std::size_t>(*next - begin)] = 1;
    all_reduce_max(comm, marks);
    const auto free = std::ranges::find(marks, 0);
    if (free != marks.end()) return begin + static_cast<int>(free - marks.begin());
    begin += size;
  }
  return std::nullopt;
}

}  // namespace switchyard
