#include "optim/gradient_reducer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <string>

#include "base/philox.hpp"
#include "support/canonical_reference.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

constexpr int experts = 6, virtual_ranks = 12;

struct TensorShape {
  std::string name;
  std::int64_t rows, cols;
};
const std::vector<TensorShape> dense_tensors = {
    {"embedding", 90, 100}, {"z.norm", 1, 33}, {"b.router", 33, 8}};

ParamSet make_params(const Layout& layout, Rank rank) {
  std::vector<ParamSpec> specs;
  const auto add = [&](std::string name, std::int64_t rows, std::int64_t cols,
                       std::optional<ExpertId> expert) {
    ParamSpec spec;
    spec.name = std::move(name);
    spec.rows = rows;
    spec.cols = cols;
    spec.expert = expert;
    specs.push_back(std::move(spec));
  };
  for (const TensorShape& tensor : dense_tensors)
    add(tensor.name, tensor.rows, tensor.cols, std::nullopt);
  for (const ExpertId e : layout.owned_experts(rank))
    for (const char* matrix : {".wi", ".wo"})
      add("experts." + std::to_string(e.value) + matrix, 20, 30, e);
  return ParamSet(std::move(specs), static_cast<int>(layout.hosted(rank).size()),
                  static_cast<int>(layout.groups_of(rank).size()), 1);
}

float leaf_value(const std::string& name, std::int64_t leaf, std::size_t element) {
  std::uint32_t key = 0;
  for (const char c : name) key = key * 31 + static_cast<unsigned char>(c);
  const auto words = philox(
      {key, static_cast<std::uint32_t>(leaf), static_cast<std::uint32_t>(element), 0}, {5, 6});
  return std::ldexp(unit_float(words[0]) - 0.5f, static_cast<int>(words[1] % 20) - 10);
}

// Leaf `i` of this process belongs to virtual rank (dense) or group (expert) first + i.
void fill_leaves(const Layout& layout, Rank rank, ParamSet& params) {
  for (Param& param : params.params()) {
    const std::int64_t first =
        param.is_expert() ? layout.groups_of(rank).first.value : layout.hosted(rank).first.value;
    for (std::size_t leaf = 0; leaf < param.leaves.size(); ++leaf) {
      const std::span<float> data = param.leaves[leaf].sum().flat();
      for (std::size_t i = 0; i < data.size(); ++i)
        data[i] = leaf_value(param.name(), first + static_cast<std::int64_t>(leaf), i);
    }
  }
}

std::vector<float> expected_gradient(const Layout& layout, const Param& param) {
  std::vector<float> expected;
  const int leaves = param.is_expert() ? layout.groups() : layout.virtual_ranks();
  for (std::size_t i = 0; i < static_cast<std::size_t>(param.value.size()); ++i) {
    std::vector<float> values;
    for (int leaf = 0; leaf < leaves; ++leaf) values.push_back(leaf_value(param.name(), leaf, i));
    expected.push_back(reference::tree_sum(values));
  }
  return expected;
}

bool allowed(int groups) {
  const int processes = test_world().size();
  return groups == 1 || processes % groups == 0 || groups % processes == 0;
}

// Calls f for every number of groups that this number of processes can run.
template <class F>
void for_each_grouping(F f) {
  for (const int groups : {1, 2, 3, 4, 6, 12})
    if (allowed(groups)) f(Layout(virtual_ranks, test_world().size(), groups, experts));
}

ParamSet synchronized(const Layout& layout) {
  ParamSet params = make_params(layout, test_world().rank());
  fill_leaves(layout, test_world().rank(), params);
  synchronize_gradients(test_world(), layout, params);
  return params;
}

TEST(SynchronizeGradients, GivesTheTreesSumInEveryBit) {
  for_each_grouping([](const Layout& layout) {
    const ParamSet params = synchronized(layout);
    for (const Param& param : params.params()) {
      const std::span<float> gradient = param.gradient.flat();
      const std::vector<float> expected = expected_gradient(layout, param);
      ASSERT_EQ(gradient.size(), expected.size());
      EXPECT_EQ(std::memcmp(gradient.data(), expected.data(), gradient.size_bytes()), 0)
          << param.name() << ", " << layout.groups() << " groups";
    }
  });
}

TEST(SynchronizeGradients, AllowsAModelWithoutExperts) {
  const Layout layout(virtual_ranks, test_world().size(), 1, 0);
  const ParamSet params = synchronized(layout);
  ASSERT_EQ(params.params().size(), dense_tensors.size());
  EXPECT_EQ(params[0].gradient(3, 4), expected_gradient(layout, params[0])[304]);
}

TEST(SynchronizeGradients, AllowsProcessesWithoutExperts) {
  const Layout layout(virtual_ranks, test_world().size(), 1, 1);
  const ParamSet params = synchronized(layout);
  const bool owns = layout.owner(ExpertId{0}, GroupId{0}) == test_world().rank();
  EXPECT_EQ(params.params().size(), dense_tensors.size() + (owns ? 2 : 0));
  EXPECT_GT(gradient_norm(test_world(), layout, params), 0);
}

// The definition: blocks of 4,096 elements with one f64 sum each, then tensors by name; scalar
// code.
double expected_norm(const Layout& layout) {
  const Layout one_process(layout.virtual_ranks(), 1, layout.groups(), layout.experts());
  const ParamSet whole = make_params(one_process, Rank{0});
  std::map<std::string, double> squares;
  for (const Param& param : whole.params())
    for (const float g : expected_gradient(layout, param))
      squares[param.name()] += static_cast<double>(g) * static_cast<double>(g);
  double total = 0;
  for (const auto& [name, square] : squares) total += square;
  return std::sqrt(total);
}

TEST(GradientNorm, CountsEachTensorAndEachExpertOnce) {
  for_each_grouping([](const Layout& layout) {
    const double expected = expected_norm(layout);
    EXPECT_NEAR(gradient_norm(test_world(), layout, synchronized(layout)), expected,
                1e-12 * expected)
        << layout.groups() << " groups";
  });
}

TEST(ClipGradients, BringsTheGlobalNormDownToTheLimitAndNeverUp) {
  for_each_grouping([](const Layout& layout) {
    ParamSet params = synchronized(layout);
    const float before = params[0].gradient(3, 4);
    const double norm = gradient_norm(test_world(), layout, params);
    clip_gradients(params, norm, 2 * norm);
    EXPECT_EQ(params[0].gradient(3, 4), before);
    clip_gradients(params, norm, norm / 8);
    EXPECT_EQ(params[0].gradient(3, 4), before / 8);
    EXPECT_NEAR(gradient_norm(test_world(), layout, params), norm / 8, 1e-6 * norm);
  });
}

TEST(GradientNorm, HasTheSameBitsOnAnyNumberOfProcesses) {
  for_each_grouping([](const Layout& layout) {
    const double norm = gradient_norm(test_world(), layout, synchronized(layout));

    const Comm alone = test_world().split(static_cast<int>(test_world().rank().value), 0);
    const Layout one_process(virtual_ranks, 1, layout.groups(), experts);
    ParamSet whole = make_params(one_process, Rank{0});
    fill_leaves(one_process, Rank{0}, whole);
    synchronize_gradients(alone, one_process, whole);
    EXPECT_EQ(norm, gradient_norm(alone, one_process, whole)) << layout.groups() << " groups";
  });
}

}  // namespace
}  // namespace switchyard
