// The rate of gemm() on this machine, in f32 and bf16: the mark that a training step is held
// against. Each shape is verified on a few elements before it is timed. Run one copy a core at the
// same time, as training does: mpirun -n 2 gemm_rate
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "base/philox.hpp"
#include "tensor/gemm.hpp"

namespace switchyard {
namespace {

template <class T>
Tensor<T> random_matrix(std::int64_t rows, std::int64_t cols, std::uint64_t item) {
  auto matrix = Tensor<T>::uninitialized(rows, cols);
  const RandomStream stream(1, Purpose::initial_weight, 0, item);
  for (std::int64_t i = 0; i < matrix.size(); ++i) {
    const float value = 2 * unit_float(stream.block(0, static_cast<std::uint64_t>(i))[0]) - 1;
    if constexpr (std::is_same_v<T, float>) {
      matrix.data()[i] = value;
    } else {
      matrix.data()[i] = to_bfloat16(value);
    }
  }
  return matrix;
}

double widen(float x) { return static_cast<double>(x); }
double widen(bfloat16 x) { return static_cast<double>(to_float(x)); }

template <class T>
bool agrees(View<const T> a, View<const T> b, View<const float> c) {
  for (std::int64_t i = 0; i < 16; ++i) {
    const std::int64_t row = i * 7919 % c.rows, col = i * 104729 % c.cols;
    double sum = 0;
    for (std::int64_t k = 0; k < a.cols; ++k) sum += widen(a(row, k)) * widen(b(k, col));
    if (std::abs(sum - static_cast<double>(c(row, col))) > 1e-4 * static_cast<double>(a.cols))
      return false;
  }
  return true;
}

// c [M, N] = a [M, K] x b [K, N]
template <class T>
void product(benchmark::State& state) {
  const std::int64_t M = state.range(0), N = state.range(1), K = state.range(2);
  const auto a = random_matrix<T>(M, K, 0), b = random_matrix<T>(K, N, 1);
  auto c = Tensor<float>::uninitialized(M, N);
  Work work;
  const auto run = [&] {
    gemm<T, float>(work, a.view(), Transpose::no, b.view(), Transpose::no, c.view());
  };
  run();
  if (!agrees<T>(a.view(), b.view(), c.view())) return state.SkipWithError("wrong product");
  for (auto _ : state) run();
  state.counters["GFLOP/s"] = benchmark::Counter(2e-9 * static_cast<double>(M * N * K),
                                                 benchmark::Counter::kIsIterationInvariantRate);
}

#define SHAPES                   \
  ArgNames({"M", "N", "K"})      \
      ->Args({2048, 2048, 2048}) \
      ->Args({4096, 1024, 256})  \
      ->Args({4096, 256, 1024})  \
      ->Args({512, 8192, 256})   \
      ->Args({256, 256, 64})     \
      ->UseRealTime()            \
      ->Unit(benchmark::kMillisecond)
BENCHMARK(product<float>)->SHAPES;
BENCHMARK(product<bfloat16>)->SHAPES;

}  // namespace
}  // namespace switchyard

BENCHMARK_MAIN();
