// A trainable tensor and its gradients, and the set of them that one process holds. Dense tensors
// are replicated on every process and have one gradient leaf for each virtual rank it hosts; an
// expert's tensors live on its owner and have one leaf for each replica group it serves. This file
// knows no model, no optimizer, no file.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bfloat16.hpp"
#include "base/buffer.hpp"
#include "base/index.hpp"
#include "tensor/gradient_leaf.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

// How a tensor starts. The draw is keyed by (seed, key, expert, element): never by layout.
struct Initializer {
  enum class Kind { ones, zeros, normal, truncated_normal, uniform } kind = Kind::zeros;
  float scale =
      0;  // standard deviation (truncated at 2 sigma, without correction), or limit of uniform
};

struct ParamSpec {
  std::string name;      // global and stable: "encoder.block.1.feed_forward.experts.3.wi"
  std::string init_key;  // names the draw; expert e draws as the dense tensor of the same place
                         // with expert = e
  std::int64_t rows = 1, cols = 0;  // a vector is one row
  std::optional<ExpertId> expert;   // unset: dense
  Initializer init;
};

struct Param {
  ParamSpec spec;
  View<float> value;  // [rows, cols], f32 master weights
  std::vector<GradientLeaf>
      leaves;              // gradients before synchronisation, one a hosted virtual rank (or group)
  View<float> gradient;    // after synchronisation: the sum over all leaves of the run
  View<bfloat16> rounded;  // the values in bf16, once ParamSet::round_values made room for them

  // As products read it.
  template <class In>
  View<const In> input() const {
    if constexpr (std::is_same_v<In, float>) {
      return value;
    } else {
      return rounded;
    }
  }

  // Brings the bf16 copy of elements [first, first + count) up to date, if there is one: for rules
  // that change values, while they are in a cache.
  void round_values(std::int64_t first, std::int64_t count);

  const std::string& name() const { return spec.name; }
  bool is_expert() const { return spec.expert.has_value(); }
};

// Owns values and gradient leaves in a few flat, 64-byte aligned buffers. Move-only; views stay
// valid when it moves.
class ParamSet {
 public:
  // `specs`: the tensors this process holds, dense ones first, in the model's order. leaves = 0: no
  // gradients (evaluation). All values are initialised from `seed`.
  ParamSet(std::vector<ParamSpec> specs, int dense_leaves, int expert_leaves, std::uint64_t seed);
  ParamSet(ParamSet&&) noexcept = default;
  ParamSet& operator=(ParamSet&&) noexcept = default;

  std::span<Param> params() { return params_; }
  std::span<const Param> params() const { return params_; }
  Param& operator[](std::size_t i) { return params_[i]; }
  const Param& operator[](std::size_t i) const { return params_[i]; }

  // Each leaf's gradients of all dense (expert) tensors as one run of floats, padding zero; equal
  // order and length on all processes that hold the same tensors.
  Buffer<std::span<float>> dense_leaves();
  Buffer<std::span<float>> expert_leaves();
  // The zeros themselves are put off until something is added, or to fill_empty_leaves().
  void zero_gradients();
  void fill_empty_leaves();
  // Writes each value's copy in bf16, making room for it the first time: 2 bytes per element held
  // here. To be called again whenever values have changed.
  void round_values();
  std::int64_t elements() const;  // of all values held here, padding not counted

 private:
  std::vector<Param> params_;
  Tensor<float> values_;           // [1, padded elements]
  Tensor<bfloat16> rounded_;       // likewise, or empty
  Tensor<float> dense_gradients_;  // [dense leaves, padded dense elements]
  Tensor<float> expert_gradients_;
};

// The initial value of element i of a tensor; exposed for tests.
void initialize(const ParamSpec& spec, std::uint64_t seed, View<float> value);

}  // namespace switchyard
