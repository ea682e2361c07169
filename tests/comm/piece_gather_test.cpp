#include "comm/piece_gather.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "comm/owner_chain.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

using Shapes = std::vector<TensorShape>;

const std::vector<Shapes>& shapes() {
  static const std::vector<Shapes> all = {
      {{1, 5}},                           // one piece, and nothing on other processes
      {{256, 64}, {1, 64}, {70, 100}},    // cuts inside and between tensors
      {{640, 64}, {3, 3}, {20480, 128}},  // pieces of several messages
  };
  return all;
}

TEST(PieceGather, GivesTheWholeVectorToAll) {
  const Comm& comm = test_world();
  for (const Shapes& tensors : shapes()) {
    const Ownership ownership(tensors, comm.size());
    std::vector<float> vector(static_cast<std::size_t>(ownership.first_element(comm.size())), -1);
    const std::int64_t piece = ownership.piece_of(comm.rank());
    for (std::int64_t i = ownership.first_element(piece); i < ownership.first_element(piece + 1);
         ++i)
      vector[static_cast<std::size_t>(i)] = static_cast<float>(i);
    gather_pieces(comm, ownership, vector);
    for (std::size_t i = 0; i < vector.size(); ++i)
      ASSERT_EQ(vector[i], static_cast<float>(i)) << comm.rank().value;
  }
}

// Carries the rounds of all processes of a job out on sets of pieces.
void expect_complete(std::int64_t processes) {
  const Ownership ownership(Shapes{{64 * processes, 64}}, processes);
  const auto size = static_cast<std::size_t>(processes);
  std::vector<std::vector<char>> has(size, std::vector<char>(size));
  std::vector<Buffer<GatherRound>> rounds;
  for (Rank p{0}; p.value < processes; ++p) {
    rounds.push_back(gather_rounds(ownership, p));
    has[static_cast<std::size_t>(p.value)][static_cast<std::size_t>(ownership.piece_of(p))] = 1;
  }
  for (std::size_t i = 0; i < rounds[0].size(); ++i) {
    const auto before = has;
    for (std::size_t p = 0; p < size; ++p) {
      const GatherRound& round = rounds[p][i];
      const auto to = static_cast<std::size_t>(round.to.value);
      EXPECT_EQ(rounds[to][i].from, Rank{static_cast<std::int64_t>(p)});
      EXPECT_EQ(rounds[to][i].received, round.sent);
      for (std::int64_t piece = round.sent.first; piece < round.sent.last; ++piece) {
        EXPECT_TRUE(before[p][static_cast<std::size_t>(piece)]) << "sends what it lacks";
        EXPECT_FALSE(has[to][static_cast<std::size_t>(piece)]++) << "receives it twice";
      }
    }
  }
  for (const auto& pieces : has)
    EXPECT_EQ(std::accumulate(pieces.begin(), pieces.end(), std::int64_t{0}), processes);
}

TEST(PieceGather, OfManyProcessesIsComplete) {
  for (const std::int64_t processes : {1, 2, 3, 5, 8, 12, 64, 100}) {
    SCOPED_TRACE(processes);
    expect_complete(processes);
  }
}

TEST(PieceGather, SendsEachForeignElementOnce) {
  for (const std::int64_t processes : {2, 3, 8, 12}) {
    const Ownership ownership(Shapes{{64 * processes, 64}}, processes);
    for (Rank p{0}; p.value < processes; ++p)
      EXPECT_EQ(traffic_of_gather(ownership, p).elements, (processes - 1) * 4096);
  }
}

// Terms whose sum depends on the order.
double term(std::int64_t owner, std::size_t i) {
  return std::ldexp(1 + 0.1 * static_cast<double>(owner), static_cast<int>(17 * owner + i) % 50);
}

TEST(OwnerChain, AddsInTheOrderOfTheOwners) {
  const Comm& comm = test_world();
  std::vector<Rank> order;
  for (std::int64_t p = comm.size(); p-- > 0;) order.push_back(Rank{p});
  OwnerChain chain(comm, order, 0);
  for (int again = 0; again < 2; ++again) {
    std::vector<double> sums(2000, 7), expected(2000);
    for (const Rank p : order)
      for (std::size_t i = 0; i < sums.size(); ++i) expected[i] += term(p.value, i);
    chain.open(sums);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += term(comm.rank().value, i);
    chain.close(sums);
    chain.result(sums);
    EXPECT_EQ(sums, expected);
  }
}

// Process p shares one tensor with p - 1 and one with p + 1.
TEST(OwnerChain, MayBeOneOfTwo) {
  const Comm& comm = test_world();
  const std::int64_t self = comm.rank().value;
  std::vector<OwnerChain> chains;
  std::vector<std::vector<double>> sums;
  for (const std::int64_t first : {self, self - 1}) {
    if (first < 0 || first + 1 >= comm.size()) continue;
    chains.emplace_back(comm, std::vector{Rank{first}, Rank{first + 1}},
                        static_cast<int>(first % 2));
    sums.emplace_back(50'000);
  }
  for (std::size_t i = 0; i < chains.size(); ++i) {
    chains[i].open(sums[i]);
    for (double& sum : sums[i]) sum += static_cast<double>(self + 1);
    chains[i].close(sums[i]);
  }
  for (std::size_t i = chains.size(); i-- > 0;) {
    chains[i].result(sums[i]);
    const std::int64_t first = chains[i].owners().front().value;
    EXPECT_EQ(sums[i], std::vector<double>(50'000, static_cast<double>(2 * first + 3)));
  }
}

}  // namespace
}  // namespace switchyard
