// The update of one feed-forward kernel by each optimizer, and of 64 experts' kernels, which fit no
// cache. Bytes: the minimum that must move, so an optimizer that reads data twice has a lower rate.
#include "kernels.hpp"
#include "optim/optimizer.hpp"
#include "support/adafactor_reference.hpp"

namespace switchyard::bench {
namespace {

constexpr double learning_rate = 0.01;

// Tensors [D, F] with gradients.
struct Kernels {
  ParamSet params;

  Kernels(const LayerShape& shape, int count) : params(specs(shape, count), 1, 0, 1) {
    const Tensor<float> gradient = random_tensor(shape.D, shape.F, 2);
    for (Param& param : params.params()) {
      std::copy_n(gradient.data(), gradient.size(), param.leaves[0].sum().data);
      param.gradient = param.leaves[0].sum();
    }
    params.round_values();
  }
  static std::vector<ParamSpec> specs(const LayerShape& shape, int count) {
    std::vector<ParamSpec> all;
    for (int i = 0; i < count; ++i) {
      const std::string name = std::string("wi").append(std::to_string(i));
      all.push_back({name, name, shape.D, shape.F, {}, {Initializer::Kind::normal, 0.05f}});
    }
    return all;
  }
  reference::Matrix matrix(View<const float> x) const {
    reference::Matrix m;
    for (std::int64_t r = 0; r < x.rows; ++r) m.emplace_back(x.row(r), x.row(r) + x.cols);
    return m;
  }
};

// The error of the first update compared with the reference's, relative to the update.
double error_of_update(const Kernels& kernel, const reference::Matrix& before,
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

void time_updates(benchmark::State& state, Kernels& kernel, Optimizer& rule,
                  std::int64_t bytes_of_element) {
  std::int64_t step = 1;
  time(state, Amount::bytes, kernel.params.elements() * bytes_of_element,
       [&] { rule.update(kernel.params.params(), step++, 1e-6); });
}

void adafactor(benchmark::State& state, const LayerShape& shape, int count) {
  Kernels kernel(shape, count);
  const AdafactorConfig config;
  const auto rule = make_adafactor(config, kernel.params.params());
  const reference::Matrix before = kernel.matrix(kernel.params[0].value);
  reference::Matrix expected = before;
  reference::Adafactor plain(before.size(), before[0].size(),
                             std::min(shape.D, shape.F) >= config.min_dim_size_to_factor);
  plain.update(expected, kernel.matrix(kernel.params[0].gradient), 0, learning_rate);
  rule->update(kernel.params.params(), 0, learning_rate);
  if (!verified(state, "the update", error_of_update(kernel, before, expected), 1e-5)) return;
  time_updates(state, kernel, *rule,
               4 + 8 + 2);  // gradient; weight, read and written; its copy in bf16
}

void adamw(benchmark::State& state, const LayerShape& shape, int count) {
  Kernels kernel(shape, count);
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
  time_updates(state, kernel, *rule, 4 + 3 * 8 + 2);  // and two moments
}

}  // namespace

void register_optimizers(const LayerShape& shape) {
  for (const auto& [count, experts] : {std::pair(1, ""), std::pair(64, "_64_experts")}) {
    add_benchmark(std::string("adafactor") + experts, shape,
                  [=, count = count](auto& state) { adafactor(state, shape, count); });
    add_benchmark(std::string("adamw") + experts, shape,
                  [=, count = count](auto& state) { adamw(state, shape, count); });
  }
}

}  // namespace switchyard::bench
