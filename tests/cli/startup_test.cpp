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
  EXPECT_EQ(crowding_advice(2, 2, {.of_host = 4, .bound = 2, .quota = {}}, words), "");
  EXPECT_EQ(crowding_advice(1, 4, {.of_host = 4, .bound = 4, .quota = 3.5}, words), "");
}

TEST(Crowding, AdvisesTheLineThatFitsTheHost) {
  const Cores four{.of_host = 4, .bound = 4, .quota = {}};
  EXPECT_THAT(crowding_advice(2, 4, four, words),
              AllOf(HasSubstr("launch/local.sh -n 2 -t 2 "), EndsWith(" train --config tiny")));
  EXPECT_THAT(crowding_advice(8, 1, four, words), HasSubstr("launch/local.sh -n 4 -t 1 "));
}

TEST(Crowding, SeesThreadsBoundToFewerCores) {
  EXPECT_THAT(crowding_advice(2, 4, {.of_host = 8, .bound = 1, .quota = {}}, words),
              AllOf(HasSubstr("bound to 1 core per process"), HasSubstr("local.sh -n 2 -t 4 ")));
}

TEST(Crowding, SeesAQuotaBelowTheCores) {
  EXPECT_THAT(crowding_advice(2, 1, {.of_host = 4, .bound = 4, .quota = 0.5}, words),
              AllOf(HasSubstr("2 x 1 threads share the time of 1 core, the CPU quota"),
                    HasSubstr("launch/local.sh -n 1 -t 1 ")));
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

}  // namespace
}  // namespace switchyard
