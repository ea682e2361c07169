// Memory for parameters and gradient leaves, and the initial values.
#include "tensor/param.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/buffer.hpp"
#include "base/philox.hpp"
#include "tensor/normal.hpp"
#include "tensor/rounding.hpp"
#include "tensor/rows.hpp"

namespace switchyard {

namespace {

// Floats per 64-byte cache line; tensors start at multiples of it.
constexpr std::int64_t line = 16;

std::int64_t padded(std::int64_t elements) { return (elements + line - 1) / line * line; }

std::int64_t padded_size(const ParamSpec& spec) { return padded(spec.rows * spec.cols); }

// FNV-1a: it must be the same on every machine and in every build, since it is part of the
// definition of the initial weights.
std::uint64_t stable_hash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

float draw(const Initializer& init, std::uint32_t word) {
  constexpr double below_minus_two = 0.022750131948179207;  // Phi(-2)
  const double u = (word + 0.5) * 0x1p-32;                  // in (0, 1), symmetric about 1/2
  switch (init.kind) {
    case Initializer::Kind::zeros:
      return 0;
    case Initializer::Kind::ones:
      return 1;
    case Initializer::Kind::normal:
      return static_cast<float>(init.scale * inverse_normal(u));
    case Initializer::Kind::truncated_normal:  // same distribution as redrawing beyond 2 sigma
      return static_cast<float>(init.scale *
                                inverse_normal(below_minus_two + u * (1 - 2 * below_minus_two)));
    case Initializer::Kind::uniform:
      return static_cast<float>(init.scale * (2 * u - 1));
  }
  return 0;
}

}  // namespace

void initialize(const ParamSpec& spec, std::uint64_t seed, View<float> value) {
  const std::uint64_t place = stable_hash(spec.init_key);
  const RandomStream stream(seed, Purpose::initial_weight, static_cast<std::uint32_t>(place),
                            place >> 32);
  const auto item = static_cast<std::uint64_t>(spec.expert.value_or(ExpertId{0}).value);
  const std::span<float> out = value.flat();
  const auto size = static_cast<std::int64_t>(out.size());
  for_each_shared((size + 3) / 4, 16 * size, [&](std::int64_t block) {
    const auto words = stream.block(item, static_cast<std::uint64_t>(block));
    const std::int64_t count = std::min<std::int64_t>(4, size - 4 * block);
    for (std::int64_t j = 0; j < count; ++j) {
      out[static_cast<std::size_t>(4 * block + j)] =
          draw(spec.init, words[static_cast<std::size_t>(j)]);
    }
  });
}

ParamSet::ParamSet(std::vector<ParamSpec> specs, int dense_leaves, int expert_leaves,
                   std::uint64_t seed) {
  assert(std::is_partitioned(specs.begin(), specs.end(),
                             [](const ParamSpec& s) { return !s.expert.has_value(); }));
  std::int64_t dense_size = 0, expert_size = 0;
  for (const ParamSpec& spec : specs) {
    (spec.expert ? expert_size : dense_size) += padded_size(spec);
    dense_count_ += !spec.expert;
  }
  values_ = Tensor<float>::zeros(1, dense_size + expert_size);
  dense_gradients_ = Tensor<float>::zeros(dense_leaves, dense_size);
  expert_gradients_ = Tensor<float>::zeros(expert_leaves, expert_size);

  params_.reserve(specs.size());
  std::int64_t offset = 0;
  for (ParamSpec& spec : specs) {
    Tensor<float>& gradients = spec.expert ? expert_gradients_ : dense_gradients_;
    const std::int64_t in_leaf = spec.expert ? offset - dense_size : offset;
    Param param;
    param.value = {values_.data() + offset, spec.rows, spec.cols};
    for (std::int64_t leaf = 0; leaf < gradients.rows(); ++leaf) {
      param.leaves.emplace_back(
          View<float>(gradients.view().row(leaf) + in_leaf, spec.rows, spec.cols));
    }
    initialize(spec, seed, param.value);
    offset += padded_size(spec);
    param.spec = std::move(spec);
    params_.push_back(std::move(param));
  }
}

namespace {

Buffer<std::span<float>> rows_of(Tensor<float>& gradients) {
  Buffer<std::span<float>> rows;
  for (std::int64_t leaf = 0; leaf < gradients.rows(); ++leaf) {
    rows.push_back(gradients.row_range(leaf, 1).flat());
  }
  return rows;
}

}  // namespace

Buffer<std::span<float>> ParamSet::dense_leaves() { return rows_of(dense_gradients_); }

Buffer<std::span<float>> ParamSet::expert_leaves() { return rows_of(expert_gradients_); }

void ParamSet::zero_gradients() {
  for (Param& param : params_) {
    for (GradientLeaf& leaf : param.leaves) leaf.clear();
  }
}

void ParamSet::fill_empty_leaves() {
  for (Param& param : params_) {
    for (GradientLeaf& leaf : param.leaves) leaf.sum();
  }
}

void ParamSet::fill_empty_dense_leaves(std::size_t first) {
  for (std::size_t i = first; i < dense_count_; ++i) {
    for (GradientLeaf& leaf : params_[i].leaves) leaf.sum();
  }
}

void Param::round_values(std::int64_t first, std::int64_t count) {
  if (rounded.size() == 0) return;
  convert_row<float, bfloat16>(value.data + first, count, rounded.data + first);
}

void ParamSet::round_values() {
  if (rounded_.size() == 0) {
    rounded_ = Tensor<bfloat16>::uninitialized(1, values_.cols());
    for (Param& param : params_) {
      bfloat16* const place = rounded_.data() + (param.value.data - values_.data());
      param.rounded = {place, param.value.rows, param.value.cols};
    }
  }
  const std::int64_t lines = values_.cols() / line;  // the buffer is a whole number of cache lines
  convert(View<const float>(values_.data(), lines, line),
          View<bfloat16>(rounded_.data(), lines, line));
}

std::int64_t ParamSet::elements() const {
  std::int64_t total = 0;
  for (const Param& param : params_) total += param.value.size();
  return total;
}

}  // namespace switchyard
