#include "base/team_failure.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include <new>

#include "base/error.hpp"

namespace switchyard {
namespace {

class TeamFailureTest : public testing::Test {
 protected:
  // Runs work(i) for i in [0, 64) on a team of four threads.
  template <class Work>
  static void share(Work&& work) {
    TeamFailure failure;
#pragma omp parallel for schedule(static, 1) num_threads(4)
    for (int i = 0; i < 64; ++i) failure.keep([&] { work(i); });
    failure.rethrow();
  }
};

TEST_F(TeamFailureTest, AnErrorArrivesWithItsCodeMessageAndHint) {
  for (const int culprit : {0, 1, 3, 63}) {
    try {
      share([&](int i) {
        if (i == culprit) throw Error(ExitCode::machine_cannot, "the sentence", "the hint");
      });
      FAIL() << culprit;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::machine_cannot);
      EXPECT_STREQ(error.what(), "the sentence");
      EXPECT_EQ(error.hint(), "the hint");
    }
  }
}

TEST_F(TeamFailureTest, OneOfManyFailuresArrives) {
  EXPECT_THROW(share([](int) { throw std::bad_alloc(); }), std::bad_alloc);
}

TEST_F(TeamFailureTest, WithoutAFailureAllIsDone) {
  std::atomic<int> sum = 0;
  share([&](int i) { sum += i; });
  EXPECT_EQ(sum, 63 * 64 / 2);
}

}  // namespace
}  // namespace switchyard
