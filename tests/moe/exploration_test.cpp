// Random draws have the intended distribution, and are independent between layers and steps. Seeds
// are fixed; bounds are at least four standard deviations of the counted quantity.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "moe/layer_run.hpp"
#include "moe/perturbation.hpp"
#include "moe/uniform.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

// Tokens that are identical for the router, with capacity for all.
LayerCase crowd(RoutingMethod method, std::int64_t tokens, int experts) {
  LayerCase c;
  c.method = method;
  c.V = 1, c.N = tokens, c.E = experts, c.D = 4, c.F = 2;
  c.moe.exploration = Exploration::argmax;
  c.moe.dropless = true;
  return c;
}

// logits [E]
LayerInputs same_tokens(const LayerCase& c, const std::vector<double>& logits) {
  LayerInputs in = make_inputs(c);
  std::fill(in.x.begin(), in.x.end(), 1.0f);
  for (std::int64_t i = 0; i < c.D * c.E; ++i)
    in.router[i] = static_cast<float>(logits[i % c.E] / static_cast<double>(c.D));
  return in;
}

std::vector<double> softmax(const std::vector<double>& logits, double temperature) {
  std::vector<double> p;
  for (const double logit : logits) p.push_back(std::exp(logit / temperature));
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& value : p) value /= sum;
  return p;
}

// Logits of two experts such that the second choice has this gate.
std::vector<double> logits_with_second(double gate) { return {std::log(1 / gate - 1), 0}; }

// Four standard deviations of the count of successes in n trials.
double four_deviations(std::int64_t n, double p) {
  return 4 * std::sqrt(static_cast<double>(n) * p * (1 - p));
}

// The factors [N, D] by which exploration multiplies the router's input.
std::vector<double> factors(const MoeConfig& config, std::uint32_t layer, std::int64_t step,
                            std::int64_t N, std::int64_t D) {
  const Layout layout(1, 1, 1, 1);
  PhaseTimer timer;
  Work work;
  const RowTransport transport(test_world(), layout);
  const StepContext context{test_world(), transport,   layout, layer_seed,
                            step,         Mode::train, timer,  work};
  std::vector<std::uint64_t> index(N);
  std::iota(index.begin(), index.end(), 0);
  const std::vector<float> ones(N * D, 1.0f);
  std::vector<float> identity(D * D, 0.0f);
  for (std::int64_t d = 0; d < D; ++d) identity[d * D + d] = 1;
  const Tensor<float> logits = router_logits(
      work,
      {{ones.data(), N, D}, {identity.data(), D, D}, perturbation(config, context, layer, index)});
  return {logits.flat().begin(), logits.flat().end()};
}

double mean(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

double covariance(const std::vector<double>& x, const std::vector<double>& y) {
  const double mean_x = mean(x), mean_y = mean(y);
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += (x[i] - mean_x) * (y[i] - mean_y);
  return sum / static_cast<double>(x.size());
}

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  return covariance(x, y) / std::sqrt(covariance(x, x) * covariance(y, y));
}

MoeConfig jitter(double eps) {
  MoeConfig config;
  config.jitter_eps = eps;
  return config;
}

MoeConfig input_dropout(float rate) {
  MoeConfig config;
  config.exploration = Exploration::input_dropout;
  config.router_dropout_rate = rate;
  return config;
}

TEST(Jitter, IsUniformAroundOne) {
  for (const double eps : {0.01, 0.3}) {
    const std::vector<double> u = factors(jitter(eps), 0, 0, 5000, 16);
    const auto n = static_cast<double>(u.size());
    const double variance = eps * eps / 3;
    EXPECT_GE(*std::ranges::min_element(u), 1 - eps - 1e-7);
    EXPECT_LE(*std::ranges::max_element(u), 1 + eps + 1e-7);
    EXPECT_LT(*std::ranges::min_element(u), 1 - 0.99 * eps);
    EXPECT_GT(*std::ranges::max_element(u), 1 + 0.99 * eps);
    EXPECT_NEAR(mean(u), 1, 4 * std::sqrt(variance / n));
    // The fourth moment of uniform [-eps, eps) is eps^4 / 5.
    EXPECT_NEAR(covariance(u, u), variance,
                4 * std::sqrt((std::pow(eps, 4) / 5 - variance * variance) / n));
  }
}

