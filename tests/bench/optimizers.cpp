// The update of one feed-forward kernel by each rule. Bytes: the least that must move, so what a
// rule reads twice lowers its rate.
#include "kernels.hpp"
#include "optim/optimizer.hpp"
#include "support/adafactor_reference.hpp"

namespace switchyard::bench {
namespace {

constexpr double learning_rate = 0.01;

// One tensor [D, F] with a gradient.
struct Kernel {
  ParamSet params;

  explicit Kernel(const LayerShape& shape)
      : params({{"wi", "wi", shape.D, shape.F, {}, {Initializer::Kind::normal, 0.05f}}}, 1, 0, 1) {
    const Tensor<float> gradient = random_tensor(shape.D, shape.F, 2);
    std::copy_n(gradient.data(), gradient.size(), params[0].leaves[0].sum().data);
    params[0].gradient = params[0].leaves[0].sum();
  }
  reference::Matrix matrix(View<const float> x) const {
    reference::Matrix m;
    for (std::int64_t r = 0; r < x.rows; ++r) m.emplace_back(x.row(r), x.row(r) + x.cols);
    return m;
  }
};

// How far the first update is from the reference's, as a share of the update.
double error_of_update(const Kernel& kernel, const reference::Matrix& before,
                       const reference::Matrix& expected) {
  double difference = 0, size = 0;
  for (std::size_t r = 0; r < expected.size(); ++r)
    for (std::size_t c = 0; c < expected[r].size(); ++c) {
      const auto value = static_cast<double>(
          kernel.params[0].value(static_cast<std::int64_t>(r), static_cast<std::int64_t>(c)));
      difference += (value - expected[r][c]) * (value - expected[r][c]);
      size += (expected[r][c] - before[r][c]) * (expected[r][c] - before[r][c]);
    }
  return std::sqrt(difference / size);
}

void time_updates(benchmark::State& state, Kernel& kernel, Optimizer& rule,
                  std::int64_t bytes_of_element) {
  std::int64_t step = 1;
  time(state, Amount::bytes, kernel.params.elements() * bytes_of_element,
       [&] { rule.update(kernel.params.params(), step++, 1e-6); });
}

void adafactor(benchmark::State& state, const LayerShape& shape) {
  Kernel kernel(shape);
  const AdafactorConfig config;
  const auto rule = make_adafactor(config, kernel.params.params());
  const reference::Matrix before = kernel.matrix(kernel.params[0].value);
  reference::Matrix expected = before;
  reference::Adafactor plain(before.size(), before[0].size(),
                             std::min(shape.D, shape.F) >= config.min_dim_size_to_factor);
  plain.update(expected, kernel.matrix(kernel.params[0].gradient), 0, learning_rate);
  rule->update(kernel.params.params(), 0, learning_rate);
  if (!verified(state, "the update", error_of_update(kernel, before, expected), 1e-5)) return;
  time_updates(state, kernel, *rule, 4 + 8);  // the gradient; the weight, read and written
}

void adamw(benchmark::State& state, const LayerShape& shape) {
  Kernel kernel(shape);
  const AdamWConfig config;
  const auto rule = make_adamw(config, kernel.params.params());
  const reference::Matrix before = kernel.matrix(kernel.params[0].value),
                          g = kernel.matrix(kernel.params[0].gradient);
  reference::Matrix expected = before;
  for (std::size_t r = 0; r < g.size(); ++r)  // in the first step both moments are corrected to g
    for (std::size_t c = 0; c < g[r].size(); ++c)
      expected[r][c] -= learning_rate * (g[r][c] / (std::abs(g[r][c]) + config.epsilon) +
                                         config.weight_decay * before[r][c]);
  rule->update(kernel.params.params(), 0, learning_rate);
  if (!verified(state, "the update", error_of_update(kernel, before, expected), 1e-5)) return;
  time_updates(state, kernel, *rule, 4 + 3 * 8);  // and two moments
}

}  // namespace

void register_optimizers(const LayerShape& shape) {
  add_benchmark("adafactor", shape, [=](auto& state) { adafactor(state, shape); });
  add_benchmark("adamw", shape, [=](auto& state) { adamw(state, shape); });
}

}  // namespace switchyard::bench
