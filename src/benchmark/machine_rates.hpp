// The best rates of the machine, measured with all processes and all of their threads at once, as
// in training: matrix products, memory sweeps, the exchange of rows, gradient sums. It knows
// shapes, no models.
#pragma once

#include <cstdint>
#include <functional>

#include "base/bfloat16.hpp"
#include "comm/comm.hpp"
#include "comm/layout.hpp"

namespace switchyard {

struct ProductShape {
  std::int64_t m = 0, n = 0, k = 0;  // [m, k] x [k, n]
};

// Each rate is the best of this many repetitions, and each repetition is as slow as its slowest
// process.
inline constexpr int rate_repetitions = 8;

// whole: one oneDNN call per product. as_issued: through gemm(), as layers multiply.
enum class Call { whole, as_issued };

// Seconds of the best of so many calls of `run`, each as slow as its slowest process. Collective.
double best_seconds(const Comm& comm, const std::function<void()>& run,
                    int repetitions = rate_repetitions);

// Operations per second of all processes together, counting a multiply-add as 2. Every thread
// computes products of its own with f32 results, from operands shared by the threads of a process.
// Collective.
double measure_products(const Comm& comm, Precision precision, const ProductShape& shape,
                        Call call);

// The same for the three products of a linear layer of this shape: [m, k] x [k, n], and those of
// the gradients of both operands, each as often as takes a few milliseconds. Collective.
double measure_layer(const Comm& comm, Precision precision, const ProductShape& shape);

// Bytes per second that all processes together read and write in sweeps of y += a x, as in an
// optimizer. Every thread uses f32 vectors of its own that are larger than the caches; 12 bytes per
// element. Collective.
double measure_memory(const Comm& comm);

// Bytes per second leaving a process that sends `rows` rows of `width` elements in equal parts to
// all processes, itself included; 0 for a single process. One MPI_Alltoallv. Collective.
double measure_exchange(const Comm& comm, Precision precision, std::int64_t rows,
                        std::int64_t width);

// Bytes per second of the sum of f32 gradients over all virtual ranks by CanonicalSum,
// counting the bytes of one virtual rank. Collective.
double measure_reduction(const Comm& comm, const Layout& layout);

}  // namespace switchyard
