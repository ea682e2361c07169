// Element-wise multiplication by random factors: dropout and jitter. Factors are not stored, since
// the stream gives the same ones to backward.
#include <algorithm>

#include "tensor/ops.hpp"
#include "tensor/rows.hpp"

namespace switchyard {
namespace {

// Draws words [4 * blocks] in a loop that the compiler vectorises, eight blocks at a time.
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

// Calls use(i, first, count, words) for runs of elements first … first + count - 1 of row i, with
// one random word per element. Element j of row i is element first_element + j of item
// token_index[i].
template <class Use>
void for_each_drawn(std::int64_t rows, std::int64_t cols, const RandomStream& stream,
                    std::span<const std::uint64_t> token_index, std::int64_t first_element,
                    Use use) {
  constexpr std::int64_t chunk = 64;  // blocks of four elements drawn at a time
  for_each_row(rows, 16 * rows * cols, [&](std::int64_t i) {
    const std::uint64_t token = token_index[static_cast<std::size_t>(i)];
    const std::int64_t last = first_element + cols;
    alignas(64) std::uint32_t words[4 * chunk];
    for (std::int64_t block = first_element / 4; 4 * block < last; block += chunk) {
      const std::int64_t blocks = std::min(chunk, (last + 3) / 4 - block);
      draw(stream, token, static_cast<std::uint64_t>(block), blocks, words);
      const std::int64_t from = std::max(first_element, 4 * block);
      const std::int64_t to = std::min(last, 4 * (block + blocks));
      use(i, from - first_element, to - from, words + (from - 4 * block));
    }
  });
}

// Calls put(y[i, j], x[i, j] U) for each element.
template <class Put>
void put_jittered(View<const float> x, float epsilon, const RandomStream& stream,
                  std::span<const std::uint64_t> token_index, View<float> y, Put put) {
  const float least = 1 - epsilon, width = 2 * epsilon;
  for_each_drawn(
      x.rows, x.cols, stream, token_index, 0,
      [=](std::int64_t i, std::int64_t first, std::int64_t count, const std::uint32_t* words) {
        const float* __restrict in = x.row(i) + first;
        float* __restrict out = y.row(i) + first;
#pragma omp simd
        for (std::int64_t j = 0; j < count; ++j)
          put(out[j], in[j] * (least + width * unit_float(words[j])));
      });
}

}  // namespace

template <class T>
void apply_dropout(View<T> x, float rate, const RandomStream& stream,
                   std::span<const std::uint64_t> token_index, std::int64_t first_element) {
  if (rate == 0) return;
  const float kept = 1.0f / (1.0f - rate);
  for_each_drawn(
      x.rows, x.cols, stream, token_index, first_element,
      [=](std::int64_t i, std::int64_t first, std::int64_t count, const std::uint32_t* words) {
        T* __restrict at = x.row(i) + first;
#pragma omp simd
        for (std::int64_t j = 0; j < count; ++j) {
          const float factor = unit_float(words[j]) < rate ? 0.0f : kept;
          at[j] = from_float<T>(to_float(at[j]) * factor);
        }
      });
}

template void apply_dropout(View<float>, float, const RandomStream&, std::span<const std::uint64_t>,
                            std::int64_t);
template void apply_dropout(View<bfloat16>, float, const RandomStream&,
                            std::span<const std::uint64_t>, std::int64_t);

void jitter(View<const float> x, float epsilon, const RandomStream& stream,
            std::span<const std::uint64_t> token_index, View<float> y) {
  put_jittered(x, epsilon, stream, token_index, y, [](float& out, float value) { out = value; });
}

void add_jittered(View<const float> x, float epsilon, const RandomStream& stream,
                  std::span<const std::uint64_t> token_index, View<float> y) {
  put_jittered(x, epsilon, stream, token_index, y, [](float& out, float value) { out += value; });
}

}  // namespace switchyard
