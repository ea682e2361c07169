// What the rules have in common that treat every element alone: a state of the parameters' own
// shapes, and the sweep over rows.
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

// One tensor of state for each parameter, of its shape; zero at first.
class ShapedState {
 public:
  // `suffix`: "adamw.m", what follows the parameter's name.
  ShapedState(std::span<const Param> params, std::string suffix) : suffix_(std::move(suffix)) {
    for (const Param& param : params) {
      specs_.push_back(param.spec);
      tensors_.push_back(Tensor<float>::zeros(param.spec.rows, param.spec.cols));
    }
  }

  // Of params[i], which must be the parameter that the i-th was made for.
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

// Calls f(first, count) for runs of the tensor's elements, shared among threads. Parameters and
// their state are dense in memory, so a vector is shared out like a matrix.
template <class F>
void for_each_run(const Param& param, F f) {
  constexpr std::int64_t run = 1 << 14;
  const std::int64_t size = param.value.size();
  for_each_shared((size + run - 1) / run, size,
                  [&](std::int64_t i) { f(i * run, std::min(run, size - i * run)); });
}

}  // namespace switchyard
