#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/philox.hpp"
#include "optim/optimizer.hpp"
#include "support/adafactor_reference.hpp"

namespace switchyard::adafactor_test {
namespace {

struct Shape {
  std::int64_t rows, cols;
};

// Parameters with one gradient leaf, either all dense or all of experts, and their optimizer.
class Trained {
 public:
  Trained(const std::vector<Shape>& shapes, const AdafactorConfig& config, bool experts = false)
      : set_(specs(shapes, experts), 1, 1, 3), optimizer_(make_adafactor(config, set_.params())) {
    for (Param& param : set_.params()) param.gradient = param.leaves[0].sum();
  }

  std::span<float> value(std::size_t i) { return set_[i].value.flat(); }
  std::span<float> gradient(std::size_t i) { return set_[i].gradient.flat(); }
  void step(std::int64_t step, double learning_rate) {
    optimizer_->update(set_.params(), step, learning_rate);
  }
  std::vector<NamedTensor> state() { return optimizer_->state(); }

 private:
  static std::vector<ParamSpec> specs(const std::vector<Shape>& shapes, bool experts) {
    std::vector<ParamSpec> result;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      ParamSpec spec;
      spec.name = spec.init_key = "tensor." + std::to_string(i);
      spec.rows = shapes[i].rows;
      spec.cols = shapes[i].cols;
      if (experts) spec.expert = ExpertId{static_cast<std::int64_t>(i)};
      spec.init = {Initializer::Kind::normal, 0.3f};
      result.push_back(spec);
    }
    return result;
  }

