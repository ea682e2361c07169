#include "tensor/sum_of_squares.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/buffer.hpp"
#include "tensor/rows.hpp"
#include "tensor/wide.hpp"

namespace switchyard {

SWITCHYARD_WIDE double row_sum_of_squares(std::span<const float> x) {
  return lane_sum<double>(static_cast<std::int64_t>(x.size()), [in = x.data()](std::int64_t j) {
    return static_cast<double>(in[j]) * static_cast<double>(in[j]);
  });
}

double sum_of_squares(std::span<const float> x) {
  constexpr std::size_t block_size = 4096;
  Buffer<double> sums((x.size() + block_size - 1) / block_size);
  for_each_shared(
      static_cast<std::int64_t>(sums.size()), static_cast<std::int64_t>(x.size()),
      [&](std::int64_t i) {
        const auto block = static_cast<std::size_t>(i);
        const std::size_t first = block * block_size;
        sums[block] = row_sum_of_squares(x.subspan(first, std::min(block_size, x.size() - first)));
      });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace switchyard
