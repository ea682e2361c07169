// The shrinker on synthetic failures whose smallest case is known.
#include "support/shrink.hpp"

#include <gtest/gtest.h>

#include "support/option_space.hpp"

namespace switchyard::test {
namespace {

using Row = std::vector<std::size_t>;

TEST(Shrink, TakesAwayAllThatDoesNotMatter) {
  const auto fails = [](const Row& row) { return row[1] >= 2 && row[3] == 1; };
  EXPECT_EQ(shrink(Row{4, 5, 6, 1, 7}, fails), (Row{0, 2, 0, 1, 0}));
}

TEST(Shrink, GoesOverTheRowAgainWhenALaterNumberSetsAnEarlierOneFree) {
  const auto fails = [](const Row& row) { return row[0] >= row[2] && row[2] != 1; };
  EXPECT_EQ(shrink(Row{3, 0, 3}, fails), (Row{0, 0, 0}));
}

TEST(Shrink, KeepsARowOfWhichNothingCanBeTaken) {
  const Row smallest{1, 0, 2};
  EXPECT_EQ(shrink(smallest, [&](const Row& row) { return row == smallest; }), smallest);
}

// As in real use: the failure requires two virtual ranks on unequal processes, one expert each, and
// a stop; everything else that was drawn must disappear.
TEST(Shrink, FindsTheSmallestRunOfTheOptionSpace) {
  const OptionSpace space = run_options();
  const auto fails = [&](const Row& row) {
    const Values run = space.values(row);
    return number(run, "processes") == 3 && number(run, "parallel.virtual_ranks") > 3 &&
           number(run, "moe.num_experts") >= 2 && run.at("optimizer.name") == "ADAMW" &&
           number(run, "stop_after") > 0;
  };
  Values expected = space.values(Row(space.options().size(), 0));
  for (const auto& [name, value] : Values{{"processes", "3"},
                                          {"parallel.virtual_ranks", "4"},
                                          {"train.batch_size", "4"},
                                          {"moe.num_experts", "2"},
                                          {"optimizer.name", "ADAMW"},
                                          {"train.steps", "2"},
                                          {"stop_after", "1"},
                                          {"train.eval_interval", "1"}})
    expected.at(name) = value;

  int failures = 0;
  for (std::uint64_t seed = 0; failures < 10; ++seed) {
    ASSERT_LT(seed, 10000u);
    const Row drawn = space.draw(seed);
    if (!fails(drawn)) continue;
    ++failures;
    EXPECT_EQ(space.values(shrink(drawn, fails)), expected) << "seed " << seed;
  }
}

}  // namespace
}  // namespace switchyard::test
