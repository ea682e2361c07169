// What element-wise update rules share: state tensors with the shapes of the parameters, and the
// sweep over the elements of a parameter.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "optim/update_share.hpp"
#include "tensor/named_tensor.hpp"
#include "tensor/param.hpp"
#include "tensor/rows.hpp"

namespace switchyard {

// The state of some rows of a tensor, addressed by the element of the whole tensor.
struct StateOfRows {
  float* data;         // of the first of these rows
  std::int64_t first;  // element of the whole tensor
  float* at(std::int64_t element) const { return data + (element - first); }
};

// One state tensor per parameter, of the shape of the rows that are updated here, initially zero.
class ShapedState {
 public:
  // `suffix` follows the parameter's name in the name of its state tensor, as in "adamw.m".
  ShapedState(std::span<const Param> params, std::string suffix, const UpdateShare* share)
      : suffix_(std::move(suffix)), is_shared_(share != nullptr) {
    for (std::size_t i = 0; i < params.size(); ++i) {
      specs_.push_back(params[i].spec);
      rows_.push_back(updated_rows(share, params, i));
      tensors_.push_back(Tensor<float>::zeros(rows_[i].size(), params[i].spec.cols));
    }
  }

  // Of params[i]: the rows that are updated here, and where the state of an element of the whole
  // tensor lies: of(i).at(element). `params` must list the same parameters as in the constructor.
  RowRange rows([[maybe_unused]] std::span<const Param> params, std::size_t i) const {
    assert(params.size() == specs_.size() && params[i].name() == specs_[i].name);
    return rows_[i];
  }
  StateOfRows of(std::size_t i) { return {tensors_[i].data(), rows_[i].first * specs_[i].cols}; }

  void append_to(std::vector<NamedTensor>& all) {
    for (std::size_t i = 0; i < specs_.size(); ++i) {
      NamedTensor tensor{specs_[i].name + "/" + suffix_, specs_[i].rows, specs_[i].cols,
                         specs_[i].expert, tensors_[i].flat()};
      if (is_shared_ && !tensor.expert) tensor.first = rows_[i].first * specs_[i].cols;
      all.push_back(std::move(tensor));
    }
  }

 private:
  std::string suffix_;
  bool is_shared_;
  std::vector<ParamSpec> specs_;
  std::vector<RowRange> rows_;
  std::vector<Tensor<float>> tensors_;  // [rows_[i].size(), cols]
};

// Calls f(first, count) for runs of consecutive elements of these rows of the tensor; threads share
// the runs. Parameters and their state are contiguous in memory, so a vector is divided like a
// matrix.
template <class F>
void for_each_run(const Param& param, RowRange rows, F f) {
  constexpr std::int64_t run = 1 << 14;
  const std::int64_t first = rows.first * param.spec.cols, size = rows.size() * param.spec.cols;
  for_each_shared((size + run - 1) / run, size,
                  [&](std::int64_t i) { f(first + i * run, std::min(run, size - i * run)); });
}

}  // namespace switchyard
