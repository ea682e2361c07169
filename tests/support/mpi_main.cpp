// GoogleTest's main under MPI: rank 0 prints the usual output, the other ranks only their failures
// with their rank, and all ranks agree on the verdict. A rank that leaves a test early, by an
// exception or a failed ASSERT, ends the job, since the others may wait for it in a collective.
#include "support/mpi_main.hpp"

#include <gtest/gtest.h>

#include <cassert>
#include <cstdint>
#include <cstdio>
#include <span>

namespace switchyard {
namespace {

const Comm* world_of_this_run = nullptr;  // lives in main

class FailurePrinter : public testing::EmptyTestEventListener {
 public:
  FailurePrinter(Rank rank, bool alone) : rank_(rank), alone_(alone) {}

 private:
  // Stored here, since querying it while a failure is reported deadlocks in GoogleTest.
  void OnTestStart(const testing::TestInfo& test) override { test_ = &test; }
  void OnTestEnd(const testing::TestInfo&) override { test_ = nullptr; }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "[rank %d] %s.%s\n%s:%d: %s\n", static_cast<int>(rank_.value),
                 test_ ? test_->test_suite_name() : "", test_ ? test_->name() : "",
                 result.file_name() ? result.file_name() : "unknown file", result.line_number(),
                 result.message());
    std::fflush(stderr);
    if (result.fatally_failed() && !alone_) abort_job(1);
  }

  Rank rank_;
  bool alone_;
  const testing::TestInfo* test_ = nullptr;
};

int run_tests(const Comm& world) {
  world_of_this_run = &world;
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  if (world.rank() != Rank{0}) {
    delete listeners.Release(listeners.default_result_printer());
    GTEST_FLAG_SET(output, "");
  }
  listeners.Append(new FailurePrinter(world.rank(), world.size() == 1));  // GoogleTest owns it
  const std::int64_t own_verdict = RUN_ALL_TESTS();
  const auto verdicts = all_gather(world, std::span<const std::int64_t>(&own_verdict, 1));
  world_of_this_run = nullptr;

  int failed = 0;
  for (std::size_t rank = 0; rank < verdicts.size(); ++rank) {
    if (verdicts[rank] == 0) continue;
    failed = 1;
    if (world.rank() == Rank{0}) std::printf("rank %zu failed\n", rank);
  }
  return failed;
}

}  // namespace

const Comm& test_world() {
  assert(world_of_this_run != nullptr);
  return *world_of_this_run;
}

}  // namespace switchyard

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const switchyard::Session session(argc, argv);
  return switchyard::run_tests(switchyard::Comm::world(session));
}
