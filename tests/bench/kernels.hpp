// What the benchmarks of kernels share: the shapes of a layer, how a kernel is held to a plain
// reference before it is timed, and how its rate is told. Each register_… is one concept's file.
#pragma once

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "comm/comm.hpp"
#include "support/ops_reference.hpp"
#include "support/random_tensor.hpp"
#include "tensor/gemm.hpp"

namespace switchyard::bench {

// What one virtual rank of a model has in each layer.
struct LayerShape {
  std::string name;
  std::int64_t rows, inputs, targets;  // b, S, T
  std::int64_t D, F, H, K, W, E;

  std::int64_t tokens() const { return rows * inputs; }  // N, of the encoder
};

void register_products(const LayerShape& shape);
void register_attention(const Comm& comm, const LayerShape& shape);
void register_norm(const LayerShape& shape);
void register_activation(const LayerShape& shape);
void register_cross_entropy(const LayerShape& shape);
void register_routing(const LayerShape& shape);
void register_rows(const Comm& comm, const LayerShape& shape);
void register_experts(const LayerShape& shape);
void register_optimizers(const LayerShape& shape);
void register_canonical_sums(const Comm& comm, const LayerShape& shape);
void register_rounding(const LayerShape& shape);
void register_checksums(const LayerShape& shape);

// "norm/forward/BFLOAT16/bench_small", timed by the clock on the wall, as threads work beside.
template <class Run>
void add_benchmark(const std::string& kernel, const LayerShape& shape, Run run) {
  benchmark::RegisterBenchmark((kernel + "/" + shape.name).c_str(), run)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

template <class T>
std::string precision_of() {
  return std::is_same_v<T, float> ? "FLOAT32" : "BFLOAT16";
}

// The relative errors that rounding explains, where products or sums of some hundred terms are
// stored as T.
template <class T>
constexpr double allowed_error = std::is_same_v<T, float> ? 1e-5 : 2e-2;

// False, and the benchmark has failed, where `error` is larger (or no number).
inline bool verified(benchmark::State& state, const std::string& what, double error,
                     double allowed) {
  if (error <= allowed) return true;
  state.SkipWithError((what + " is off by " + std::to_string(error)).c_str());
  return false;
}

template <class T>
std::vector<float> widened(View<const T> x) {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(x.size()));
  for (std::int64_t r = 0; r < x.rows; ++r)
    for (std::int64_t c = 0; c < x.cols; ++c) values.push_back(to_float(x(r, c)));
  return values;
}

template <class T>
reference::Doubles doubles(View<const T> x) {
  return as_doubles(widened<T>(x));
}

template <class T>
double error_of(View<const T> x, const reference::Doubles& expected) {
  return relative_error(widened<T>(x), expected);
}

// How far `gradient` is from that of the plain f64 function `loss` at x: its derivatives along two
// random directions, by central differences, against what the gradient says of them; 1 is what two
// gradients of this size that have nothing in common differ by.
template <class Loss>
double gradient_error(const reference::Doubles& x, const reference::Doubles& gradient, Loss loss) {
  constexpr double step = 1e-6;  // so small that few kinks of a relu lie within it
  double worst = 0;
  for (const std::uint64_t seed : {101, 102}) {
    const Tensor<float> direction =
        random_tensor(1, static_cast<std::int64_t>(x.size()), seed);  // mean square 1/3
    reference::Doubles above = x, below = x;
    double expected = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto d = static_cast<double>(direction.data()[i]);
      above[i] += step * d;
      below[i] -= step * d;
      expected += gradient[i] * d;
    }
    const double derivative = (loss(above) - loss(below)) / (2 * step);
    const double scale = std::sqrt(reference::dot(gradient, gradient) / 3);
    const double error = std::abs(derivative - expected) / scale;
    if (!(error <= worst)) worst = error;  // NaN too
  }
  return worst;
}

enum class Amount { operations, bytes };

// Times `run`, which is so many operations (2 a multiply-add) or bytes read and written.
template <class Run>
void time(benchmark::State& state, Amount unit, std::int64_t amount, Run run) {
  for (auto _ : state) run();
  state.counters[unit == Amount::operations ? "GFLOP/s" : "GB/s"] = benchmark::Counter(
      1e-9 * static_cast<double>(amount), benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace switchyard::bench
