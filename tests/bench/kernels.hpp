// What the kernel benchmarks share: the shapes of a layer, verification against a plain reference
// before timing, and the reported rate. Each register_… function belongs to one file.
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

// The sizes of one virtual rank's part of each layer.
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

// "norm/forward/BFLOAT16/bench_small", timed by wall-clock time, since other threads work too.
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

// The relative error that rounding explains, for products or sums of some hundred terms stored as
// T.
template <class T>
constexpr double allowed_error = std::is_same_v<T, float> ? 1e-5 : 2e-2;

// Returns false and marks the benchmark as failed where `error` is too large or NaN.
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

// The error of `gradient` relative to that of the plain f64 function `loss` at x: compares its
// derivatives along two random directions, by central differences, with those of the gradient. 1 is
// the expected difference of unrelated gradients of this size.
template <class Loss>
double gradient_error(const reference::Doubles& x, const reference::Doubles& gradient, Loss loss) {
  constexpr double step = 1e-6;  // so small that few kinks of a ReLU lie within it
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

// Times `run`, which performs this many operations (2 per multiply-add) or reads and writes this
// many bytes.
template <class Run>
void time(benchmark::State& state, Amount unit, std::int64_t amount, Run run) {
  for (auto _ : state) run();
  state.counters[unit == Amount::operations ? "GFLOP/s" : "GB/s"] = benchmark::Counter(
      1e-9 * static_cast<double>(amount), benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace switchyard::bench
