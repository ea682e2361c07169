#include "tensor/gradient_leaf.hpp"

#include <algorithm>
#include <span>

#include "tensor/rows.hpp"

namespace switchyard {

View<float> GradientLeaf::sum() {
  if (std::exchange(empty_, false)) {
    constexpr std::int64_t chunk = 1 << 16;
    const std::span<float> all = place_.flat();
    const auto size = static_cast<std::int64_t>(all.size());
    for_each_shared((size + chunk - 1) / chunk, size, [&](std::int64_t i) {
      std::fill_n(all.data() + i * chunk, std::min(chunk, size - i * chunk), 0.0f);
    });
  }
  return place_;
}

}  // namespace switchyard
