#include "checkpoint/together.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

#include "support/errors.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

using test::error_of;
using test::fails_with;

TEST(Together, GivesEveryResultToEveryProcess) {
  const Comm& world = test_world();
  const auto results = together(world, [&] { return std::to_string(world.rank().value); });
  ASSERT_EQ(std::ssize(results), world.size());
  for (std::size_t p = 0; p < results.size(); ++p) EXPECT_EQ(results[p], std::to_string(p));
}

TEST(Together, FailsEverywhereWithTheReasonOfTheLowestProcessThatFailed) {
  const Comm& world = test_world();
  for (int lowest = 0; lowest < world.size(); ++lowest) {
    const auto work = [&] {
      if (world.rank().value < lowest) return;
      throw Error(ExitCode::io_error, "disk " + std::to_string(world.rank().value), "hint");
    };
    const std::string words =
        (lowest == 0 ? "74: " : "74: process " + std::to_string(lowest) + ": ") + "disk " +
        std::to_string(lowest);
    EXPECT_EQ(error_of([&] { all_or_none(world, work); }), words);
  }
}

TEST(Together, CarriesTheHintAndTurnsSurprisesIntoErrors) {
  try {
    all_or_none(test_world(), [] { throw Error(ExitCode::usage, "message", "what to do"); });
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.hint(), "what to do");
  }
  EXPECT_TRUE(fails_with(ExitCode::unexpected, "surprise", [] {
    all_or_none(test_world(), [] { throw std::runtime_error("surprise"); });
  }));
}

TEST(OnFirst, WorksOnProcess0Alone) {
  const Comm& world = test_world();
  int calls = 0;
  const auto work = [&] {
    ++calls;
    return std::string("of ") + std::to_string(world.rank().value);
  };
  EXPECT_EQ(on_first(world, work), "of 0");
  EXPECT_EQ(calls, world.rank() == Rank{0} ? 1 : 0);
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "here", [&] {
    on_first(world, []() -> std::string { throw Error(ExitCode::damaged_data, "here"); });
  }));
}

}  // namespace
}  // namespace switchyard
