#include "comm/comm.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <stdexcept>

#include "comm/mpi.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

// The number of rows that process `from` sends to process `to`: 0 to 4, some pairs exchange none.
std::int64_t rows_between(std::int64_t from, std::int64_t to) { return (3 * from + 5 * to) % 5; }

// An element that encodes its source and its destination.
float element(std::int64_t from, std::int64_t to, std::int64_t row, std::int64_t column) {
  return static_cast<float>(((from * 10 + to) * 10 + row) * 100 + column);
}

class Rows {
 public:
  explicit Rows(const Comm& comm, bool last_is_idle = false) : comm_(comm) {
    const std::int64_t processes = comm.size(), own = comm.rank().value;
    const auto rows = [&](std::int64_t from, std::int64_t to) {
      const bool idle = last_is_idle && (from == processes - 1 || to == processes - 1);
      return idle ? 0 : rows_between(from, to);
    };
    for (std::int64_t p = 0; p < processes; ++p) {
      send_rows.push_back(rows(own, p));
      recv_rows.push_back(rows(p, own));
      for (std::int64_t row = 0; row < rows(own, p); ++row)
        for (std::int64_t c = 0; c < width; ++c) send.push_back(element(own, p, row, c));
      for (std::int64_t row = 0; row < rows(p, own); ++row)
        for (std::int64_t c = 0; c < width; ++c) expected.push_back(element(p, own, row, c));
    }
  }

  std::vector<float> exchanged() const {
    std::vector<float> recv(expected.size(), -1);
    all_to_all_rows<float>(comm_, send, send_rows, recv, recv_rows, width);
    return recv;
  }

  static constexpr std::int64_t width = 7;
  std::vector<std::int64_t> send_rows, recv_rows;
  std::vector<float> send, expected;

 private:
  const Comm& comm_;
};

TEST(AllToAllRows, BringsEachRowToItsProcessInOrder) {
  const Rows rows(test_world());
  EXPECT_EQ(rows.exchanged(), rows.expected);
}

TEST(AllToAllRows, AllowsAProcessThatNeitherSendsNorReceives) {
  const Rows rows(test_world(), true);
  EXPECT_EQ(rows.exchanged(), rows.expected);
}

TEST(AllToAllRows, ReturnsEachRowToItsPlace) {
  const Rows rows(test_world());
  const std::vector<float> there = rows.exchanged();
  std::vector<float> back(rows.send.size(), -1);
  all_to_all_rows<float>(test_world(), there, rows.recv_rows, back, rows.send_rows, Rows::width);
  EXPECT_EQ(back, rows.send);
}

TEST(AllToAllRows, LosesAndInventsNoRow) {
  const Rows rows(test_world());
  const auto received = all_to_all(test_world(), rows.send_rows);
  EXPECT_EQ(received, rows.recv_rows);
  std::int64_t totals[] = {std::reduce(rows.send_rows.begin(), rows.send_rows.end()),
                           std::reduce(received.begin(), received.end())};
  all_reduce_sum(test_world(), totals);
  EXPECT_EQ(totals[0], totals[1]);
}

TEST(AllToAllRows, MovesRowsOfBfloat16) {
  const Rows rows(test_world());
  std::vector<bfloat16> send, recv(rows.expected.size()), expected;
  for (const float x : rows.send) send.push_back(to_bfloat16(x));
  for (const float x : rows.expected) expected.push_back(to_bfloat16(x));
  all_to_all_rows<bfloat16>(test_world(), send, rows.send_rows, recv, rows.recv_rows, Rows::width);
  EXPECT_EQ(recv, expected);
}

TEST(AllToAllRows, MovesIndicesToo) {
  const Comm& comm = test_world();
  const std::vector<std::int64_t> one_each(static_cast<std::size_t>(comm.size()), 1);
  std::vector<std::int64_t> send, recv(one_each.size());
  for (std::int64_t p = 0; p < comm.size(); ++p)
    send.push_back((std::int64_t{1} << 60) + comm.rank().value * 100 + p);
  all_to_all_rows<std::int64_t>(comm, send, one_each, recv, one_each, 1);
  for (std::int64_t p = 0; p < comm.size(); ++p)
    EXPECT_EQ(recv[static_cast<std::size_t>(p)],
              (std::int64_t{1} << 60) + p * 100 + comm.rank().value);
}

TEST(Comm, GathersInRankOrder) {
  const Comm& comm = test_world();
  const std::vector<std::int32_t> mine = {static_cast<std::int32_t>(comm.rank().value), -1};
  std::vector<std::int32_t> expected;
  for (std::int32_t p = 0; p < comm.size(); ++p) expected.insert(expected.end(), {p, -1});
  EXPECT_EQ(all_gather<std::int32_t>(comm, mine), expected);
}

TEST(Comm, GathersPartsOfDifferentSize) {
  const Comm& comm = test_world();
  const std::vector<double> mine(static_cast<std::size_t>(comm.rank().value),
                                 static_cast<double>(comm.rank().value));
  std::vector<double> expected;
  for (int p = 0; p < comm.size(); ++p)
    expected.insert(expected.end(), static_cast<std::size_t>(p), p);
  EXPECT_EQ(all_gather_v<double>(comm, mine), expected);
}