  ParamSet set_;
  std::unique_ptr<Optimizer> optimizer_;
};

const AdafactorConfig factor_all{.min_dim_size_to_factor = 2};

void copy(std::vector<float> from, std::span<float> to) {
  ASSERT_EQ(from.size(), to.size());
  std::copy(from.begin(), from.end(), to.begin());
}

// Gradients whose magnitudes differ between rows, columns and steps.
float random_gradient(std::int64_t step, std::int64_t tensor, std::int64_t row, std::int64_t col) {
  const auto words = philox({static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(tensor),
                             static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(col)},
                            {1, 2});
  const double size = std::pow(10.0, static_cast<double>(row % 5 - col % 3 - step % 2) - 2);
  return static_cast<float>(size * (unit_double(words[0], words[1]) - 0.5));
}

void fill_gradient(Trained& trained, std::size_t tensor, Shape shape, std::int64_t step) {
  const std::span<float> gradient = trained.gradient(tensor);
  for (std::int64_t r = 0; r < shape.rows; ++r)
    for (std::int64_t c = 0; c < shape.cols; ++c)
      gradient[static_cast<std::size_t>(r * shape.cols + c)] =
          random_gradient(step, static_cast<std::int64_t>(tensor), r, c);
}

reference::Matrix matrix(std::span<const float> data, Shape shape) {
  reference::Matrix m;
  for (std::int64_t r = 0; r < shape.rows; ++r)
    m.emplace_back(data.begin() + r * shape.cols, data.begin() + (r + 1) * shape.cols);
  return m;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

// Two steps worked out by hand from the paper's formulas, in f64.
TEST(Adafactor, FollowsTheWorkedExample) {
  Trained trained({{2, 3}}, factor_all);
  copy({.5f, -.4f, .3f, .2f, .1f, -.6f}, trained.value(0));
  const std::vector<std::vector<float>> gradients = {{.1f, -.2f, .05f, .3f, 0, -.1f},
                                                     {.02f, .1f, -.3f, -.05f, .2f, .1f}};
  const std::vector<std::vector<float>> expected = {
      {.49796272f, -.39355755f, .29711885f, .19557155f, .1f, -.59582482f},
      {.49745545f, -.39605163f, .30350691f, .19690181f, .0947677f, -.5980584f}};
  for (std::size_t step = 0; step < 2; ++step) {
    copy(gradients[step], trained.gradient(0));
    trained.step(static_cast<std::int64_t>(step), 0.01);
    for (std::size_t i = 0; i < 6; ++i)
      EXPECT_NEAR(trained.value(0)[i], expected[step][i], 2e-6)
          << "step " << step << " element " << i;
  }
}

struct KindOfTensor {
  const char* name;
  Shape shape;
  bool factored;
};

class AdafactorAgainstReference : public testing::TestWithParam<KindOfTensor> {};

TEST_P(AdafactorAgainstReference, AgreesOverFiftySteps) {
  const auto [name, shape, factored] = GetParam();
  Trained trained({shape}, {.min_dim_size_to_factor = 32});
  reference::Adafactor oracle(static_cast<std::size_t>(shape.rows),
                              static_cast<std::size_t>(shape.cols), factored);
  reference::Matrix weights = matrix(trained.value(0), shape);
  for (int step = 0; step < 50; ++step) {
    fill_gradient(trained, 0, shape, step);
    oracle.update(weights, matrix(trained.gradient(0), shape), step, 0.02);
    trained.step(step, 0.02);
  }
  const reference::Matrix result = matrix(trained.value(0), shape);
  double moved = 0;
  const reference::Matrix start = matrix(Trained({shape}, {}).value(0), shape);
  for (std::size_t r = 0; r < result.size(); ++r)
    for (std::size_t c = 0; c < result[0].size(); ++c) {
      ASSERT_NEAR(result[r][c], weights[r][c], 2e-6) << r << ' ' << c;
      moved = std::max(moved, std::abs(result[r][c] - start[r][c]));
    }
  EXPECT_GT(moved, 0.01);
}

INSTANTIATE_TEST_SUITE_P(Kinds, AdafactorAgainstReference,
                         testing::Values(KindOfTensor{"Factored", {150, 40}, true},
                                         KindOfTensor{"FactoredWide", {33, 300}, true},
                                         KindOfTensor{"Unfactored", {150, 31}, false},
                                         KindOfTensor{"Vector", {1, 200}, false}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Adafactor, FactorsOnlyWhereBothSidesAreLargeEnough) {
  Trained trained({{128, 128}, {127, 500}, {500, 127}, {1, 500}}, {});
  std::vector<std::string> names;
  for (const NamedTensor& tensor : trained.state()) {
    names.push_back(tensor.name);
    EXPECT_EQ(static_cast<std::int64_t>(tensor.data.size()), tensor.rows * tensor.cols);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"tensor.0/adafactor.row", "tensor.0/adafactor.col",
                                             "tensor.1/adafactor.v", "tensor.2/adafactor.v",
                                             "tensor.3/adafactor.v"}));
}

TEST(Adafactor, GoesOnFromASavedState) {
  const std::vector<Shape> shapes = {{40, 50}, {40, 8}};
  Trained whole(shapes, {.min_dim_size_to_factor = 32}),
      resumed(shapes, {.min_dim_size_to_factor = 32});
  const auto run = [&](Trained& trained, std::int64_t first, std::int64_t last) {
    for (std::int64_t step = first; step < last; ++step) {
      for (std::size_t i = 0; i < shapes.size(); ++i) fill_gradient(trained, i, shapes[i], step);
      trained.step(step, 0.01);
    }
  };
  run(whole, 0, 5);
  for (std::size_t i = 0; i < shapes.size(); ++i)
    std::copy(whole.value(i).begin(), whole.value(i).end(), resumed.value(i).begin());
  const std::vector<NamedTensor> saved = whole.state(), loaded = resumed.state();
  for (std::size_t i = 0; i < saved.size(); ++i)
    std::copy(saved[i].data.begin(), saved[i].data.end(), loaded[i].data.begin());
  run(whole, 5, 10);
  run(resumed, 5, 10);
  for (std::size_t i = 0; i < shapes.size(); ++i)
    EXPECT_TRUE(same_bits(whole.value(i), resumed.value(i)));
}

TEST(Adafactor, HasTheSameBitsForAnyNumberOfThreads) {
  const std::vector<Shape> shapes = {{700, 130}, {513, 40}, {1, 3000}};
  const auto result = [&](int threads) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    Trained trained(shapes, {});
    for (std::int64_t step = 0; step < 5; ++step) {
      for (std::size_t i = 0; i < shapes.size(); ++i) fill_gradient(trained, i, shapes[i], step);
      trained.step(step, 0.01);
    }
    omp_set_num_threads(before);
    std::vector<float> all;
    for (std::size_t i = 0; i < shapes.size(); ++i)
      all.insert(all.end(), trained.value(i).begin(), trained.value(i).end());
    for (const NamedTensor& tensor : trained.state())
      all.insert(all.end(), tensor.data.begin(), tensor.data.end());
    return all;
  };
  const std::vector<float> one = result(1);
  EXPECT_TRUE(same_bits(one, result(2)));
  EXPECT_TRUE(same_bits(one, result(3)));
}

