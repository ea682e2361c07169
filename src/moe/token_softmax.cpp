#include "moe/token_softmax.hpp"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

#include "base/buffer.hpp"
#include "tensor/rounding.hpp"
#include "tensor/rows.hpp"
#include "tensor/vector_math.hpp"

namespace switchyard {
namespace {

void softmax_of_row(View<const float> logits, std::span<const std::int64_t> tokens, View<float> p) {
  const std::int64_t E = logits.cols;
  Buffer<float> largest(E, -std::numeric_limits<float>::infinity()), sum(E, 0.0f);
  for (const std::int64_t t : tokens)
    for (std::int64_t e = 0; e < E; ++e) largest[e] = std::max(largest[e], logits.row(t)[e]);
  for (const std::int64_t t : tokens) {
    for (std::int64_t e = 0; e < E; ++e) {
      p.row(t)[e] = fast_exp(logits.row(t)[e] - largest[e]);
      sum[e] += p.row(t)[e];
    }
  }
  for (const std::int64_t t : tokens)
    for (std::int64_t e = 0; e < E; ++e) p.row(t)[e] /= sum[e];
}

}  // namespace

Tensor<float> token_softmax(View<const float> logits, std::span<const std::uint8_t> real,
                            std::int64_t row_length, Precision precision) {
  const std::int64_t N = logits.rows;
  assert(row_length > 0 && N % row_length == 0 && std::ssize(real) == N);
  auto p = Tensor<float>::zeros(N, logits.cols);
  for_each_shared(N / row_length, 16 * logits.size(), [&](std::int64_t row) {
    Buffer<std::int64_t> tokens;
    for (std::int64_t t = row * row_length; t < (row + 1) * row_length; ++t)
      if (real[t]) tokens.push_back(t);
    softmax_of_row(logits, tokens, p.view());
  });
  if (precision == Precision::bfloat16) round_in_place(p.view());
  return p;
}

Tensor<float> token_softmax_backward(View<const float> p, Tensor<float> d,
                                     std::int64_t row_length) {
  const std::int64_t E = p.cols;
  for_each_shared(p.rows / row_length, 4 * p.size(), [&](std::int64_t row) {
    const View<float> d_row = d.view();
    Buffer<float> mean(E, 0.0f);
    for (std::int64_t t = row * row_length; t < (row + 1) * row_length; ++t)
      for (std::int64_t e = 0; e < E; ++e) mean[e] += p.row(t)[e] * d_row.row(t)[e];
    for (std::int64_t t = row * row_length; t < (row + 1) * row_length; ++t)
      for (std::int64_t e = 0; e < E; ++e)
        d_row.row(t)[e] = p.row(t)[e] * (d_row.row(t)[e] - mean[e]);
  });
  return d;
}

}  // namespace switchyard
