// For tests of single layers: random values, a step context on one process, and central differences
// of a plain f64 function.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "model/sequence.hpp"
#include "step/step_context.hpp"
#include "support/mpi_main.hpp"
#include "tensor/ops.hpp"
#include "tensor/param.hpp"

namespace switchyard::test {

using Values = std::vector<double>;

// Uniform in [-1, 1) with f32 precision; a function of `seed`.
inline Values random_values(std::int64_t count, std::uint64_t seed) {
  const RandomStream stream(seed, Purpose::initial_weight, 0, 0);
  Values values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(2 * unit_float(stream.block(0, static_cast<std::uint64_t>(i))[0]) - 1);
  }
  return values;
}

inline Tensor<float> to_tensor(const Values& values, std::int64_t rows) {
  Tensor<float> t =
      Tensor<float>::uninitialized(rows, static_cast<std::int64_t>(values.size()) / rows);
  std::copy(values.begin(), values.end(), t.data());
  return t;
}

inline Values to_values(View<const float> view) {
  const auto flat = view.flat();
  return {flat.begin(), flat.end()};
}

// d f / d inputs[which], by central differences.
inline Values numeric_gradient(const std::function<double(const std::vector<Values>&)>& f,
                               std::vector<Values> inputs, std::size_t which) {
  constexpr double h = 1e-5;
  Values gradient;
  for (double& x : inputs[which]) {
    const double at = x;
    x = at + h;
    const double above = f(inputs);
    x = at - h;
    gradient.push_back((above - f(inputs)) / (2 * h));
    x = at;
  }
  return gradient;
}

inline double norm(const Values& v) {
  double squares = 0;
  for (const double x : v) squares += x * x;
  return std::sqrt(squares);
}

// ||actual - expected|| <= 1e-5 ||expected||, and expected is not zero.
inline void expect_close(const Values& actual, const Values& expected, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  Values difference = expected;
  for (std::size_t i = 0; i < actual.size(); ++i) difference[i] -= actual[i];
  EXPECT_GT(norm(expected), 1e-3) << what << ": the reference is zero, so the check says nothing";
  EXPECT_LE(norm(difference), 1e-5 * norm(expected)) << what;
}

inline double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// a [rows, inner] b [inner, cols], row-major.
inline Values product(const Values& a, const Values& b, std::size_t inner) {
  const std::size_t rows = a.size() / inner, cols = b.size() / inner;
  Values c(rows * cols, 0);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      for (std::size_t k = 0; k < inner; ++k) c[i * cols + j] += a[i * inner + k] * b[k * cols + j];
    }
  }
  return c;
}

// A process that hosts `ranks` virtual ranks alone.
struct OneProcess {
  Layout layout;
  RowTransport transport;
  PhaseTimer timer;
  Work work;
  StepContext context;

  explicit OneProcess(int ranks, Mode mode = Mode::train)
      : layout(ranks, 1, 1, 0),
        transport(test_world(), layout),
        context{test_world(), transport, layout, 3, 5, mode, timer, work} {}
};

inline Sequence make_sequence(std::int64_t ranks, std::int64_t rows, std::int64_t length,
                              Buffer<std::int32_t> lengths) {
  Sequence s{ranks, rows, length, std::move(lengths), {}, {}, 1, {}};
  for (std::int64_t i = 0; i < s.positions(); ++i) {
    s.index.push_back(static_cast<std::uint64_t>(1000 + 7 * i));
    s.real.push_back(i % length < s.row_lengths[static_cast<std::size_t>(i / length)]);
  }
  return s;
}

// The factors by which dropout multiplies, as a [h*N, width] matrix.
inline Values dropout_factors(const StepContext& context, float rate, const RandomStream& stream,
                              const Sequence& sequence, std::int64_t width) {
  Tensor<float> ones = Tensor<float>::uninitialized(sequence.positions(), width);
  for (float& x : ones.flat()) x = 1;
  apply_dropout(ones.view(), context.mode == Mode::train ? rate : 0, stream, sequence.index);
  return to_values(ones.view());
}

// Parameters with the given values and one leaf per virtual rank.
struct NamedValues {
  std::string name;
  std::int64_t rows;
  Values values;
};
inline ParamSet make_params(const std::vector<NamedValues>& tensors, int ranks) {
  std::vector<ParamSpec> specs;
  for (const NamedValues& t : tensors) {
    specs.push_back({t.name,
                     t.name,
                     t.rows,
                     static_cast<std::int64_t>(t.values.size()) / t.rows,
                     std::nullopt,
                     {}});
  }
  ParamSet params(std::move(specs), ranks, 0, 1);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::copy(tensors[i].values.begin(), tensors[i].values.end(), params[i].value.data);
  }
  params.zero_gradients();
  return params;
}

// The part of dy [h*N, D] of one virtual rank; zero elsewhere.
inline Values only_rank(Values dy, std::size_t ranks, std::size_t rank) {
  const std::size_t part = dy.size() / ranks;
  for (std::size_t i = 0; i < dy.size(); ++i) {
    if (i / part != rank) dy[i] = 0;
  }
  return dy;
}

// Compares each leaf of params[i] with the numeric gradient by inputs[i] of <dy of its virtual
// rank, output of the layer>.
inline void expect_leaves_close(ParamSet& params, std::size_t ranks, const Values& dy,
                                const std::function<Values(const std::vector<Values>&)>& layer,
                                const std::vector<Values>& inputs) {
  params.fill_empty_leaves();
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    const Values part = only_rank(dy, ranks, rank);
    const auto loss = [&](const std::vector<Values>& in) { return dot(part, layer(in)); };
    for (std::size_t i = 0; i < params.params().size(); ++i) {
      expect_close(to_values(params[i].leaves[rank].view()), numeric_gradient(loss, inputs, i),
                   params[i].name() + ", leaf " + std::to_string(rank));
    }
  }
}

}  // namespace switchyard::test
