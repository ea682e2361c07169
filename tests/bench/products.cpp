// The matrix products of a linear layer in their three forms, through gemm(), with the shapes of a
// layer.
#include <algorithm>

#include "kernels.hpp"

namespace switchyard::bench {
namespace {

// c [M, N] = op(a) [M, K] x op(b) [K, N]
struct Product {
  std::string name;
  std::int64_t M, N, K;
  Transpose ta = Transpose::no, tb = Transpose::no;
};

// The products of y [N, B] = x [N, A] W [A, B] and its gradients.
std::vector<Product> forms(const std::string& layer, std::int64_t N, std::int64_t A,
                           std::int64_t B) {
  return {{layer + "/forward", N, B, A},
          {layer + "/input_gradient", N, A, B, Transpose::no, Transpose::yes},
          {layer + "/weight_gradient", A, B, N, Transpose::yes, Transpose::no}};
}

// Verifies some elements against a plain f64 sum.
template <class T>
double error_of_product(const Product& p, View<const T> a, View<const T> b, View<const float> c) {
  reference::Doubles expected;
  std::vector<float> computed;
  for (std::int64_t i = 0; i < 64; ++i) {
    const std::int64_t m = i * 7919 % p.M, n = i * 104729 % p.N;
    double sum = 0;
    for (std::int64_t k = 0; k < p.K; ++k)
      sum += static_cast<double>(to_float(p.ta == Transpose::yes ? a(k, m) : a(m, k))) *
             static_cast<double>(to_float(p.tb == Transpose::yes ? b(n, k) : b(k, n)));
    expected.push_back(sum);
    computed.push_back(c(m, n));
  }
  return relative_error(computed, expected);
}

template <class T>
void product(benchmark::State& state, const Product& p) {
  const auto operand = [](Transpose t, std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
    return t == Transpose::yes ? random_tensor<T>(cols, rows, seed)
                               : random_tensor<T>(rows, cols, seed);
  };
  const auto a = operand(p.ta, p.M, p.K, 1), b = operand(p.tb, p.K, p.N, 2);
  auto c = Tensor<float>::uninitialized(p.M, p.N);
  Work work;
  const auto run = [&] { gemm<T, float>(work, a.view(), p.ta, b.view(), p.tb, c.view()); };
  run();
  if (!verified(state, "the product", error_of_product<T>(p, a.view(), b.view(), c.view()), 1e-5))
    return;
  time(state, Amount::operations, 2 * p.M * p.N * p.K, run);
}

}  // namespace

void register_products(const LayerShape& shape) {
  const std::int64_t N = shape.tokens(),
                     chunk = std::min<std::int64_t>(512, shape.rows * shape.targets);
  std::vector<Product> products = {
      {"scores_of_a_head", shape.inputs, shape.inputs, shape.K, Transpose::no, Transpose::yes}};
  for (const auto& layer :
       {forms("attention_projection", N, shape.D, shape.H * shape.K),
        forms("feed_forward_in", N, shape.D, shape.F),
        forms("feed_forward_out", N, shape.F, shape.D), forms("logits", chunk, shape.D, shape.W)})
    products.insert(products.end(), layer.begin(), layer.end());
  for (const Product& p : products) {
    const std::string name = "product/" + p.name + "/";
    add_benchmark(name + "FLOAT32", shape, [p](auto& state) { product<float>(state, p); });
    add_benchmark(name + "BFLOAT16", shape, [p](auto& state) { product<bfloat16>(state, p); });
  }
}

}  // namespace switchyard::bench
