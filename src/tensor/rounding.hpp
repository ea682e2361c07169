// Between f32 and the type that enters products (In: float, or bfloat16). Everything here is free
// where that type is float: nothing is copied, no bit changes.
#pragma once

#include "base/bfloat16.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

// out [n] = in [n], rounded or widened, on the calling thread.
template <class From, class To>
void convert_row(const From* in, std::int64_t n, To* out);
// y = x likewise; both [N, D].
template <class From, class To>
void convert(View<const From> x, View<To> y);

// x = x rounded to bfloat16, as f32; [N, D].
void round_in_place(View<float> x);

// A matrix as To: itself where it is of that type, otherwise a copy.
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

// The same for an owner.
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

// Where a sweep over `f32` leaves what a product reads: in place, or in `room` where types differ.
template <class In>
View<In> input_place(View<float> f32, View<In> room) {
  if constexpr (std::is_same_v<In, float>) {
    return f32;
  } else {
    return room;
  }
}

// Where the f32 values are computed that a sweep rounds into `input`: in place, or in `room`.
template <class In>
View<float> f32_place(View<In> input, View<float> room) {
  if constexpr (std::is_same_v<In, float>) {
    return input;
  } else {
    return room;
  }
}

}  // namespace switchyard
