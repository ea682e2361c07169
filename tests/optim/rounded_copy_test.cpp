// Every optimizer updates the bf16 copy of the weights together with the weights.
#include <gtest/gtest.h>

#include "optim/optimizer.hpp"

namespace switchyard {
namespace {

// A factored matrix with more than one block of rows, one too small to be factored, and a vector.
ParamSet small_set() {
  const Initializer init{Initializer::Kind::normal, 0.5f};
  return {{{"matrix", "matrix", 150, 130, std::nullopt, init},
           {"small", "small", 3, 7, std::nullopt, init},
           {"vector", "vector", 1, 37, std::nullopt, init}},
          1,
          0,
          4};
}

class RoundedCopy : public testing::TestWithParam<OptimizerConfig> {};

TEST_P(RoundedCopy, IsThatOfTheUpdatedWeights) {
  ParamSet set = small_set();
  for (Param& param : set.params()) {
    param.gradient = param.leaves[0].sum();
    for (std::int64_t i = 0; i < param.gradient.size(); ++i)
      param.gradient.data[i] = 0.01f * static_cast<float>(i % 11 - 4);
  }
  set.round_values();
  const auto optimizer = make_optimizer(GetParam(), set.params());
  for (std::int64_t step = 0; step < 2; ++step) {
    const float before = set[0].value(149, 129);
    optimizer->update(set.params(), step, 0.1);
    EXPECT_NE(set[0].value(149, 129), before);
    for (const Param& param : set.params()) {
      for (std::int64_t i = 0; i < param.value.size(); ++i)
        ASSERT_EQ(param.rounded.data[i], to_bfloat16(param.value.data[i]))
            << param.name() << " " << i;
    }
  }
}

TEST_P(RoundedCopy, IsNotMadeWhereThereIsNone) {
  ParamSet set = small_set();
  for (Param& param : set.params()) param.gradient = param.leaves[0].sum();
  make_optimizer(GetParam(), set.params())->update(set.params(), 0, 0.1);
  for (const Param& param : set.params()) EXPECT_EQ(param.rounded.data, nullptr);
}

INSTANTIATE_TEST_SUITE_P(EachRule, RoundedCopy,
                         testing::Values(AdafactorConfig{}, AdamWConfig{}, SgdConfig{},
                                         SgdConfig{.momentum = 0.9}));

}  // namespace
}  // namespace switchyard
