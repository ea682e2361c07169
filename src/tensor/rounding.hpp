// Conversion between f32 and the type of matrix-product inputs (In: float or bfloat16). Where that
// type is float, everything here is free: nothing is copied and no bit changes.
#pragma once

#include "base/bfloat16.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

// out [n] = in [n], rounded or widened. Runs on the calling thread alone.
template <class From, class To>
void convert_row(const From* in, std::int64_t n, To* out);
// y = x, rounded or widened; both [N, D].
template <class From, class To>
void convert(View<const From> x, View<To> y);

// Rounds each element of x [N, D] to a bfloat16 value, stored as f32.
void round_in_place(View<float> x);

// A matrix as To: a view of the original if it has that type, otherwise a copy.
template <class To, class From>
class Converted {
 public:
  explicit Converted(View<const From> x) {
    if constexpr (std::is_same_v<To, From>) {
      view_ = x;
    } else {
      copy_ = Tensor<To>::uninitialized(x.rows, x.cols);
      convert<From, To>(x, copy_.view());
      view_ = copy_.view();
    }
  }
  View<const To> view() const { return view_; }

 private:
  Tensor<To> copy_;
  View<const To> view_;
};

// The same for an owned matrix.
template <class In>
Tensor<In> rounded(Tensor<float> x) {
  if constexpr (std::is_same_v<In, float>) {
    return x;
  } else {
    auto y = Tensor<In>::uninitialized(x.rows(), x.cols());
    convert<float, In>(x.view(), y.view());
    return y;
  }
}

// The output matrix of a sweep over `f32` that feeds a product: `f32` itself, or `room` if types
// differ.
template <class In>
View<In> input_place(View<float> f32, View<In> room) {
  if constexpr (std::is_same_v<In, float>) {
    return f32;
  } else {
    return room;
  }
}

// Where to compute f32 values that a sweep then rounds into `input`: `input` itself, or `room` if
// types differ.
template <class In>
View<float> f32_place(View<In> input, View<float> room) {
  if constexpr (std::is_same_v<In, float>) {
    return input;
  } else {
    return room;
  }
}

}  // namespace switchyard
