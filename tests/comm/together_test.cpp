#include "comm/together.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

#include "base/host.hpp"
#include "support/errors.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

using test::error_of;
using test::fails_with;

TEST(Together, GivesEveryResultToProcess0AndNoneToTheOthers) {
  const Comm& world = test_world();
  const auto results = together(world, [&] { return std::to_string(world.rank().value); });
  ASSERT_EQ(std::ssize(results), world.rank() == Rank{0} ? world.size() : 0);
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
        (lowest == 0 ? "74: "
                     : "74: process " + std::to_string(lowest) + " on " + host_name() + ": ") +
        "disk " + std::to_string(lowest);
    EXPECT_EQ(error_of([&] { all_or_none(world, work); }), words);
    const auto with_result = [&] {
      work();
      return std::string();
    };
    EXPECT_EQ(error_of([&] { together(world, with_result); }), words);
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

TEST(OncePerView, LetsOneProcessWorkWhereAHostSeesTheSame) {
  const Comm& world = test_world();
  std::int64_t worked = 0;
  once_per_view(world, "the same", [&] { ++worked; });
  EXPECT_EQ(worked, world.rank() == Rank{0} ? 1 : 0);
}

TEST(OncePerView, LetsEachWorkThatSeesSomethingElse) {
  const Comm& world = test_world();
  std::int64_t worked = 0;  // by processes 0 and 1, and by no other
  once_per_view(world, world.rank().value % 2 == 0 ? "even" : "odd", [&] { ++worked; });
  EXPECT_EQ(worked, world.rank().value < 2 ? 1 : 0);
}

TEST(OncePerView, FailsEverywhereAndNamesTheHost) {
  const Comm& world = test_world();
  const bool last = world.rank().value == world.size() - 1;
  const std::string where = world.size() > 1 ? "on " + host_name() + ", " : "";
  EXPECT_EQ(error_of([&] {
              once_per_view(world, last ? "its own" : "common", [&] {
                if (last) throw Error(ExitCode::damaged_data, "train.bin is damaged");
              });
            }),
            "65: " + where + "train.bin is damaged");
}

TEST(SharePerView, GivesEachPieceToOneProcessOfAView) {
  const Comm& world = test_world();
  for (const int pieces : {0, 1, 3, 8}) {
    std::vector<std::int64_t> done(static_cast<std::size_t>(pieces), 0);
    const bool first = share_per_view(world, "the same", pieces, [&](int i) {
      EXPECT_EQ(i % world.size(), world.rank().value);
      ++done[static_cast<std::size_t>(i)];
    });
    EXPECT_EQ(first, world.rank() == Rank{0});
    const auto all = all_gather(world, std::span<const std::int64_t>(done));
    EXPECT_EQ(std::ranges::count(all, 1), pieces);
  }
}

TEST(SharePerView, SharesOutAmongThoseWithTheSameViewAlone) {
  const Comm& world = test_world();
  const std::int64_t self = world.rank().value;
  std::vector<int> done;
  const bool first =
      share_per_view(world, self % 2 == 0 ? "even" : "odd", 4, [&](int i) { done.push_back(i); });
  EXPECT_EQ(first, self < 2);
  const std::int64_t sharers = (world.size() + 1 - self % 2) / 2;
  for (const int i : done) EXPECT_EQ(i % sharers, self / 2);
  EXPECT_EQ(std::ssize(done), (4 - self / 2 + sharers - 1) / sharers);
}

TEST(SharePerView, FailsEverywhereWhereOnePieceFails) {
  const Comm& world = test_world();
  const std::string where = world.size() > 1 ? "on " + host_name() + ", " : "";
  EXPECT_EQ(error_of([&] {
              share_per_view(world, "common", 4, [](int i) {
                if (i == 2) throw Error(ExitCode::damaged_data, "train.bin is damaged");
              });
            }),
            "65: " + where + "train.bin is damaged");
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
