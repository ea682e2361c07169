#include "model/relative_bias.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace switchyard {
namespace {

// The smallest distances of the logarithmic buckets, from T5's formula. They are constants so that
// the last bit of a logarithm cannot move a distance to another bucket.
constexpr std::array<std::int64_t, 8> bidirectional_starts = {8, 12, 16, 23, 32, 46, 64, 91};
constexpr std::array<std::int64_t, 16> causal_starts = {16, 19, 21, 24, 27, 31, 35, 40,
                                                        46, 52, 59, 67, 77, 87, 99, 113};

// Each distance below the first start has a bucket of its own.
template <std::size_t count>
std::int64_t bucket_of(std::int64_t n, const std::array<std::int64_t, count>& starts) {
  if (n < starts[0]) return n;
  const auto passed = std::upper_bound(starts.begin(), starts.end(), n) - starts.begin();
  return starts[0] + passed - 1;
}

}  // namespace

std::int64_t relative_bucket(std::int64_t distance, bool bidirectional) {
  if (!bidirectional) return bucket_of(std::max<std::int64_t>(-distance, 0), causal_starts);
  const std::int64_t ahead = distance > 0 ? relative_buckets / 2 : 0;
  return ahead + bucket_of(std::abs(distance), bidirectional_starts);
}

PositionBias RelativeBias::forward(const ParamSet& params, std::int64_t length) const {
  const View<const float> table = params[table_].value;  // [H, 32]
  PositionBias bias{length, Tensor<float>::uninitialized(table.rows, 2 * length - 1)};
  for (std::int64_t column = 0; column < 2 * length - 1; ++column) {
    const std::int64_t bucket = relative_bucket(column - (length - 1), bidirectional_);
    for (std::int64_t h = 0; h < table.rows; ++h) {
      bias.by_distance.view()(h, column) = table(h, bucket);
    }
  }
  return bias;
}

void RelativeBias::backward(ParamSet& params, const Sequence& sequence,
                            View<const float> pieces) const {
  Param& table = params[table_];
  const std::int64_t heads = table.spec.rows;
  for (std::int64_t i = 0; i < sequence.ranks; ++i) {
    const View<float> leaf = table.leaves[static_cast<std::size_t>(i)].sum();
#pragma omp parallel for schedule(static)  // throws nothing
    for (std::int64_t h = 0; h < heads; ++h) {
      // f64, because the gradients of a softmax row sum to zero: the result is small compared to
      // its terms.
      std::array<double, relative_buckets> sums{};
      for (std::int64_t row = i * sequence.rows; row < (i + 1) * sequence.rows; ++row) {
        const float* piece = pieces.row(row * heads + h);
        for (std::int64_t column = 0; column < pieces.cols; ++column) {
          const std::int64_t distance = column - (sequence.length - 1);
          const std::int64_t bucket = relative_bucket(distance, bidirectional_);
          sums[static_cast<std::size_t>(bucket)] += piece[column];
        }
      }
      for (std::size_t bucket = 0; bucket < sums.size(); ++bucket) {
        leaf.row(h)[bucket] += static_cast<float>(sums[bucket]);
      }
    }
  }
}

}  // namespace switchyard
