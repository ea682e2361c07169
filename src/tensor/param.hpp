// A trainable tensor with its gradients, and the set of all tensors of one process. Dense tensors
// are replicated on every process and have one gradient leaf per hosted virtual rank. An expert's
// tensors live on its owner and have one leaf per replica group that it serves. This file knows no
// model, no optimizer and no file.
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

// How a tensor is initialised. The draw is keyed by (seed, init_key, expert, element), never by
// layout.
struct Initializer {
  enum class Kind { ones, zeros, normal, truncated_normal, uniform } kind = Kind::zeros;
  // The standard deviation (before truncation at 2 sigma, without correction), or uniform's limit.
  float scale = 0;
};

struct ParamSpec {
  std::string name;  // global and stable: "encoder.block.1.feed_forward.experts.3.wi"
  // Keys the draw. An expert's tensor has the key of the dense tensor at the same place, and draws
  // with expert = e.
  std::string init_key;
  std::int64_t rows = 1, cols = 0;  // a vector is one row
  std::optional<ExpertId> expert;   // unset: dense
  Initializer init;
};

struct Param {
  ParamSpec spec;
  View<float> value;  // [rows, cols], f32 master weights
  // Gradients before synchronisation, one per hosted virtual rank (for experts, per replica group).
  std::vector<GradientLeaf> leaves;
  View<float> gradient;    // after synchronisation: the sum over all leaves of the run
  View<bfloat16> rounded;  // the values in bf16, once ParamSet::round_values made room for them

  // The values as matrix products read them: `value` or its bf16 copy.
  template <class In>
  View<const In> input() const {
    if constexpr (std::is_same_v<In, float>) {
      return value;
    } else {
      return rounded;
    }
  }

  // Updates the bf16 copy of elements [first, first + count), if there is one. Update rules call it
  // right after changing the values, while they are in cache.
  void round_values(std::int64_t first, std::int64_t count);

  const std::string& name() const { return spec.name; }
  bool is_expert() const { return spec.expert.has_value(); }
};

// Owns values and gradient leaves in a few contiguous, 64-byte aligned buffers. Move-only; views
// remain valid when it is moved.
class ParamSet {
 public:
  // `specs`: the tensors that this process holds, dense ones first, in the model's order. Zero
  // leaves mean no gradients (evaluation). All values are initialised from `seed`.
  ParamSet(std::vector<ParamSpec> specs, int dense_leaves, int expert_leaves, std::uint64_t seed);
  ParamSet(ParamSet&&) noexcept = default;
  ParamSet& operator=(ParamSet&&) noexcept = default;

  std::span<Param> params() { return params_; }
  std::span<const Param> params() const { return params_; }
  Param& operator[](std::size_t i) { return params_[i]; }
  const Param& operator[](std::size_t i) const { return params_[i]; }

  // Each leaf's gradients of all dense tensors (or all expert tensors) as one span of floats, with
  // padding zero. Order and length are equal on all processes that hold the same tensors. Where a
  // leaf is still empty the memory may hold anything.
  Buffer<std::span<float>> dense_leaves();
  Buffer<std::span<float>> expert_leaves();
  // Where params()[i] begins in a dense leaf.
  std::int64_t dense_offset(std::size_t i) const { return params_[i].value.data - values_.data(); }
  // Zeroing is deferred until something is added, or until fill_empty_leaves().
  void zero_gradients();
  void fill_empty_leaves();
  void fill_empty_dense_leaves(std::size_t first);  // of params()[first] and later ones
  // Writes the bf16 copy of all values and allocates it on the first call: 2 bytes per element held
  // here. Must be called again whenever values have changed.
  void round_values();
  std::size_t dense_count() const { return dense_count_; }  // the first of params()
  std::int64_t elements() const;                            // all values held here, without padding

 private:
  std::vector<Param> params_;
  std::size_t dense_count_ = 0;    // the first of params_
  Tensor<float> values_;           // [1, padded elements]
  Tensor<bfloat16> rounded_;       // likewise, or empty
  Tensor<float> dense_gradients_;  // [dense leaves, padded dense elements]
  Tensor<float> expert_gradients_;
};

// Draws the initial values of a whole tensor; exposed for tests.
void initialize(const ParamSpec& spec, std::uint64_t seed, View<float> value);

}  // namespace switchyard
