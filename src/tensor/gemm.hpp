// The matrix product, whose bits depend on (M, N, K, types, transposes) alone: never on the number
// of threads, nor on whether the caller is inside a parallel region. It owns the partition: output
// tiles follow from the shape, and each is one single-threaded oneDNN call; without AVX-512, one a
// block of K where operands are packed or, in bf16, widened.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "base/bfloat16.hpp"
#include "tensor/matmul.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

// What was really computed, for tests and for the report of work done. Filled by every product.
struct Work {
  std::atomic<std::int64_t> products{0};
  std::atomic<std::int64_t> multiply_adds{0};  // M N K of each product
  // Called after each product that is not one of a team's, if set: MPI moves messages on only when
  // it is called.
  std::function<void()> between_products;

  void count(std::int64_t m, std::int64_t n, std::int64_t k) {
    products.fetch_add(1, std::memory_order_relaxed);
    multiply_adds.fetch_add(m * n * k, std::memory_order_relaxed);
  }
};

// c [M, N] (+)= op(a) [M, K] x op(b) [K, N]. Transpose::yes means the view holds the operand
// transposed: op(a) = a^T with a [K, M]. Inputs f32 or bf16 (both the same), output f32, or bf16
// from bf16 inputs (never accumulated). M = 0 or N = 0: nothing happens; K = 0: zeros, or C as it
// was when accumulating.
template <class In, class Out>
void gemm(Work& work, View<const In> a, Transpose ta, View<const In> b, Transpose tb, View<Out> c,
          Accumulate accumulate = Accumulate::no);

// The most bytes of storage that such a product takes beside its operands, on each thread that
// works on it; in any transposes. For plans of memory.
std::int64_t product_room(Precision inputs, std::int64_t m, std::int64_t n, std::int64_t k);

// c [M, N] = a [M, K] x b [K, N] as one oneDNN call on the calling thread, nothing cut and nothing
// counted: what the machine can do, for `benchmark`.
template <class In>
void uncut_product(View<const In> a, View<const In> b, View<float> c);

// SHA-free 64-bit hash over about 20 probe products: equal on machines whose products have equal
// bits.
std::uint64_t probe_products();

}  // namespace switchyard
