#include "train/stop.hpp"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(StopSignals, RaiseAFlagInsteadOfEndingTheProcess) {
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) {
    const StopSignals signals;
    EXPECT_FALSE(signals.requested());
    std::raise(signal);
    EXPECT_TRUE(signals.requested());
  }
}

TEST(StopSignals, ForgetARequestOfAnEarlierRun) {
  {
    const StopSignals signals;
    std::raise(SIGTERM);
  }
  const StopSignals signals;
  EXPECT_FALSE(signals.requested());
}

TEST(StopSignalsDeathTest, ASecondInterruptEndsAtOnce) {
  const auto interrupt_twice = [] {
    const StopSignals signals;
    std::raise(SIGINT);
    std::raise(SIGINT);
  };
  EXPECT_EXIT(interrupt_twice(), testing::KilledBySignal(SIGINT), "");
}

TEST(StopSignalsDeathTest, LeaveTheFormerHandlersBehind) {
  const auto terminate_afterwards = [] {
    { const StopSignals signals; }
    std::raise(SIGTERM);
  };
  EXPECT_EXIT(terminate_afterwards(), testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace switchyard
