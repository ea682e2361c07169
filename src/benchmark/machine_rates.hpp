// What the machine can do at its best, measured with all processes, and all their threads, at once
// as in training: products, sweeps of memory, the exchange of rows, sums of gradients. Knows
// shapes, no models.
#pragma once

#include <cstdint>

#include "base/bfloat16.hpp"
#include "comm/comm.hpp"
#include "comm/layout.hpp"

namespace switchyard {

struct ProductShape {
  std::int64_t m = 0, n = 0, k = 0;  // [m, k] x [k, n]
};

// Each the best of so many repetitions, and each of these as slow as its slowest process.
inline constexpr int rate_repetitions = 8;

// whole: one oneDNN call each. as_issued: by gemm(), as layers multiply.
enum class Call { whole, as_issued };

// Operations per second of all processes together, 2 a multiply-add. Every thread computes products
// of its own, with f32 results, from operands that a process's threads share. Collective.
double measure_products(const Comm& comm, Precision precision, const ProductShape& shape,
                        Call call);

// Bytes per second that all processes together read and write in sweeps of y += a x, as an
// optimizer makes them: every thread over f32 vectors of its own, larger than caches; 12 bytes per
// element. Collective.
double measure_memory(const Comm& comm);

// Bytes per second that leave a process which sends `rows` rows of `width` elements in equal parts
// to all processes, itself included; 0 of a single process. One MPI_Alltoallv. Collective.
double measure_exchange(const Comm& comm, Precision precision, std::int64_t rows,
                        std::int64_t width);

// Bytes per second of the sum over all virtual ranks of f32 gradients, by canonical_all_reduce:
// those of one virtual rank count. Collective.
double measure_reduction(const Comm& comm, const Layout& layout);

}  // namespace switchyard
