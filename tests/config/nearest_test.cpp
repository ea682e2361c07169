#include "config/nearest.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace switchyard {
namespace {

const std::vector<std::string> names = {"d_model", "d_ff", "d_kv", "num_heads", "capacity_factor"};

TEST(EditDistance, CountsASwapOfNeighboursOnce) {
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("modle", "model"), 1);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
}

TEST(EditDistance, IsSymmetricAndZeroOnlyForEqualWords) {
  for (const std::string& a : names) {
    for (const std::string& b : names) {
      EXPECT_EQ(edit_distance(a, b), edit_distance(b, a));
      EXPECT_EQ(edit_distance(a, b) == 0, a == b);
    }
  }
}

TEST(Nearest, FindsEachNameAfterOneSlip) {
  for (const std::string& name : names) {
    EXPECT_EQ(nearest(name + "x", names), name);
    EXPECT_EQ(nearest(name.substr(1), names), name);
  }
}

TEST(Nearest, AcceptsTheBeginningOfANameAndAnyCase) {
  EXPECT_EQ(nearest("capacity", names), "capacity_factor");
  EXPECT_EQ(nearest("D_MODEL", names), "d_model");
}

TEST(Nearest, SaysNothingWhereNothingIsNear) { EXPECT_EQ(nearest("dropout_rate", names), ""); }

}  // namespace
}  // namespace switchyard
