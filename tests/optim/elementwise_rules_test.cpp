// AdamW and gradient descent, compared with their definitions in plain f64 for each element; and
// properties of every optimizer: independence of threads, of the restored state, and between
// tensors.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/philox.hpp"
#include "optim/optimizer.hpp"
#include "support/invariance.hpp"

namespace switchyard::elementwise_rules_test {
namespace {

struct Shape {
  std::int64_t rows, cols;
};

// A matrix, a vector, and a tensor longer than one thread's run of elements.
const std::vector<Shape> shapes = {{7, 13}, {1, 21}, {130, 300}};

class Trained {
 public:
  explicit Trained(const OptimizerConfig& config)
      : set_(specs(), 1, 1, 3), optimizer_(make_optimizer(config, set_.params())) {
    for (Param& param : set_.params()) param.gradient = param.leaves[0].sum();
  }

  void run(std::int64_t first, std::int64_t last, double learning_rate) {
    for (std::int64_t step = first; step < last; ++step) {
      for (std::size_t t = 0; t < shapes.size(); ++t) {
        const std::span<float> gradient = set_[t].gradient.flat();
        for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] = gradient_of(step, t, i);
      }
      optimizer_->update(set_.params(), step, learning_rate);
    }
  }
  std::span<float> value(std::size_t t) { return set_[t].value.flat(); }
  std::vector<NamedTensor> state() { return optimizer_->state(); }

  // Magnitudes differ between elements and steps; every fifth element always has gradient zero.
  static float gradient_of(std::int64_t step, std::size_t tensor, std::size_t i) {
    if (i % 5 == 4) return 0;
    const auto words = philox({static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(tensor),
                               static_cast<std::uint32_t>(i), 0},
                              {1, 2});
    const double size = std::pow(10.0, static_cast<double>(i % 3) - 2);
    return static_cast<float>(size * (unit_double(words[0], words[1]) - 0.4));
  }

 private:
  static std::vector<ParamSpec> specs() {
    std::vector<ParamSpec> result;
    for (const Shape shape : shapes) {
      ParamSpec spec;
      spec.name = spec.init_key = "tensor." + std::to_string(result.size());
      spec.rows = shape.rows;
      spec.cols = shape.cols;
      spec.init = {Initializer::Kind::normal, 0.3f};
      result.push_back(spec);
    }
    return result;
  }

  ParamSet set_;
  std::unique_ptr<Optimizer> optimizer_;
};

// One element over all steps, by definition; `rows` of its tensor.
double adamw_reference(const AdamWConfig& c, std::size_t tensor, std::size_t i, double w,
                       std::int64_t steps, double rate) {
  double m = 0, v = 0;
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto g = static_cast<double>(Trained::gradient_of(step, tensor, i));
    const auto t = static_cast<double>(step + 1);
    m = c.beta_1 * m + (1 - c.beta_1) * g;
    v = c.beta_2 * v + (1 - c.beta_2) * g * g;
    const double m_hat = m / (1 - std::pow(c.beta_1, t)), v_hat = v / (1 - std::pow(c.beta_2, t));
    const double decay = shapes[tensor].rows > 1 ? c.weight_decay : 0;
    w -= rate * (m_hat / (std::sqrt(v_hat) + c.epsilon) + decay * w);
  }
  return w;
}

double sgd_reference(double momentum, std::size_t tensor, std::size_t i, double w,
                     std::int64_t steps, double rate) {
  double u = 0;
  for (std::int64_t step = 0; step < steps; ++step) {
    u = momentum * u + static_cast<double>(Trained::gradient_of(step, tensor, i));
    w -= rate * u;
  }
  return w;
}

// Compares with reference(tensor, element, initial value) after `steps` steps.
template <class Reference>
void expect_close(const OptimizerConfig& config, std::int64_t steps, double rate,
                  Reference reference) {
  Trained trained(config), untouched(config);
  trained.run(0, steps, rate);
  for (std::size_t t = 0; t < shapes.size(); ++t) {
    double moved = 0;
    for (std::size_t i = 0; i < trained.value(t).size(); ++i) {
      const auto start = static_cast<double>(untouched.value(t)[i]);
      const auto end = static_cast<double>(trained.value(t)[i]);
      ASSERT_NEAR(end, reference(t, i, start), 3e-6) << "tensor " << t << " element " << i;
      moved = std::max(moved, std::abs(end - start));
    }
    EXPECT_GT(moved, 0.01);
  }
}

