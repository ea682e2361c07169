#include "cli/startup.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "tensor/instruction_set.hpp"

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

TEST(SlowPrecision, IsBfloat16WhereTheCpuDoesNotMultiplyIt) {
  std::ostringstream console;
  Log log(&console);
  warn_of_slow_precision(Precision::bfloat16, Bfloat16Support::native, log);
  warn_of_slow_precision(Precision::float32, Bfloat16Support::emulated, log);
  warn_of_slow_precision(Precision::float32, Bfloat16Support::widened, log);
  EXPECT_EQ(log.warnings(), 0);
  warn_of_slow_precision(Precision::bfloat16, Bfloat16Support::emulated, log);
  EXPECT_EQ(log.warnings(), 1);
  EXPECT_THAT(console.str(), HasSubstr("emulated"));
  warn_of_slow_precision(Precision::bfloat16, Bfloat16Support::widened, log);
  EXPECT_EQ(log.warnings(), 2);
  EXPECT_THAT(console.str(), HasSubstr("no AVX-512: BFLOAT16's products are computed in f32"));
}

}  // namespace switchyard
