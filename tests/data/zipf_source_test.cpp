#include "data/zipf_source.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace switchyard {
namespace {

constexpr ZipfSource::Shape shape{.vocab_size = 50, .input_length = 400, .target_length = 90};

TEST(ZipfSource, FillsItsRowsWithIdsOfTheVocabulary) {
  const ZipfSource source(shape, 3);
  for (std::int64_t sample = 0; sample < 20; ++sample) {
    const Example example = source.example(sample);
    EXPECT_EQ(example.inputs.size(), 400U);
    EXPECT_EQ(example.targets.size(), 90U);
    for (const auto& row : {example.inputs, example.targets}) {
      const auto [least, most] = std::ranges::minmax(row);
      EXPECT_GE(least, 1);
      EXPECT_LT(most, 50);
    }
  }
}

TEST(ZipfSource, DrawsTheIthIdInProportionToOneOverI) {
  const ZipfSource source(shape, 3);
  std::vector<int> count(50);
  for (std::int64_t sample = 0; sample < 200; ++sample)
    for (const std::int32_t id : source.example(sample).inputs) ++count[id];
  for (const int id : {2, 5, 10, 49})
    EXPECT_NEAR(static_cast<double>(count[1]) / count[id], id, 0.15 * id) << id;
}

TEST(ZipfSource, IsAFunctionOfSeedAndSample) {
  const ZipfSource source(shape, 3), same(shape, 3), other(shape, 4);
  EXPECT_EQ(source.example(7).inputs, same.example(7).inputs);
  EXPECT_NE(source.example(7).inputs, source.example(8).inputs);
  EXPECT_NE(source.example(7).inputs, other.example(7).inputs);
  auto begin = source.example(7).inputs;
  begin.resize(90);
  EXPECT_NE(begin, source.example(7).targets);
}

TEST(ZipfSource, OfTwoRowsHasOneWord) {
  const ZipfSource source({.vocab_size = 2, .input_length = 3, .target_length = 1}, 1);
  EXPECT_EQ(source.example(0).inputs, (std::vector<std::int32_t>{1, 1, 1}));
}

}  // namespace
}  // namespace switchyard
