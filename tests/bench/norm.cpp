// RMSNorm: forward, including the rounding of its output for the next product, and backward.
#include "kernels.hpp"
#include "tensor/ops.hpp"

namespace switchyard::bench {
namespace {

constexpr float epsilon = 1e-6f;

struct Operands {
  Tensor<float> x, dy, scale, inverse_rms;

  explicit Operands(const LayerShape& shape)
      : x(random_tensor(shape.tokens(), shape.D, 1)),
        dy(random_tensor(shape.tokens(), shape.D, 2)),
        scale(random_tensor(1, shape.D, 3)),
        inverse_rms(Tensor<float>::uninitialized(1, shape.tokens())) {}
};

template <class T>
void norm_forward(benchmark::State& state, const LayerShape& shape) {
  Operands o(shape);
  auto y = Tensor<T>::uninitialized(shape.tokens(), shape.D);
  const auto run = [&] {
    rms_norm_forward<T>(o.x.view(), o.scale.flat(), epsilon, y.view(), o.inverse_rms.flat());
  };
  run();
  const auto expected = reference::rms_norm(as_doubles(o.x.flat()), as_doubles(o.scale.flat()),
                                            static_cast<double>(epsilon));
  if (!verified(state, "y", error_of<T>(y.view(), expected), allowed_error<T>)) return;
  time(state, Amount::bytes, y.size() * static_cast<std::int64_t>(4 + sizeof(T)), run);
}

void norm_backward(benchmark::State& state, const LayerShape& shape) {
  Operands o(shape);
  auto y = Tensor<float>::uninitialized(shape.tokens(), shape.D);
  rms_norm_forward<float>(o.x.view(), o.scale.flat(), epsilon, y.view(), o.inverse_rms.flat());
  auto dx = Tensor<float>::zeros(shape.tokens(), shape.D),
       d_scale = Tensor<float>::zeros(1, shape.D);
  const auto run = [&] {
    rms_norm_backward(o.dy.view(), o.x.view(), o.scale.flat(), o.inverse_rms.flat(), dx.view(),
                      d_scale.flat());
  };
  run();
  const auto x = as_doubles(o.x.flat()), dy = as_doubles(o.dy.flat()),
             scale = as_doubles(o.scale.flat());
  const auto loss = [&](const reference::Doubles& at, const reference::Doubles& by) {
    return reference::dot(dy, reference::rms_norm(at, by, static_cast<double>(epsilon)));
  };
  const double dx_error =
      gradient_error(x, as_doubles(dx.flat()), [&](const auto& at) { return loss(at, scale); });
  const double d_scale_error = gradient_error(scale, as_doubles(d_scale.flat()),
                                              [&](const auto& by) { return loss(x, by); });
  if (!verified(state, "dx", dx_error, 1e-4)) return;
  if (!verified(state, "d_scale", d_scale_error, 1e-4)) return;
  time(state, Amount::bytes, 16 * dx.size(), run);  // dy, x, and dx twice
}

}  // namespace

void register_norm(const LayerShape& shape) {
  add_benchmark("norm/forward/FLOAT32", shape,
                [=](auto& state) { norm_forward<float>(state, shape); });
  add_benchmark("norm/forward/BFLOAT16", shape,
                [=](auto& state) { norm_forward<bfloat16>(state, shape); });
  add_benchmark("norm/backward", shape, [=](auto& state) { norm_backward(state, shape); });
}

}  // namespace switchyard::bench
