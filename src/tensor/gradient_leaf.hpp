// One leaf of a tensor's gradient: what a virtual rank (or a group of experts) adds to it in a
// step. An empty leaf's zeros are put off, and spared where a product comes first: it writes, the
// next ones add.
#pragma once

#include <cassert>
#include <utility>

#include "tensor/gemm.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

class GradientLeaf {
 public:
  // A new leaf's place holds zeros.
  explicit GradientLeaf(View<float> place) : place_(place) {}

  void clear() { empty_ = true; }
  // The leaf as it is now, to be read and added to.
  View<float> sum();
  // The same where it is known not to be empty.
  View<const float> view() const {
    assert(!empty_);
    return place_;
  }
  // The leaf += op(a) x op(b), as gemm() has it.
  template <class In>
  void add_product(Work& work, View<const In> a, Transpose ta, View<const In> b, Transpose tb) {
    gemm<In, float>(work, a, ta, b, tb, place_,
                    std::exchange(empty_, false) ? Accumulate::no : Accumulate::yes);
  }

 private:
  View<float> place_;
  bool empty_ = false;  // the place may hold anything
};

}  // namespace switchyard
