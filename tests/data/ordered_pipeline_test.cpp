#include "data/ordered_pipeline.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>

namespace switchyard {
namespace {

// Sequences of the given lengths, whose items are named "sequence.item".
class OrderedPipelines : public testing::TestWithParam<std::size_t> {
 protected:
  using Stages = PipelineStages<std::string, std::string>;

  OrderedPipelines() {
    stages_.read = [this](std::size_t s) { return read(s); };
    stages_.work = [this](std::string item, std::size_t thread) {
      EXPECT_LT(thread, GetParam());
      pause(item);
      return item + "!";
    };
    stages_.consume = [this](const std::string& result) {
      consumed_.push_back(result);
      --in_flight_;
    };
  }
  void run(std::vector<int> lengths) {
    lengths_ = std::move(lengths);
    at_ = std::vector<std::atomic<int>>(lengths_.size());
    consumed_.clear();
    OrderedPipeline(lengths_.size(), GetParam(), stages_).run();
  }
  std::optional<std::string> read(std::size_t s) {
    const int item = at_[s]++;
    pause(name(s, item));
    if (item == lengths_[s]) return std::nullopt;
    const int now = ++in_flight_;
    for (int most = most_in_flight_; now > most;)
      if (most_in_flight_.compare_exchange_weak(most, now)) break;
    return name(s, item);
  }
  static std::string name(std::size_t s, int item) {
    return std::to_string(s) + "." + std::to_string(item);
  }
  // Waits for a time that differs between items, so that threads finish in varying order.
  static void pause(const std::string& item) {
    std::this_thread::sleep_for(std::chrono::microseconds(std::hash<std::string>()(item) % 300));
  }
  std::vector<std::string> expected() const {
    std::vector<std::string> names;
    for (std::size_t s = 0; s < lengths_.size(); ++s)
      for (int i = 0; i < lengths_[s]; ++i) names.push_back(name(s, i) + "!");
    return names;
  }
  // What is consumed before item `last`, which fails.
  std::vector<std::string> expected_before(const std::string& last) const {
    auto names = expected();
    names.erase(std::find(names.begin(), names.end(), last + "!"), names.end());
    return names;
  }
  void expect_failure(const std::string& at) {
    try {
      run({5, 0, 60, 3, 40});
      ADD_FAILURE() << "no failure came out";
    } catch (const std::runtime_error& failure) {
      EXPECT_EQ(failure.what(), at);
    }
  }

  Stages stages_;
  std::vector<int> lengths_;
  std::vector<std::atomic<int>> at_;
  std::atomic<int> in_flight_ = 0, most_in_flight_ = 0;
  std::vector<std::string> consumed_;
};

TEST_P(OrderedPipelines, HandOverEveryItemInOrder) {
  for (const auto& lengths :
       {std::vector<int>{}, {0}, {1}, {0, 0, 0}, {200}, {3, 0, 100, 1, 0, 50}}) {
    run(lengths);
    EXPECT_EQ(consumed_, expected());
  }
  run(std::vector<int>(300, 1));
  EXPECT_EQ(consumed_, expected());
}

TEST_P(OrderedPipelines, HoldABoundedNumberOfItemsHoweverSlowOneIs) {
  const auto bound = static_cast<int>(8 * GetParam());
  stages_.work = [](std::string item, std::size_t) {
    if (item == "0.0") std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return item + "!";
  };
  run({1, 200, 200});
  EXPECT_EQ(consumed_, expected());
  EXPECT_LE(most_in_flight_, bound);
  run({200, 200});
  EXPECT_EQ(consumed_, expected());
  EXPECT_LE(most_in_flight_, bound);
}

TEST_P(OrderedPipelines, AFailedReadComesOutAfterWhatWasBeforeIt) {
  stages_.read = [this](std::size_t s) {
    if (s == 2 && at_[s] == 30) throw std::runtime_error("2.30");
    if (s == 4) throw std::runtime_error("4.0");
    return read(s);
  };
  expect_failure("2.30");
  EXPECT_EQ(consumed_, expected_before("2.30"));
}

TEST_P(OrderedPipelines, TheFirstOfManyFailuresInOrderComesOut) {
  stages_.work = [](std::string item, std::size_t) {
    pause(item);
    if (item >= "2.4") throw std::runtime_error(item);
    return item + "!";
  };
  expect_failure("2.4");
  EXPECT_EQ(consumed_, expected_before("2.4"));
}

TEST_P(OrderedPipelines, AFailedConsumerEndsIt) {
  stages_.consume = [this](const std::string& result) {
    if (result == "2.7!") throw std::runtime_error("full");
    consumed_.push_back(result);
  };
  expect_failure("full");
  EXPECT_EQ(consumed_, expected_before("2.7"));
}

INSTANTIATE_TEST_SUITE_P(Threads, OrderedPipelines, testing::Values(1, 2, 3, 7));

}  // namespace
}  // namespace switchyard
