#include "checkpoint/share_out.hpp"

#include <algorithm>
#include <numeric>

namespace switchyard {

std::vector<Rank> share_out(std::span<const std::int64_t> bytes, std::vector<std::int64_t> load) {
  std::vector<std::size_t> order(bytes.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return bytes[a] > bytes[b]; });
  std::vector<Rank> process(bytes.size());
  for (const std::size_t i : order) {
    const auto least = std::min_element(load.begin(), load.end());
    process[i] = Rank{least - load.begin()};
    *least += bytes[i];
  }
  return process;
}

}  // namespace switchyard
