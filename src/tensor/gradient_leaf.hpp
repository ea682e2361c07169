// One leaf of a tensor's gradient: the contribution of one virtual rank (or of one replica group,
// for experts) in a step. Zeroing a cleared leaf is deferred, and avoided where the first
// contribution is a matrix product: that one overwrites, later ones accumulate.
#pragma once

#include <cassert>
#include <utility>

#include "tensor/gemm.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

class GradientLeaf {
 public:
  // `place` must hold zeros.
  explicit GradientLeaf(View<float> place) : place_(place) {}

  void clear() { empty_ = true; }
  // The leaf with any deferred zeroing done, for reading and adding to.
  View<float> sum();
  // The same for a leaf that is known not to be empty.
  View<const float> view() const {
    assert(!empty_);
    return place_;
  }
  // Adds op(a) x op(b), in gemm()'s notation, to the leaf.
  template <class In>
  void add_product(Work& work, View<const In> a, Transpose ta, View<const In> b, Transpose tb) {
    gemm<In, float>(work, a, ta, b, tb, place_,
                    std::exchange(empty_, false) ? Accumulate::no : Accumulate::yes);
  }

 private:
  View<float> place_;
  bool empty_ = false;  // cleared: the memory may hold anything
};

}  // namespace switchyard