TEST(AdamW, AgreesWithItsDefinitionOverFiftySteps) {
  for (const AdamWConfig& config :
       {AdamWConfig{}, AdamWConfig{.weight_decay = 0}, AdamWConfig{0.5, 0.9, 1e-3, 0.3}}) {
    expect_close(config, 50, 0.01, [&](std::size_t t, std::size_t i, double start) {
      return adamw_reference(config, t, i, start, 50, 0.01);
    });
  }
}

// The first step is rate * sign(g) for any magnitude of the gradient, since bias correction undoes
// the moments' start at 0.
TEST(AdamW, MovesByTheRateInTheFirstStep) {
  const AdamWConfig config{.epsilon = 1e-15, .weight_decay = 0};
  Trained trained(config), untouched(config);
  trained.run(0, 1, 0.25);
  for (std::size_t i = 0; i < trained.value(0).size(); ++i) {
    const float g = Trained::gradient_of(0, 0, i);
    const float sign = g == 0 ? 0.0f : std::copysign(1.0f, g);
    EXPECT_NEAR(untouched.value(0)[i] - trained.value(0)[i], 0.25f * sign, 1e-5f);
  }
}

TEST(AdamW, DecaysWeightsThatHaveNoGradientAndNoNormScales) {
  const AdamWConfig config{.weight_decay = 0.5};
  Trained trained(config), untouched(config);
  trained.run(0, 3, 0.1);
  EXPECT_FLOAT_EQ(trained.value(0)[4], untouched.value(0)[4] * 0.95f * 0.95f * 0.95f);
  EXPECT_EQ(trained.value(1)[4], untouched.value(1)[4]);
}

TEST(Sgd, AgreesWithItsDefinitionWithAndWithoutMomentum) {
  for (const double momentum : {0.0, 0.9}) {
    expect_close(SgdConfig{momentum}, 20, 0.02, [&](std::size_t t, std::size_t i, double start) {
      return sgd_reference(momentum, t, i, start, 20, 0.02);
    });
  }
}

std::vector<std::string> state_names(const OptimizerConfig& config) {
  std::vector<std::string> names;
  Trained trained(config);
  for (const NamedTensor& tensor : trained.state()) names.push_back(tensor.name);
  return names;
}

TEST(ElementwiseRules, NameTheirStateAfterTheTensors) {
  EXPECT_EQ(state_names(AdamWConfig{}),
            (std::vector<std::string>{"tensor.0/adamw.m", "tensor.1/adamw.m", "tensor.2/adamw.m",
                                      "tensor.0/adamw.v", "tensor.1/adamw.v", "tensor.2/adamw.v"}));
  EXPECT_EQ(state_names(SgdConfig{0.5}),
            (std::vector<std::string>{"tensor.0/sgd.momentum", "tensor.1/sgd.momentum",
                                      "tensor.2/sgd.momentum"}));
  EXPECT_TRUE(state_names(SgdConfig{}).empty());
}

std::vector<std::uint32_t> all_bits(Trained& trained) {
  std::vector<std::uint32_t> bits;
  const auto append = [&](std::span<const float> values) {
    for (const std::uint32_t b : bits_of(values)) bits.push_back(b);
  };
  for (std::size_t t = 0; t < shapes.size(); ++t) append(trained.value(t));
  for (const NamedTensor& tensor : trained.state()) append(tensor.data);
  return bits;
}

class ElementwiseRule : public testing::TestWithParam<OptimizerConfig> {};

TEST_P(ElementwiseRule, GoesOnFromASavedState) {
  Trained whole(GetParam()), resumed(GetParam());
  whole.run(0, 5, 0.01);
  for (std::size_t t = 0; t < shapes.size(); ++t)
    std::ranges::copy(whole.value(t), resumed.value(t).begin());
  const std::vector<NamedTensor> saved = whole.state(), loaded = resumed.state();
  for (std::size_t i = 0; i < saved.size(); ++i)
    std::ranges::copy(saved[i].data, loaded[i].data.begin());
  whole.run(5, 10, 0.01);
  resumed.run(5, 10, 0.01);
  EXPECT_EQ(all_bits(whole), all_bits(resumed));
}

TEST_P(ElementwiseRule, HasTheSameBitsForAnyNumberOfThreads) {
  expect_same_bits_in_every_team([&] {
    Trained trained(GetParam());
    trained.run(0, 3, 0.01);
    return all_bits(trained);
  });
}

INSTANTIATE_TEST_SUITE_P(Rules, ElementwiseRule,
                         testing::Values(AdamWConfig{}, SgdConfig{}, SgdConfig{0.9}));

}  // namespace
}  // namespace switchyard::elementwise_rules_test