TEST(Comm, GathersStringsOfDifferentLength) {
  const Comm& comm = test_world();
  const auto text = [](std::int64_t rank) {
    return std::string(static_cast<std::size_t>(rank), 'x') + "\n";
  };
  const std::int64_t own = comm.rank().value;
  const std::vector<std::string> all = all_gather_strings(comm, own % 2 ? "" : text(own));
  ASSERT_EQ(all.size(), static_cast<std::size_t>(comm.size()));
  for (std::size_t p = 0; p < all.size(); ++p)
    EXPECT_EQ(all[p], p % 2 ? "" : text(static_cast<std::int64_t>(p)));
}

TEST(Comm, GathersStringsOnOneProcessInRoundsOfAnySize) {
  const Comm& comm = test_world();
  const auto text = [](std::int64_t rank) {
    return rank % 2 ? "" : "text of " + std::to_string(rank) + std::string(5, '\0');
  };
  for (Rank root(0); root.value < comm.size(); ++root) {
    for (const std::int64_t round : {1, 3, 14, 1000}) {
      const auto all = gather_strings(comm, text(comm.rank().value), root, round);
      ASSERT_EQ(std::ssize(all), comm.rank() == root ? comm.size() : 0);
      for (std::size_t p = 0; p < all.size(); ++p)
        EXPECT_EQ(all[p], text(static_cast<std::int64_t>(p))) << round;
    }
    EXPECT_EQ(gather_strings(comm, "", root).size(), comm.rank() == root ? comm.size() : 0);
  }
}

TEST(Comm, FindsTheLowestRank) {
  const Comm& comm = test_world();
  for (Rank lowest(0); lowest.value < comm.size(); ++lowest)
    EXPECT_EQ(find_lowest(comm, comm.rank() >= lowest), lowest);
  EXPECT_EQ(find_lowest(comm, false), std::nullopt);
}

TEST(Comm, BroadcastsFromAnyRoot) {
  const Comm& comm = test_world();
  const Rank last{comm.size() - 1};
  std::vector<std::uint64_t> data(3, static_cast<std::uint64_t>(comm.rank().value));
  broadcast<std::uint64_t>(comm, data, last);
  EXPECT_EQ(data, std::vector<std::uint64_t>(3, static_cast<std::uint64_t>(last.value)));

  const std::string text = comm.rank() == last ? "from the last" : "somewhat longer, but forgotten";
  EXPECT_EQ(broadcast_string(comm, text, last), "from the last");
}

TEST(Comm, ReducesIntegersExactly) {
  const Comm& comm = test_world();
  const std::int64_t big = std::int64_t{1} << 60;  // a double would lose the low bits
  std::int64_t sum[] = {comm.rank() == Rank{0} ? big : 1};
  all_reduce_sum(comm, sum);
  EXPECT_EQ(sum[0], big + comm.size() - 1);
  std::int64_t max[] = {comm.rank().value, -comm.rank().value};
  all_reduce_max(comm, max);
  EXPECT_EQ(max[0], comm.size() - 1);
  EXPECT_EQ(max[1], 0);
}

TEST(Comm, SplitsByColourInTheOrderOfKeys) {
  const Comm& comm = test_world();
  const int rank = static_cast<int>(comm.rank().value);
  const Comm half = comm.split(rank % 2, -rank);
  EXPECT_EQ(half.size(), (comm.size() + (rank % 2 == 0)) / 2);
  EXPECT_EQ(half.rank().value, half.size() - 1 - rank / 2);
  const std::vector<std::int32_t> colour = {rank % 2};
  for (const std::int32_t other : all_gather<std::int32_t>(half, colour))
    EXPECT_EQ(other, rank % 2);
}

TEST(Comm, ReportsTheFailedCallAndItsReason) {
  if (test_world().size() == 1) GTEST_SKIP() << "one process calls nothing that could fail";
  std::vector<float> data(1);
  try {
    broadcast<float>(test_world(), data, Rank{test_world().size()});  // there is no such root
    FAIL() << "no exception";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("MPI_Bcast: MPI_ERR_ROOT"), std::string::npos)
        << error.what();
  }
  const Comm copy = test_world().duplicate();  // inherits the error handler
  EXPECT_THROW(broadcast<float>(copy, data, Rank{copy.size()}), std::runtime_error);
}

TEST(Comm, RefusesCountsThatNoMessageCanCarry) {
  const std::vector<std::int64_t> too_many = {std::int64_t{1} << 31};
  EXPECT_THROW(int_counts(too_many), std::runtime_error);
  const std::vector<std::int64_t> too_far = {std::int64_t{1} << 30, std::int64_t{1} << 30, 1};
  EXPECT_THROW(int_offsets(too_far), std::runtime_error);
}

TEST(Session, KnowsItsLibrary) {
  EXPECT_FALSE(Session::library_version().empty());
  EXPECT_EQ(Session::library_version().find('\n'), std::string::npos);
}

}  // namespace
}  // namespace switchyard
