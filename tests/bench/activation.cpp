// The activations of a feed-forward layer, forward and backward.
#include "kernels.hpp"
#include "tensor/ops.hpp"

namespace switchyard::bench {
namespace {

template <class T>
void relu(benchmark::State& state, const LayerShape& shape) {
  const auto x = random_tensor<T>(shape.tokens(), shape.F, 1);
  auto y = Tensor<T>::uninitialized(x.rows(), x.cols());
  const auto run = [&] { relu_forward<T>(x.view(), y.view()); };
  run();
  const auto expected = reference::relu(doubles<T>(x.view()));
  if (!verified(state, "y", error_of<T>(y.view(), expected), 0)) return;
  time(state, Amount::bytes, 2 * x.size() * static_cast<std::int64_t>(sizeof(T)), run);
}

template <class T>
void relu_gradient(benchmark::State& state, const LayerShape& shape) {
  const auto x = random_tensor<T>(shape.tokens(), shape.F, 1);
  auto d = random_tensor<T>(x.rows(), x.cols(), 2);
  auto expected = doubles<T>(d.view());
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (!(to_float(x.data()[i]) > 0)) expected[i] = 0;
  const auto run = [&] { relu_backward<T>(x.view(), d.view()); };
  run();
  if (!verified(state, "d", error_of<T>(d.view(), expected), 0)) return;
  time(state, Amount::bytes, 3 * x.size() * static_cast<std::int64_t>(sizeof(T)), run);
}

template <class T>
struct Gated {
  Tensor<T> a, b, dy;
  explicit Gated(const LayerShape& shape)
      : a(random_tensor<T>(shape.tokens(), shape.F, 1)),
        b(random_tensor<T>(shape.tokens(), shape.F, 2)),
        dy(random_tensor<T>(shape.tokens(), shape.F, 3)) {}
};

template <class T>
void gated_gelu(benchmark::State& state, const LayerShape& shape) {
  const Gated<T> o(shape);
  auto y = Tensor<T>::uninitialized(o.a.rows(), o.a.cols());
  const auto run = [&] { gated_gelu_forward<T>(o.a.view(), o.b.view(), y.view()); };
  run();
  const auto expected = reference::gated_gelu(doubles<T>(o.a.view()), doubles<T>(o.b.view()));
  if (!verified(state, "y", error_of<T>(y.view(), expected), allowed_error<T>)) return;
  time(state, Amount::bytes, 3 * y.size() * static_cast<std::int64_t>(sizeof(T)), run);
}

template <class T>
void gated_gelu_gradient(benchmark::State& state, const LayerShape& shape) {
  const Gated<T> o(shape);
  auto da = Tensor<T>::uninitialized(o.a.rows(), o.a.cols());
  auto db = Tensor<T>::uninitialized(o.a.rows(), o.a.cols());
  const auto run = [&] {
    gated_gelu_backward<T>(o.a.view(), o.b.view(), o.dy.view(), da.view(), db.view());
  };
  run();
  const auto a = doubles<T>(o.a.view()), b = doubles<T>(o.b.view()), dy = doubles<T>(o.dy.view());
  const auto by_a = [&](const auto& at) {
    return reference::dot(dy, reference::gated_gelu(at, b));
  };
  const auto by_b = [&](const auto& at) {
    return reference::dot(dy, reference::gated_gelu(a, at));
  };
  const double allowed = 10 * allowed_error<T>;
  if (!verified(state, "da", gradient_error(a, doubles<T>(da.view()), by_a), allowed)) return;
  if (!verified(state, "db", gradient_error(b, doubles<T>(db.view()), by_b), allowed)) return;
  time(state, Amount::bytes, 5 * da.size() * static_cast<std::int64_t>(sizeof(T)), run);
}

template <class T>
void add_all(const LayerShape& shape) {
  const std::string precision = precision_of<T>();
  add_benchmark("relu/forward/" + precision, shape, [=](auto& state) { relu<T>(state, shape); });
  add_benchmark("relu/backward/" + precision, shape,
                [=](auto& state) { relu_gradient<T>(state, shape); });
  add_benchmark("gated_gelu/forward/" + precision, shape,
                [=](auto& state) { gated_gelu<T>(state, shape); });
  add_benchmark("gated_gelu/backward/" + precision, shape,
                [=](auto& state) { gated_gelu_gradient<T>(state, shape); });
}

}  // namespace

void register_activation(const LayerShape& shape) {
  add_all<float>(shape);
  add_all<bfloat16>(shape);
}

}  // namespace switchyard::bench
