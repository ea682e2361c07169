// Schedules of all processes are carried out here, in one process and without MPI.
#include "comm/sum_schedule.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <optional>

#include "base/philox.hpp"
#include "support/canonical_reference.hpp"

namespace switchyard {
namespace {

using Vector = std::vector<float>;
using Make = std::function<SumSchedule(const LeafPartition&, Rank)>;

float leaf_value(std::int64_t leaf, std::int64_t element) {
  const auto words =
      philox({static_cast<std::uint32_t>(leaf), static_cast<std::uint32_t>(element), 0, 0}, {3, 7});
  return std::ldexp(unit_float(words[0]) - 0.5f, static_cast<int>(words[1] % 24));
}

// The value of a node by definition.
Vector node_vector(TreeNode node, std::int64_t leaves, std::int64_t n) {
  const std::int64_t last = std::min((node.index + 1) << node.level, leaves);
  Vector sums;
  for (std::int64_t i = 0; i < n; ++i) {
    std::vector<float> values;
    for (std::int64_t leaf = node.first_leaf(); leaf < last; ++leaf)
      values.push_back(leaf_value(leaf, i));
    sums.push_back(reference::tree_sum(values));
  }
  return sums;
}

// All processes of a job; each slot is a whole vector, NaN where nothing was ever put.
class SimulatedJob {
 public:
  SimulatedJob(const LeafPartition& partition, std::int64_t n, const Make& make)
      : n_(n), processes_(partition.processes()) {
    for (Rank p{0}; p.value < partition.processes(); ++p) {
      Process& process = processes_[static_cast<std::size_t>(p.value)];
      process.schedule = make(partition, p);
      for (const TreeNode node : cover(partition, p))
        process.slots.push_back(node_vector(node, partition.leaves(), n));
      EXPECT_EQ(std::ssize(process.slots), process.schedule.nodes);
      process.slots.resize(process.slots.size() + process.schedule.rooms.size(),
                           Vector(static_cast<std::size_t>(n), std::nanf("")));
    }
  }

  // Runs each process as far as it gets, again and again; fails where none gets further.
  void run() {
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t p = 0; p < processes_.size(); ++p) moved |= step(p);
    }
    for (const Process& process : processes_)
      ASSERT_EQ(process.round, process.schedule.rounds.size())
          << "the processes wait for each other";
    for (const auto& [pair, messages] : messages_)
      ASSERT_TRUE(messages.empty()) << "never received";
  }

  const Vector& result(std::size_t p) const { return processes_[p].slots[0]; }
  const SumSchedule& schedule(std::size_t p) const { return processes_[p].schedule; }

 private:
  struct Process {
    SumSchedule schedule;
    std::vector<Vector> slots;
    std::size_t round = 0;
    bool sent = false;
  };

  std::span<float> part(Process& process, int slot, const SumSchedule::Pieces& pieces) {
    const std::int64_t first = first_element(pieces.first, process.schedule.pieces, n_),
                       last = first_element(pieces.last, process.schedule.pieces, n_);
    if (slot >= process.schedule.nodes) {
      const SumSchedule::Pieces& room =
          process.schedule.rooms[static_cast<std::size_t>(slot - process.schedule.nodes)];
      EXPECT_LE(room.first, pieces.first);
      EXPECT_GE(room.last, pieces.last);
    }
    return std::span(process.slots[static_cast<std::size_t>(slot)])
        .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first));
  }

  // One round of process p, if all its messages have arrived. Returns whether anything happened.
  bool step(std::size_t p) {
    Process& process = processes_[p];
    if (process.round == process.schedule.rounds.size()) return false;
    const SumSchedule::Round& round = process.schedule.rounds[process.round];
    const bool sends = !std::exchange(process.sent, true);
    if (sends) {
      for (const SumSchedule::Message& send : round.sends) {
        const std::span<float> data = part(process, send.slot, send.pieces);
        messages_[{p, static_cast<std::size_t>(send.peer.value)}].emplace_back(data.begin(),
                                                                               data.end());
      }
    }
    std::map<std::size_t, std::size_t> wanted;
    for (const SumSchedule::Message& receive : round.receives)
      ++wanted[static_cast<std::size_t>(receive.peer.value)];
    for (const auto& [peer, count] : wanted)
      if (messages_[{peer, p}].size() < count) return sends;
    for (const SumSchedule::Message& receive : round.receives) {
      auto& queue = messages_[{static_cast<std::size_t>(receive.peer.value), p}];
      const std::span<float> data = part(process, receive.slot, receive.pieces);
      EXPECT_EQ(queue.front().size(), data.size());
      std::copy(queue.front().begin(), queue.front().end(), data.begin());
      queue.pop_front();
    }
    for (const SumSchedule::Addition& sum : round.additions) {
      const auto left = part(process, sum.left, sum.pieces),
                 right = part(process, sum.right, sum.pieces),
                 into = part(process, sum.into, sum.pieces);
      for (std::size_t i = 0; i < into.size(); ++i) into[i] = left[i] + right[i];
    }
    ++process.round;
    process.sent = false;
    return true;
  }

  std::int64_t n_;
  std::vector<Process> processes_;
  std::map<std::pair<std::size_t, std::size_t>, std::deque<Vector>> messages_;
};

void expect_the_tree_everywhere(const LeafPartition& partition, std::int64_t n, const Make& make) {
  SimulatedJob job(partition, n, make);
  job.run();
  const Vector expected =
      node_vector({reference::root_level(partition.leaves()), 0}, partition.leaves(), n);
  for (Rank p{0}; p.value < partition.processes(); ++p)
    ASSERT_EQ(std::memcmp(job.result(static_cast<std::size_t>(p.value)).data(), expected.data(),
                          expected.size() * sizeof(float)),
              0)
        << partition.leaves() << " leaves, process " << p.value << " of " << partition.processes();
}