TEST(InputDropout, DropsAtItsRateAndScalesTheRest) {
  for (const float rate : {0.1f, 0.4f}) {
    const std::vector<double> factor = factors(input_dropout(rate), 0, 0, 5000, 16);
    const std::int64_t n = std::ssize(factor), dropped = std::ranges::count(factor, 0.0);
    EXPECT_NEAR(static_cast<double>(dropped), rate * static_cast<double>(n),
                four_deviations(n, rate));
    EXPECT_EQ(std::ranges::count(factor, static_cast<double>(1 / (1 - rate))), n - dropped);
    EXPECT_NEAR(mean(factor), 1, 4 * std::sqrt(rate / (1 - rate) / static_cast<double>(n)));
  }
}

TEST(Sample, DrawsExpertsFromTheSoftmaxOfTemperedLogits) {
  const std::vector<double> logits{0.3, -1, 1.2, 0, 0.8, -0.4};
  for (const double temperature : {1.0, 0.5, 2.0}) {
    LayerCase c = crowd(RoutingMethod::switch_top1, 20'000, 6);
    c.moe.exploration = Exploration::sample;
    c.moe.sample_temperature = static_cast<float>(temperature);
    const LayerOutputs got = run_layer(test_world(), c, same_tokens(c, logits));
    const std::vector<double> want = softmax(logits, temperature), gates = softmax(logits, 1);
    double chi_square = 0;
    for (int e = 0; e < c.E; ++e) {
      const auto drawn = static_cast<double>(std::ranges::count(got.expert, e));
      const double expected = want[e] * static_cast<double>(c.N);
      chi_square += (drawn - expected) * (drawn - expected) / expected;
    }
    EXPECT_LT(chi_square, 25.7) << "temperature " << temperature;  // 1 in 10,000 of 5 degrees
    for (std::int64_t t = 0; t < c.N; ++t) ASSERT_NEAR(got.gate[t], gates[got.expert[t]], 1e-6);
  }
}

TEST(SecondPolicy, TakesSecondsInProportionToTheirGatesUpToTheThreshold) {
  for (const double gate : {0.02, 0.05, 0.13, 0.19, 0.25, 0.45}) {
    LayerCase c = crowd(RoutingMethod::top2, 20'000, 2);
    const LayerOutputs got = run_layer(test_world(), c, same_tokens(c, logits_with_second(gate)));
    const double rate = std::min(1.0, gate / 0.2);
    const auto taken = std::count(got.fate.begin() + c.N, got.fate.end(), Fate::kept);
    EXPECT_NEAR(static_cast<double>(taken), rate * static_cast<double>(c.N),
                four_deviations(c.N, rate) + 1e-6)
        << "gate " << gate;
    EXPECT_EQ(std::count(got.fate.begin() + c.N, got.fate.end(), Fate::declined), c.N - taken);
  }
}

// Groups of 16 tokens that all choose the same expert, whose capacity is four.
LayerCase queue() {
  LayerCase c = crowd(RoutingMethod::switch_top1, 16, 2);
  c.V = 256;
  c.moe.dropless = false, c.moe.capacity_factor = 0.5;
  c.moe.drop_policy = DropPolicy::random;
  return c;
}

TEST(DropPolicy, AtRandomFavoursNoPosition) {
  LayerCase c = queue();
  const LayerInputs in = same_tokens(c, {1, 0});
  std::vector<std::int64_t> kept(c.N, 0);
  std::vector<std::int64_t> both(c.N - 1, 0);  // a token and the next one
  constexpr int steps = 16;
  for (c.step = 0; c.step < steps; ++c.step) {
    const LayerOutputs got = run_layer(test_world(), c, in);
    ASSERT_EQ(std::ranges::count(got.fate, Fate::kept), c.V * 4);
    for (std::int64_t i = 0; i < c.V * c.N; ++i) {
      if (got.fate[i] != Fate::kept) continue;
      ++kept[i % c.N];
      if (i % c.N < c.N - 1) both[i % c.N] += got.fate[i + 1] == Fate::kept;
    }
  }
  const double trials = steps * c.V, pairs = 4.0 * 3 / (16 * 15);
  for (const std::int64_t count : kept)
    EXPECT_NEAR(static_cast<double>(count), trials / 4, four_deviations(steps * c.V, 0.25));
  for (const std::int64_t count : both)
    EXPECT_NEAR(static_cast<double>(count), trials * pairs, four_deviations(steps * c.V, pairs));
}

std::vector<std::int32_t> hashed(std::uint32_t layer) {
  LayerCase c = crowd(RoutingMethod::hash, 8000, 8);
  c.layer = layer;
  LayerInputs in = make_inputs(c);
  std::iota(in.ids.begin(), in.ids.end(), 0);
  return run_layer(test_world(), c, in).expert;
}

TEST(Hash, SpreadsIdsEvenly) {
  const std::vector<std::int32_t> expert = hashed(5);
  for (int e = 0; e < 8; ++e)
    EXPECT_NEAR(static_cast<double>(std::ranges::count(expert, e)), 1000,
                four_deviations(8000, 1.0 / 8));
}

TEST(Hash, OfOneLayerSaysNothingOfAnother) {
  const std::vector<std::int32_t> one = hashed(5), other = hashed(6);
  std::int64_t together[8][8] = {};
  for (std::size_t id = 0; id < one.size(); ++id) ++together[one[id]][other[id]];
  double chi_square = 0;
  for (int a = 0; a < 8; ++a)
    for (int b = 0; b < 8; ++b) {
      const double expected = static_cast<double>(std::ranges::count(one, a)) *
                              static_cast<double>(std::ranges::count(other, b)) / 8000;
      const double more = static_cast<double>(together[a][b]) - expected;
      chi_square += more * more / expected;
    }
  EXPECT_LT(chi_square, 94);  // 1 in 10,000 of 49 degrees
}

// A random decision per token, as numbers.
struct Drawn {
  const char* name;
  std::vector<double> (*draw)(std::uint32_t layer, std::int64_t step);
};
void PrintTo(const Drawn& drawn, std::ostream* out) { *out << drawn.name; }

// 1 where `is` holds for a choice's fate or expert, else 0.
template <class T>
std::vector<double> indicator(const std::vector<T>& all, T value) {
  std::vector<double> result;
  for (const T& each : all) result.push_back(each == value);
  return result;
}

LayerOutputs run_at(LayerCase c, std::uint32_t layer, std::int64_t step,
                    const std::vector<double>& logits) {
  c.layer = layer, c.step = step;
  return run_layer(test_world(), c, same_tokens(c, logits));
}

const Drawn drawn[] = {
    {"Jitter", [](std::uint32_t layer,
                  std::int64_t step) { return factors(jitter(0.1), layer, step, 1000, 16); }},
    {"InputDropout",
     [](std::uint32_t layer, std::int64_t step) {
       return factors(input_dropout(0.3f), layer, step, 1000, 16);
     }},
    {"SampledExperts",
     [](std::uint32_t layer, std::int64_t step) {
       LayerCase c = crowd(RoutingMethod::switch_top1, 8000, 2);
       c.moe.exploration = Exploration::sample;
       return indicator(run_at(c, layer, step, {0.2, 0}).expert, std::int32_t{0});
     }},
    {"SecondChoices",
     [](std::uint32_t layer, std::int64_t step) {
       const LayerCase c = crowd(RoutingMethod::top2, 8000, 2);
       const std::vector<Fate> fate = run_at(c, layer, step, logits_with_second(0.1)).fate;
       return indicator(std::vector<Fate>(fate.begin() + c.N, fate.end()), Fate::kept);
     }},
    {"Drops",
     [](std::uint32_t layer, std::int64_t step) {
       return indicator(run_at(queue(), layer, step, {1, 0}).fate, Fate::kept);
     }},
};

class Draws : public testing::TestWithParam<Drawn> {};

TEST_P(Draws, AreTheSameForTheSameLayerAndStepAndIndependentOtherwise) {
  const auto draw = GetParam().draw;
  const std::vector<double> here = draw(2, 7);
  const double bound = 4 / std::sqrt(static_cast<double>(here.size()));
  ASSERT_GT(covariance(here, here), 0);
  EXPECT_EQ(draw(2, 7), here);
  EXPECT_LT(std::abs(correlation(here, draw(3, 7))), bound) << "the next layer";
  EXPECT_LT(std::abs(correlation(here, draw(2, 8))), bound) << "the next step";
  EXPECT_LT(std::abs(correlation(here, draw(7, 2))), bound) << "layer and step exchanged";
}

INSTANTIATE_TEST_SUITE_P(Kinds, Draws, testing::ValuesIn(drawn),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace switchyard
