// One matrix product as one oneDNN call on the calling thread: nothing is cut, packed or counted
// here (tensor/gemm.hpp does that), and the bits follow from shape, types and transposes alone.
#pragma once

#include "base/bfloat16.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

enum class Transpose { no, yes };
enum class Accumulate { no, yes };  // C = product, or C += product

// c [M, N] (+)= op(a) [M, K] x op(b) [K, N], of no extent 0. bf16 inputs need AVX-512.
template <class In, class Out>
void matmul(View<const In> a, Transpose ta, View<const In> b, Transpose tb, View<Out> c,
            Accumulate accumulate);

// The same without sums into C, of rows that follow each other, by a primitive made for this shape
// and kept: oneDNN has faster kernels for bf16 products whose extents it knows beforehand. For
// shapes that come again.
template <class Out>
void matmul_of_known_shape(View<const bfloat16> a, Transpose ta, View<const bfloat16> b,
                           Transpose tb, View<Out> c);

}  // namespace switchyard
