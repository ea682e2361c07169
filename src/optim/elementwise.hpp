// What element-wise update rules share: state tensors with the shapes of the parameters, and the
// sweep over the elements of a parameter.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/named_tensor.hpp"
#include "tensor/param.hpp"
#include "tensor/rows.hpp"

namespace switchyard {

// One state tensor per parameter, of the parameter's shape, initially zero.
class ShapedState {
 public:
  // `suffix` follows the parameter's name in the name of its state tensor, as in "adamw.m".
  ShapedState(std::span<const Param> params, std::string suffix) : suffix_(std::move(suffix)) {
    for (const Param& param : params) {
      specs_.push_back(param.spec);
      tensors_.push_back(Tensor<float>::zeros(param.spec.rows, param.spec.cols));
    }
  }

  // The state of params[i]; `params` must list the same parameters as in the constructor.
  View<float> of([[maybe_unused]] std::span<const Param> params, std::size_t i) {
    assert(params.size() == specs_.size() && params[i].name() == specs_[i].name);
    return tensors_[i].view();
  }

  void append_to(std::vector<NamedTensor>& all) {
    for (std::size_t i = 0; i < specs_.size(); ++i) {
      all.push_back({specs_[i].name + "/" + suffix_, specs_[i].rows, specs_[i].cols,
                     specs_[i].expert, tensors_[i].flat()});
    }
  }

 private:
  std::string suffix_;
  std::vector<ParamSpec> specs_;
  std::vector<Tensor<float>> tensors_;
};

// Calls f(first, count) for runs of consecutive elements of the tensor; threads share the runs.
// Parameters and their state are contiguous in memory, so a vector is divided like a matrix.
template <class F>
void for_each_run(const Param& param, F f) {
  constexpr std::int64_t run = 1 << 14;
  const std::int64_t size = param.value.size();
  for_each_shared((size + run - 1) / run, size,
                  [&](std::int64_t i) { f(i * run, std::min(run, size - i * run)); });
}

}  // namespace switchyard
