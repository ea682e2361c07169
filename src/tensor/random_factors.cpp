// Products with factors drawn from a random stream: dropout and jitter. None is stored, since the
// stream gives the same ones to the backward.
#include <algorithm>

#include "tensor/ops.hpp"
#include "tensor/rows.hpp"

namespace switchyard {
namespace {

// words [4 blocks]: a loop the compiler vectorises, eight blocks at a time.
void draw(const RandomStream& stream, std::uint64_t item, std::uint64_t first, std::int64_t blocks,
          std::uint32_t* __restrict words) {
  for (std::int64_t k = 0; k < blocks; ++k) {
    const auto four = stream.block(item, first + static_cast<std::uint64_t>(k));
    words[4 * k] = four[0];
    words[4 * k + 1] = four[1];
    words[4 * k + 2] = four[2];
    words[4 * k + 3] = four[3];
  }
}

// x[i, j] *= factor_of(element first_element + j of item token_index[i], as unit_float gives it).
template <class T, class FactorOf>
void multiply_by_draws(View<T> x, const RandomStream& stream,
                       std::span<const std::uint64_t> token_index, std::int64_t first_element,
                       FactorOf factor_of) {
  constexpr std::int64_t chunk = 64;  // blocks of four elements drawn at a time
  for_each_row(x.rows, 16 * x.size(), [&](std::int64_t i) {
    const std::uint64_t token = token_index[static_cast<std::size_t>(i)];
    const std::int64_t last = first_element + x.cols;
    alignas(64) std::uint32_t words[4 * chunk];
    for (std::int64_t block = first_element / 4; 4 * block < last; block += chunk) {
      const std::int64_t blocks = std::min(chunk, (last + 3) / 4 - block);
      draw(stream, token, static_cast<std::uint64_t>(block), blocks, words);
      const std::int64_t from = std::max(first_element, 4 * block);
      const std::int64_t count = std::min(last, 4 * (block + blocks)) - from;
      const std::uint32_t* __restrict drawn = words + (from - 4 * block);
      T* __restrict at = x.row(i) + (from - first_element);
#pragma omp simd
      for (std::int64_t j = 0; j < count; ++j)
        at[j] = from_float<T>(to_float(at[j]) * factor_of(unit_float(drawn[j])));
    }
  });
}

}  // namespace

template <class T>
void apply_dropout(View<T> x, float rate, const RandomStream& stream,
                   std::span<const std::uint64_t> token_index, std::int64_t first_element) {
  if (rate == 0) return;
  const float kept = 1.0f / (1.0f - rate);
  multiply_by_draws(x, stream, token_index, first_element,
                    [=](float u) { return u < rate ? 0.0f : kept; });
}

template void apply_dropout(View<float>, float, const RandomStream&, std::span<const std::uint64_t>,
                            std::int64_t);
template void apply_dropout(View<bfloat16>, float, const RandomStream&,
                            std::span<const std::uint64_t>, std::int64_t);

void apply_jitter(View<float> x, float epsilon, const RandomStream& stream,
                  std::span<const std::uint64_t> token_index) {
  const float least = 1 - epsilon, width = 2 * epsilon;
  multiply_by_draws(x, stream, token_index, 0, [=](float u) { return least + width * u; });
}

}  // namespace switchyard