TEST(TreeSchedule, GivesTheTreesBitsForAllLeavesAndProcesses) {
  for (std::int64_t leaves = 1; leaves <= 64; ++leaves)
    for (std::int64_t processes = 1; processes <= leaves; ++processes)
      expect_the_tree_everywhere({leaves, processes}, 3, tree_schedule);
}

TEST(DirectSchedule, GivesTheTreesBitsForAllLeavesAndProcesses) {
  for (std::int64_t leaves = 2; leaves <= 33; ++leaves)
    for (std::int64_t processes = 2; processes <= leaves; ++processes)
      for (const std::int64_t pieces : {std::int64_t{1}, (processes + 1) / 2, processes})
        expect_the_tree_everywhere({leaves, processes}, 100, [&](const auto& partition, Rank self) {
          return direct_schedule(partition, self, pieces);
        });
}

TEST(BalancedSchedule, GivesTheTreesBitsForAllLeavesAndProcesses) {
  for (std::int64_t leaves = 2; leaves <= 25; ++leaves)
    for (std::int64_t processes = 2; processes <= leaves; ++processes)
      for (const std::int64_t pieces : {std::int64_t{1}, std::int64_t{3}, processes})
        expect_the_tree_everywhere({leaves, processes}, 100, [&](const auto& partition, Rank self) {
          return balanced_schedule(partition, self, pieces);
        });
}

// Elements that the process that sends most sends, and the mean, as multiples of the vector.
struct Sent {
  double most = 0, mean = 0;
};
Sent sent_by(const LeafPartition& partition, const Make& make) {
  constexpr std::int64_t n = 48 << 16;
  Sent sent;
  for (Rank p{0}; p.value < partition.processes(); ++p) {
    const double share = static_cast<double>(traffic_of(make(partition, p), n).elements) / n;
    sent.most = std::max(sent.most, share);
    sent.mean += share / static_cast<double>(partition.processes());
  }
  return sent;
}

TEST(BalancedSchedule, LetsNoProcessSendMoreThanTheMeanOfTheTree) {
  const auto balanced = [](const LeafPartition& partition, Rank self) {
    return balanced_schedule(partition, self, 4 * partition.processes());
  };
  const Sent of_three = sent_by({16, 3}, balanced);
  EXPECT_DOUBLE_EQ(of_three.most, 2);
  EXPECT_DOUBLE_EQ(of_three.mean, 2);
  for (std::int64_t leaves = 3; leaves <= 40; ++leaves)
    for (std::int64_t processes = 2; processes <= std::min<std::int64_t>(leaves, 12); ++processes) {
      const auto direct = [&](const LeafPartition& partition, Rank self) {
        return direct_schedule(partition, self, processes);
      };
      const Sent now = sent_by({leaves, processes}, balanced),
                 before = sent_by({leaves, processes}, direct);
      EXPECT_LE(now.mean, before.mean * 1.03) << leaves << " on " << processes;
      EXPECT_LE(now.most, before.most * 1.0001) << leaves << " on " << processes;
    }
}

TEST(HalvingSchedule, GivesTheTreesBitsForPowersOfTwo) {
  for (std::int64_t leaves = 2; leaves <= 64; leaves *= 2)
    for (std::int64_t processes = 2; processes <= leaves; processes *= 2)
      for (const std::int64_t n : {16 * processes, std::int64_t{1000}, std::int64_t{5}})
        expect_the_tree_everywhere({leaves, processes}, n, halving_schedule);
}

TEST(HalvingSchedule, SendsTheLeastThatCanBeAndTakesHalfTheRoom) {
  const LeafPartition partition(1024, 1024);
  constexpr std::int64_t n = 1 << 20;
  for (const std::int64_t p : {0, 1, 511, 1023}) {
    const SumSchedule schedule = halving_schedule(partition, Rank{p});
    const SumTraffic traffic = traffic_of(schedule, n);
    EXPECT_EQ(traffic.messages, 2 * 10);
    EXPECT_EQ(traffic.elements, 2 * (n - n / 1024));
    ASSERT_EQ(schedule.rooms.size(), 1U);
    EXPECT_EQ(schedule.rooms[0].last - schedule.rooms[0].first, 512);
  }
}

TEST(HalvingSchedule, LeavesPiecesInBitReversedOrder) {
  const LeafPartition partition(8, 8);
  std::vector<std::int64_t> pieces;
  for (Rank p{0}; p.value < 8; ++p) pieces.push_back(halving_schedule(partition, p).own.first);
  EXPECT_EQ(pieces, (std::vector<std::int64_t>{0, 4, 2, 6, 1, 5, 3, 7}));
}

TEST(ScheduleSum, GoesByTheTreeForShortVectors) {
  for (const std::int64_t processes : {2, 3, 4, 1000, 1024}) {
    const SumTraffic first = traffic_of(schedule_sum({1024, processes}, Rank{0}, 1024), 256);
    EXPECT_LE(first.messages, std::bit_width(static_cast<std::uint64_t>(processes)));
  }
}

// What a process keeps for a sum must not grow with the job.
TEST(ScheduleSum, IsShortOnManyProcesses) {
  const auto size = [](std::int64_t processes) {
    const SumSchedule schedule = schedule_sum({processes, processes}, Rank{processes / 3}, 1 << 26);
    std::size_t entries = schedule.rooms.size();
    for (const SumSchedule::Round& round : schedule.rounds)
      entries += round.sends.size() + round.receives.size() + round.additions.size();
    return entries;
  };
  EXPECT_LE(size(65536), 4 * size(16));
}

}  // namespace
}  // namespace switchyard
