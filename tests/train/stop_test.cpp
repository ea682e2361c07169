#include "train/stop.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "support/random_tensor.hpp"
#include "tensor/gemm.hpp"

namespace switchyard {
namespace {

TEST(StopSignals, RaiseAFlagInsteadOfEndingTheProcess) {
  for (const int signal : ending_signals) {
    const StopSignals signals;
    EXPECT_FALSE(signals.requested());
    std::raise(signal);
    EXPECT_TRUE(signals.requested());
  }
}

// oneDNN's kernels use the stack pointer for their buffers: a handler on that stack would overwrite
// the heap.
TEST(StopSignals, LeaveMatrixProductsAlone) {
  const StopSignals signals;
  const auto a = random_tensor(1024, 256, 1), b = random_tensor(256, 256, 2);
  auto undisturbed = Tensor<float>::zeros(1024, 256), disturbed = Tensor<float>::zeros(1024, 256);
  Work work;
  const auto multiply = [&](Tensor<float>& c) {
    gemm<float, float>(work, a.view(), Transpose::no, b.view(), Transpose::no, c.view());
  };
  multiply(undisturbed);
  std::jthread nuisance([](const std::stop_token& enough) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    while (!enough.stop_requested()) {
      kill(getpid(), SIGUSR1);
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  });
  while (!signals.requested()) multiply(disturbed);
  for (int i = 0; i < 200; ++i) {
    multiply(disturbed);
    ASSERT_TRUE(std::ranges::equal(disturbed.flat(), undisturbed.flat()));
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

TEST(StopSignals, ShareTheRequestOfThoseThatLivedBefore) {
  const StopSignals first;
  std::raise(SIGUSR1);
  {
    const StopSignals second;
    EXPECT_TRUE(second.requested());
  }
  std::raise(SIGTERM);
  EXPECT_TRUE(first.requested());
}

TEST(StopSignalsDeathTest, OfTheProcessLeaveTheSignalsIgnored) {
  const auto all_signals_afterwards = [] {
    { const StopSignals signals(StopSignals::Extent::process); }
    for (const int signal : ending_signals) std::raise(signal);
    _exit(3);
  };
  EXPECT_EXIT(all_signals_afterwards(), testing::ExitedWithCode(3), "");
}

TEST(StopSignalsDeathTest, DoNotHearAHangUpUnderNohup) {
  const auto hang_up = [] {
    std::signal(SIGHUP, SIG_IGN);
    const StopSignals signals;
    std::raise(SIGHUP);
    _exit(signals.requested() ? 1 : 3);
  };
  EXPECT_EXIT(hang_up(), testing::ExitedWithCode(3), "");
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