// A sum at the edge between two floats reveals the order of summation: 64 ones vanish when they are
// added one by one to 2^54, but not when their own block sums them first.
TEST(Adafactor, SumsColumnsByBlocksOfSixtyFourRows) {
  Trained trained({{128, 2}}, factor_all);
  const auto first_column = [&](std::size_t row) -> float& { return trained.gradient(0)[2 * row]; };
  first_column(0) = 0x1p27f;  // squares: 2^54 …
  first_column(1) = 0x1p15f;  // … and half a unit in the last place of a float
  for (std::size_t row = 64; row < 128; ++row) first_column(row) = 1;
  trained.step(0, 0.01);
  const std::span<const float> col = trained.state()[1].data;
  EXPECT_EQ(col[0], std::nextafter(0x1p47f, 1e30f));
}

// The second expert's gradients are ten times the first's; then it gets no tokens.
TEST(Adafactor, UpdatesExpertsOfOneStackAsSeparateTensors) {
  const Shape shape{40, 48};
  for (const std::int64_t min_dim : {32, 1000}) {
    const AdafactorConfig config{.min_dim_size_to_factor = min_dim};
    Trained stack({shape, shape}, config, true);
    for (float& x : stack.value(1)) x *= 10;
    Trained alone[] = {Trained({shape}, config, true), Trained({shape}, config, true)};
    for (std::size_t e = 0; e < 2; ++e)
      std::copy(stack.value(e).begin(), stack.value(e).end(), alone[e].value(0).begin());

    for (std::int64_t step = 0; step < 20; ++step) {
      const std::vector<float> before(stack.value(1).begin(), stack.value(1).end());
      fill_gradient(stack, 0, shape, step);
      fill_gradient(stack, 1, shape, step);
      for (float& g : stack.gradient(1)) g *= step < 10 ? 10.0f : 0.0f;
      stack.step(step, 0.01);
      for (std::size_t e = 0; e < 2; ++e) {
        std::copy(stack.gradient(e).begin(), stack.gradient(e).end(), alone[e].gradient(0).begin());
        alone[e].step(step, 0.01);
        ASSERT_TRUE(same_bits(stack.value(e), alone[e].value(0)))
            << "expert " << e << " step " << step;
      }
      ASSERT_EQ(same_bits(before, stack.value(1)), step >= 10) << "step " << step;
    }
  }
}

TEST(Adafactor, LeavesATensorThatNeverHadAGradientAsItIs) {
  for (const std::int64_t min_dim : {2, 1000}) {
    Trained trained({{40, 48}, {1, 9}}, {.min_dim_size_to_factor = min_dim});
    const std::vector<float> matrix_before(trained.value(0).begin(), trained.value(0).end());
    const std::vector<float> vector_before(trained.value(1).begin(), trained.value(1).end());
    for (std::int64_t step = 0; step < 100; ++step) trained.step(step, 1.0);
    EXPECT_TRUE(same_bits(trained.value(0), matrix_before));
    EXPECT_TRUE(same_bits(trained.value(1), vector_before));
  }
}

// Rows and columns without gradients, and gradients whose squares exceed the range of f32.
TEST(Adafactor, StaysFiniteAtTheEdgesOfTheRange) {
  for (const std::int64_t min_dim : {2, 1000}) {
    Trained trained({{4, 5}}, {.min_dim_size_to_factor = min_dim});
    for (std::int64_t step = 0; step < 50; ++step) {
      copy({1e-25f, 0, 1e-38f, 0, 1e18f, 0, 0, 0, 0, 0,
            3e-20f, 0, 1e-30f, 0, 1e-3f, 0, 0, 0, 0, 1e18f},
           trained.gradient(0));
      trained.step(step, 0.01);
      for (const float x : trained.value(0)) ASSERT_TRUE(std::isfinite(x)) << "step " << step;
    }
  }
}

TEST(Adafactor, MovesATensorOfZerosByTheFloorOfItsScale) {
  Trained trained({{1, 4}}, {});
  copy({0, 0, 0, 0}, trained.value(0));
  copy({2, -2, 2, -2}, trained.gradient(0));
  trained.step(0, 0.5);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_FLOAT_EQ(trained.value(0)[i], i % 2 ? 0.5e-3f : -0.5e-3f);
}

TEST(Adafactor, CanStepByTheLearningRateAlone) {
  Trained trained({{1, 2}}, {.multiply_by_parameter_scale = false});
  copy({5, 5}, trained.value(0));
  copy({3, -3}, trained.gradient(0));
  trained.step(0, 0.25);
  EXPECT_FLOAT_EQ(trained.value(0)[0], 4.75f);
  EXPECT_FLOAT_EQ(trained.value(0)[1], 5.25f);
}

}  // namespace
}  // namespace switchyard::adafactor_test
