#include "cli/startup.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace switchyard {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

const std::vector<std::string> words = {"train", "--config", "tiny"};

TEST(Crowding, IsSilentWhereEachThreadHasACore) {
  EXPECT_EQ(crowding_advice(2, 2, 4, 2, words), "");
  EXPECT_EQ(crowding_advice(1, 4, 4, 4, words), "");
}

TEST(Crowding, AdvisesTheLineThatFitsTheHost) {
  EXPECT_THAT(crowding_advice(2, 4, 4, 4, words),
              AllOf(HasSubstr("launch/local.sh -n 2 -t 2 "), EndsWith(" train --config tiny")));
  EXPECT_THAT(crowding_advice(8, 1, 4, 4, words), HasSubstr("launch/local.sh -n 4 -t 1 "));
}

TEST(Crowding, SeesThreadsBoundToFewerCores) {
  EXPECT_THAT(crowding_advice(2, 4, 8, 1, words), HasSubstr("launch/local.sh -n 2 -t 4 "));
}

}  // namespace
}  // namespace switchyard
