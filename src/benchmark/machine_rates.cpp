#include "benchmark/machine_rates.hpp"

#include <omp.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "base/team_failure.hpp"
#include "comm/canonical.hpp"
#include "tensor/gemm.hpp"

namespace switchyard {
namespace {

// Values of both signs, so that no kernel can take a shortcut.
template <class In>
Tensor<In> filled(std::int64_t rows, std::int64_t cols) {
  auto matrix = Tensor<In>::uninitialized(rows, cols);
  for (std::int64_t i = 0; i < matrix.size(); ++i)
    matrix.data()[i] = from_float<In>(static_cast<float>(i * 7919 % 251 - 125) / 128);
  return matrix;
}

template <class In>
double seconds_of_products(const Comm& comm, const ProductShape& shape, Call call) {
  const Tensor<In> a = filled<In>(shape.m, shape.k), b = filled<In>(shape.k, shape.n);
  std::vector<Tensor<float>> results;  // one per thread
  for (int i = 0; i < omp_get_max_threads(); ++i)
    results.push_back(Tensor<float>::zeros(shape.m, shape.n));
  Work uncounted;
  return best_seconds(comm, [&] {
    TeamFailure failure;
#pragma omp parallel for schedule(static, 1)
    for (std::size_t i = 0; i < results.size(); ++i) {
      failure.keep([&] {
        const View<float> c = results[i].view();
        if (call == Call::whole) {
          uncut_product<In>(a.view(), b.view(), c);
        } else {
          gemm<In, float>(uncounted, a.view(), Transpose::no, b.view(), Transpose::no, c);
        }
      });
    }
    failure.rethrow();
  });
}

template <class In>
double seconds_of_exchange(const Comm& comm, std::int64_t rows_to_each, std::int64_t width) {
  const Tensor<In> send = filled<In>(comm.size() * rows_to_each, width);
  auto received = Tensor<In>::zeros(send.rows(), width);
  const std::vector<std::int64_t> counts(static_cast<std::size_t>(comm.size()), rows_to_each);
  return best_seconds(comm, [&] {
    all_to_all_rows<In>(comm, send.flat(), counts, received.flat(), counts, width);
  });
}

// The layer's products as its forward and backward passes call them.
template <class In>
double seconds_of_layer(const Comm& comm, const ProductShape& shape) {
  const Tensor<In> x = filled<In>(shape.m, shape.k), w = filled<In>(shape.k, shape.n),
                   dy = filled<In>(shape.m, shape.n);
  auto y = Tensor<In>::uninitialized(shape.m, shape.n);
  auto dx = Tensor<float>::uninitialized(shape.m, shape.k);
  auto dw = Tensor<float>::zeros(shape.k, shape.n);
  Work uncounted;
  constexpr std::int64_t operations_of_a_call = 50'000'000;
  const std::int64_t calls = 1 + operations_of_a_call / (6 * shape.m * shape.n * shape.k);
  const double seconds = best_seconds(
      comm,
      [&] {
        for (std::int64_t i = 0; i < calls; ++i) {
          gemm<In, In>(uncounted, x.view(), Transpose::no, w.view(), Transpose::no, y.view());
          gemm<In, float>(uncounted, dy.view(), Transpose::no, w.view(), Transpose::yes, dx.view());
          gemm<In, float>(uncounted, x.view(), Transpose::yes, dy.view(), Transpose::no, dw.view(),
                          Accumulate::yes);
        }
      },
      4);
  return seconds / static_cast<double>(calls);
}

}  // namespace

double best_seconds(const Comm& comm, const std::function<void()>& run, int repetitions) {
  using Clock = std::chrono::steady_clock;
  std::int64_t best = std::numeric_limits<std::int64_t>::max();
  for (int i = 0; i < repetitions; ++i) {
    barrier(comm);
    const Clock::time_point begin = Clock::now();
    run();
    std::array<std::int64_t, 1> slowest = {std::chrono::nanoseconds(Clock::now() - begin).count()};
    all_reduce_max(comm, slowest);
    best = std::min(best, slowest[0]);
  }
  return static_cast<double>(best) / 1e9;
}

double measure_layer(const Comm& comm, Precision precision, const ProductShape& shape) {
  const double seconds = precision == Precision::bfloat16 ? seconds_of_layer<bfloat16>(comm, shape)
                                                          : seconds_of_layer<float>(comm, shape);
  return static_cast<double>(6 * comm.size() * shape.m * shape.n * shape.k) / seconds;
}

double measure_products(const Comm& comm, Precision precision, const ProductShape& shape,
                        Call call) {
  const double seconds = precision == Precision::bfloat16
                             ? seconds_of_products<bfloat16>(comm, shape, call)
                             : seconds_of_products<float>(comm, shape, call);
  const std::int64_t products = std::int64_t{comm.size()} * omp_get_max_threads();
  return static_cast<double>(2 * products * shape.m * shape.n * shape.k) / seconds;
}

double measure_memory(const Comm& comm) {
  constexpr std::int64_t elements = 1 << 23;  // 64 MB of x and y
  struct Vectors {
    Tensor<float> x, y;
  };
  std::vector<Vectors> vectors(static_cast<std::size_t>(omp_get_max_threads()));  // one per thread
  TeamFailure failure;
#pragma omp parallel for schedule(static, 1)  // first touch places memory near its thread
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    failure.keep([&] {
      vectors[i] = {Tensor<float>::zeros(1, elements), Tensor<float>::zeros(1, elements)};
    });
  }
  failure.rethrow();
  const double seconds = best_seconds(comm, [&] {
#pragma omp parallel for schedule(static, 1)  // throws nothing
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      const float* __restrict x = vectors[i].x.data();
      float* __restrict y = vectors[i].y.data();
#pragma omp simd
      for (std::int64_t e = 0; e < elements; ++e) y[e] += 0.5f * x[e];
    }
  });
  const std::int64_t sweeps = std::int64_t{comm.size()} * omp_get_max_threads();
  return static_cast<double>(sweeps * elements) * 3 * sizeof(float) / seconds;
}

double measure_exchange(const Comm& comm, Precision precision, std::int64_t rows,
                        std::int64_t width) {
  if (comm.size() == 1) return 0;
  const std::int64_t rows_to_each = std::max<std::int64_t>(1, rows / comm.size());
  const bool narrow = precision == Precision::bfloat16;
  const double seconds = narrow ? seconds_of_exchange<bfloat16>(comm, rows_to_each, width)
                                : seconds_of_exchange<float>(comm, rows_to_each, width);
  return static_cast<double>((comm.size() - 1) * rows_to_each * width * (narrow ? 2 : 4)) / seconds;
}

double measure_reduction(const Comm& comm, const Layout& layout) {
  constexpr std::int64_t most_elements = 1 << 24;  // over all virtual ranks that a process hosts
  const LeafPartition partition(layout.virtual_ranks(), layout.processes());
  const std::int64_t most_leaves =
      (layout.virtual_ranks() + layout.processes() - 1) / layout.processes();
  const std::int64_t elements = most_elements / most_leaves;
  auto leaves = filled<float>(layout.hosted(comm.rank()).size(), elements);
  CanonicalSum<float> sum(comm, partition, elements);
  const double seconds = best_seconds(comm, [&] {
    std::vector<std::span<float>> rows;
    for (std::int64_t i = 0; i < leaves.rows(); ++i) rows.push_back(leaves.row_range(i, 1).flat());
    sum.all_reduce(rows);
  });
  return static_cast<double>(elements) * sizeof(float) / seconds;
}

}  // namespace switchyard
