#include "moe/switch_layer.hpp"

#include <gmock/gmock.h>
#include <omp.h>

#include <cstring>

#include "moe/closeness.hpp"
#include "moe/layer_run.hpp"
#include "moe/switch_vector.hpp"
#include "moe/usable_comm.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

using testing::Each;

Comm alone() {
  const Comm& world = test_world();
  return world.split(static_cast<int>(world.rank().value), 0);
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Each expert's gradients in the order of the leaves: wi, wi_1, wo.
std::vector<double> expert_gradients(const LayerCase& c, const reference::SwitchResult& r) {
  std::vector<double> all;
  const std::int64_t kernel = c.D * c.F;
  for (std::int64_t e = 0; e < c.E; ++e)
    for (const auto* part : {&r.d_wi, &r.d_wi_1, &r.d_wo})
      if (!part->empty())
        all.insert(all.end(), part->begin() + e * kernel, part->begin() + (e + 1) * kernel);
  return all;
}

// The mean of the balance losses of all virtual ranks.
double mean_balance(const LayerOutputs& out) {
  double sum = 0;
  for (const RoutingStats& stats : out.stats) sum += stats.balance_sum;
  return sum / static_cast<double>(out.stats.size());
}

struct NamedCase {
  const char* name;
  LayerCase layer;
};
void PrintTo(const NamedCase& c, std::ostream* out) { *out << c.name; }

LayerCase layer(double capacity_factor, double jitter_eps, double z_weight) {
  LayerCase c;
  c.balance_weight = 0.1, c.z_weight = z_weight;
  c.moe.capacity_factor = capacity_factor;
  c.moe.min_capacity = 2;
  c.moe.jitter_eps = jitter_eps;
  return c;
}

std::vector<NamedCase> layer_cases() {
  const LayerCase plain = layer(1.0, 0, 0);
  std::vector<NamedCase> cases{{"Plain", plain}};
  const auto add = [&](const char* name, auto change) {
    cases.push_back({name, plain});
    change(cases.back().layer);
  };
  add("ThreeVirtualRanksEightExperts", [](LayerCase& c) { c.V = 3, c.E = 8; });
  add("PaddingJitterAndZLoss", [](LayerCase& c) { c = layer(1.0, 0.1, 0.05), c.padding = true; });
  add("Dropless", [](LayerCase& c) { c.moe.dropless = true; });
  add("GatedWithEverything", [](LayerCase& c) {
    c = layer(1.25, 0.01, 0.01), c.moe.expert_dropout_rate = 0.3f;
    c.V = 3, c.E = 5, c.padding = true, c.activation = Activation::gated_gelu;
  });
  add("OneExpert", [](LayerCase& c) { c.E = 1, c.moe.dropless = true; });
  add("FewerExpertsThanProcesses", [](LayerCase& c) { c.E = 2; });
  add("AllTokensToOneExpert", [](LayerCase& c) { c.one_expert_for_all = true; });
  add("TwoGroups", [](LayerCase& c) { c.G = 2, c.E = 3, c.padding = true; });
  add("EachVirtualRankAGroup",
      [](LayerCase& c) { c.G = 4, c.E = 3, c.moe.expert_dropout_rate = 0.2f; });
  add("OddSizes", [](LayerCase& c) { c.V = 5, c.N = 37, c.D = 19, c.F = 23, c.E = 7; });
  add("SeveralTilesAProduct", [](LayerCase& c) { c.N = 300, c.D = 32, c.F = 520, c.E = 2; });
  add("Evaluation", [](LayerCase& c) {
    c = layer(1.0, 0.1, 0), c.mode = Mode::evaluate, c.moe.expert_dropout_rate = 0.5f;
    c.moe.eval_dropless = false, c.moe.eval_capacity_factor = 0.5;
  });
  add("DroplessEvaluation", [](LayerCase& c) { c.mode = Mode::evaluate, c.moe.jitter_eps = 0.1; });
  return cases;
}

class SwitchLayerCase : public testing::TestWithParam<NamedCase> {};

TEST_P(SwitchLayerCase, AgreesWithPlainDoublePrecision) {
  const LayerCase c = GetParam().layer;
  const LayerInputs inputs = make_inputs(c);
  const LayerOutputs got = run_layer(usable_comm(test_world(), c.V, c.G), c, inputs);
  const auto want = reference::switch_layer(reference_problem(c, inputs));
  expect_close("y", got.y, want.y);
  expect_close("dx", got.dx, want.dx);
  if (c.E > 1) expect_close("router", sum_of_leaves(got.router_leaves, c.V), want.d_router);
  expect_close("experts", sum_of_leaves(got.expert_leaves, c.G), expert_gradients(c, want));
  EXPECT_NEAR(mean_balance(got), want.aux, 1e-5);
  std::int64_t dropped = 0;
  for (const RoutingStats& stats : got.stats) dropped += stats.dropped;
  EXPECT_EQ(dropped, want.dropped);
  EXPECT_EQ(dropped > 0, c.mode == Mode::train ? !c.moe.dropless : !c.moe.eval_dropless);
}

TEST_P(SwitchLayerCase, HasTheSameBitsOnAnyNumberOfProcessesAndThreads) {
  const LayerCase c = GetParam().layer;
  const LayerInputs inputs = make_inputs(c);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(3);
  LayerOutputs here = run_layer(usable_comm(test_world(), c.V, c.G), c, inputs);
  omp_set_num_threads(1);
  LayerOutputs single = run_layer(alone(), c, inputs);
  omp_set_num_threads(threads);
  EXPECT_EQ(difference(here, single), "");
}

TEST_P(SwitchLayerCase, HasTheSameBitsHoweverItsRowsTravel) {
  LayerCase c = GetParam().layer;
  c.repeats = true;
  const LayerInputs inputs = make_inputs(c);
  const Comm comm = usable_comm(test_world(), c.V, c.G);
  const LayerOutputs whole = run_layer(comm, c, inputs);
  for (const auto way : {RowTransport::Way::direct, RowTransport::Way::two_level}) {
    for (const std::int64_t chunks : {2, 3}) {
      const LayerOutputs got =
          run_layer(comm, c, inputs, {.way = way, .chunks = chunks, .host = comm.rank().value % 2});
      EXPECT_EQ(difference(got, whole), "") << chunks << " chunks";
    }
  }
}

TEST_P(SwitchLayerCase, GivesDroppedAndPaddingTokensExactlyZero) {
  const LayerCase c = GetParam().layer;
  const LayerInputs inputs = make_inputs(c);
  const LayerOutputs got = run_layer(usable_comm(test_world(), c.V, c.G), c, inputs);
  const auto problem = reference_problem(c, inputs);
  const auto want = reference::switch_layer(problem);
  for (std::int64_t i = 0; i < c.V * c.N; ++i) {
    if (want.expert[i] >= 0 && want.slot[i] < problem.capacity) continue;
    const std::vector<float> row(&got.y[i * c.D], &got.y[i * c.D] + c.D);
    EXPECT_THAT(row, Each(0.0f)) << "token " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Layers, SwitchLayerCase, testing::ValuesIn(layer_cases()),
                         [](const auto& info) { return info.param.name; });

TEST(SwitchLayer, GivesTheWorkedOutLayer) {
  const reference::SwitchProblem p = vector_problem();
  LayerCase c = layer(1.0, 0, p.z_coef);
  c.V = 1, c.E = 3, c.N = 6, c.D = 2, c.F = 2, c.balance_weight = p.aux_coef;
  const auto narrow = [](const std::vector<double>& v) {
    return std::vector<float>(v.begin(), v.end());
  };
  const LayerInputs in{.x = narrow(p.x),
                       .dy = narrow(p.dy),
                       .router = narrow(p.router),
                       .wi = narrow(p.wi),
                       .wi_1 = {},
                       .wo = narrow(p.wo),
                       .real = p.real,
                       .index = std::vector<std::uint64_t>(6),
                       .ids = std::vector<std::int32_t>(6),
                       .bias = {}};
  const LayerOutputs got = run_layer(alone(), c, in);
  const auto want = reference::switch_layer(p);
  const auto near = testing::Pointwise(testing::DoubleNear(2e-6), vector_y);
  EXPECT_THAT(got.y, near);
  EXPECT_THAT(got.router_leaves, testing::Pointwise(testing::DoubleNear(2e-6), vector_d_router));
  EXPECT_THAT(got.dx, testing::Pointwise(testing::DoubleNear(2e-6), vector_dx));
  EXPECT_THAT(got.expert_leaves,
              testing::Pointwise(testing::DoubleNear(2e-6), expert_gradients(c, want)));
  EXPECT_EQ(got.stats[0].dropped, 2);
  EXPECT_NEAR(got.stats[0].balance_sum, vector_aux, 2e-6);
  EXPECT_NEAR(got.stats[0].z_sum / 6, vector_z, 2e-6);
  double loss = p.aux_coef * got.stats[0].balance_sum + p.z_coef * got.stats[0].z_sum / 6;
  for (std::size_t i = 0; i < got.y.size(); ++i) loss += got.y[i] * p.dy[i];
  EXPECT_NEAR(loss, vector_loss, 2e-6);
}

// The dense feed-forward layer applied to the rows of one group.
LayerOutputs run_dense(const LayerCase& c, const LayerInputs& in) {
  const bool gated = c.activation == Activation::gated_gelu;
  LayerOutputs out;
  out.y.resize(c.N * c.D);
  out.dx.resize(c.N * c.D);
  const std::int64_t kernel = c.D * c.F;
  out.expert_leaves.resize((gated ? 3 : 2) * kernel);
  MlpWeights weights{
      {in.wi.data(), c.D, c.F}, {in.wi_1.data(), c.D, c.F}, {in.wo.data(), c.F, c.D}};
  float* d = out.expert_leaves.data();
  GradientLeaf d_wi({d, c.D, c.F}), d_wi_1({d + kernel, c.D, c.F}),
      d_wo({d + (gated ? 2 : 1) * kernel, c.F, c.D});
  const MlpGradients gradients{&d_wi, &d_wi_1, &d_wo};
  const HiddenDropout dropout{c.moe.expert_dropout_rate,
                              RandomStream(layer_seed, Purpose::hidden_dropout, c.layer, c.step),
                              in.index};
  const View<const float> x(in.x.data(), c.N, c.D), dy(in.dy.data(), c.N, c.D);
  Work work;
  MlpSaved<float> saved(c.N, c.F, c.activation), room(c.N, c.F, c.activation);
  mlp_forward<float, float>(work, x, weights, c.activation, dropout, saved.row_range(0, c.N),
                            {out.y.data(), c.N, c.D});
  mlp_backward<float>(work, std::as_const(saved).row_range(0, c.N), x, weights, c.activation,
                      dropout, {dy, {out.dx.data(), c.N, c.D}, room.row_range(0, c.N)}, gradients);
  return out;
}

TEST(SwitchLayer, IsTheDenseLayerBitForBitWithOneDroplessExpert) {
  for (const Activation activation : {Activation::relu, Activation::gated_gelu})
    for (const float dropout : {0.0f, 0.25f}) {
      LayerCase c = layer(1.0, 0, 0);
      c.V = 1, c.E = 1, c.N = 48, c.activation = activation;
      c.moe.expert_dropout_rate = dropout, c.moe.dropless = true;
      const LayerInputs inputs = make_inputs(c);
      const LayerOutputs sparse = run_layer(alone(), c, inputs), dense = run_dense(c, inputs);
      EXPECT_TRUE(same_bits(sparse.y, dense.y));
      EXPECT_EQ(sparse.dx, dense.dx);  // the router adds zeros, which may turn -0 into 0
      EXPECT_TRUE(same_bits(sparse.expert_leaves, dense.expert_leaves));
      EXPECT_THAT(sparse.router_leaves, Each(0.0f));
    }
}

TEST(SwitchLayer, DividesTheWorkAmongProcesses) {
  LayerCase c = layer(1.0, 0, 0);
  c.E = 8;
  const LayerInputs inputs = make_inputs(c);
  std::int64_t together = run_layer(test_world(), c, inputs).multiply_adds;
  const std::int64_t mine = together, whole = run_layer(alone(), c, inputs).multiply_adds;
  all_reduce_sum(test_world(), std::span(&together, 1));
  EXPECT_EQ(together, whole);
  EXPECT_GT(mine, 0);
}

TEST(SwitchLayer, GivesAnExpertWithoutTokensNoGradient) {
  LayerCase c = layer(1.0, 0, 0);
  c.one_expert_for_all = true;
  const LayerOutputs got = run_layer(test_world(), c, make_inputs(c));
  const std::size_t expert = 2 * c.D * c.F;  // every token goes to the last expert
  ASSERT_EQ(got.expert_leaves.size(), c.E * expert);
  const std::vector<float> others(got.expert_leaves.begin(), got.expert_leaves.end() - expert);
  EXPECT_THAT(others, Each(0.0f));
  const std::vector<float> last(got.expert_leaves.end() - expert, got.expert_leaves.end());
  EXPECT_THAT(last, testing::Contains(testing::Ne(0.0f)));
}

}  // namespace
}  // namespace switchyard
