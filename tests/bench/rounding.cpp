// Conversion between f32 and bf16 for a layer's activations.
#include "tensor/rounding.hpp"

#include "kernels.hpp"

namespace switchyard::bench {
namespace {

// Rounds to the nearest number with eight significant bits, ties to even.
double rounded_plainly(double x) {
  int exponent;
  const double mantissa = std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(mantissa, 8)), exponent - 8);
}

void round(benchmark::State& state, const LayerShape& shape) {
  const Tensor<float> x = random_tensor(shape.tokens(), shape.F, 1);
  auto y = Tensor<bfloat16>::uninitialized(x.rows(), x.cols());
  reference::Doubles expected = as_doubles(x.flat());
  for (double& value : expected) value = rounded_plainly(value);
  const auto run = [&] { convert<float, bfloat16>(x.view(), y.view()); };
  run();
  if (!verified(state, "y", error_of<bfloat16>(y.view(), expected), 0)) return;
  time(state, Amount::bytes, 6 * x.size(), run);
}

void widen(benchmark::State& state, const LayerShape& shape) {
  const auto x = random_tensor<bfloat16>(shape.tokens(), shape.F, 1);
  auto y = Tensor<float>::uninitialized(x.rows(), x.cols());
  const auto run = [&] { convert<bfloat16, float>(x.view(), y.view()); };
  run();
  if (!verified(state, "y", error_of<float>(y.view(), doubles<bfloat16>(x.view())), 0)) return;
  time(state, Amount::bytes, 6 * x.size(), run);
}

}  // namespace

void register_rounding(const LayerShape& shape) {
  add_benchmark("rounding/to_BFLOAT16", shape, [=](auto& state) { round(state, shape); });
  add_benchmark("rounding/from_BFLOAT16", shape, [=](auto& state) { widen(state, shape); });
}

}  // namespace switchyard::bench
