#include "record/tensorboard.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

#include "support/event_reader.hpp"
#include "support/fault_env.hpp"
#include "support/scratch_directory.hpp"

namespace switchyard::tensorboard_test {
namespace {

using test::EventHistogram;
using test::EventValue;
using test::FaultEnv;
using test::HyperParameter;
using test::read_events;
using test::ReadEvent;
using test::ReadEvents;
using testing::ElementsAre;
using testing::HasSubstr;
using Steps = std::vector<std::uint64_t>;

std::string hex(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) {
    constexpr const char* digits = "0123456789abcdef";
    text += digits[static_cast<std::uint8_t>(byte) >> 4];
    text += digits[byte & 15];
  }
  return text;
}

// The values as TensorBoard would read them.
std::map<std::string, EventValue> values_of(const tensorboard::Summary& summary) {
  tensorboard::Event event;
  *event.mutable_summary() = summary;
  const ReadEvents read = read_events(tf_record(event.SerializeAsString()));
  std::map<std::string, EventValue> values;
  for (const EventValue& value : read.events.at(0).values)
    EXPECT_TRUE(values.emplace(value.tag, value).second) << value.tag << " stands twice";
  return values;
}

StepRecord record_of(std::int64_t step) {
  StepRecord record;
  record.set_step(step);
  record.set_loss(1.5 / static_cast<double>(step));
  record.set_dead_experts(2);
  StepRecord::LayerTokens& load = *record.add_tokens_per_expert();
  load.set_layer("encoder.block.1");
  for (const std::int64_t tokens : {0L, 7 * step, 0L, 3L, 0L}) load.add_tokens(tokens);
  StepRecord::LayerRouting& layer = *record.add_layers();
  layer.set_layer("encoder.block.1");
  layer.set_z_loss(0.25);
  StepRecord::LayerExchange& exchange = *record.add_layer_exchanges();
  exchange.set_layer("encoder.block.1");
  exchange.set_a2a_bytes(1 << 20);
  return record;
}

TEST(TfRecord, HasTheBytesThatOthersWrite) {
  tensorboard::Event version;
  version.set_wall_time(1);
  version.set_file_version("brain.Event:2");
  EXPECT_EQ(hex(tf_record(version.SerializeAsString())),
            "1800000000000000a37f4b2209000000000000f03f1a0d627261696e2e4576656e743a3286bf577a");

  tensorboard::Event scalar;
  scalar.set_wall_time(1);
  scalar.set_step(7);
  tensorboard::Summary::Value& value = *scalar.mutable_summary()->add_value();
  value.set_tag("loss");
  value.set_simple_value(2.5);
  EXPECT_EQ(hex(tf_record(scalar.SerializeAsString())),
            "1a00000000000000129bd82d09000000000000f03f10072a0d0a0b0a046c6f73731500002040"
            "87ccc43d");
}

TEST(StepSummary, HasEveryNumberOfTheRecordUnderItsNameInTheJson) {
  StepRecord record = record_of(3);
  record.set_eval_loss(std::numeric_limits<double>::quiet_NaN());
  auto values = values_of(summary_of(record));
  EXPECT_TRUE(std::isnan(*values.at("eval/loss").scalar));
  values.erase("eval/loss");
  std::map<std::string, float> scalars;
  for (const auto& [tag, value] : values)
    if (value.scalar) scalars[tag] = *value.scalar;
  EXPECT_EQ(scalars,
            (std::map<std::string, float>{{"loss", 0.5f},
                                          {"moe/dead_experts", 2},
                                          {"moe/layers/encoder.block.1/z_loss", 0.25f},
                                          {"time/a2a_layers/encoder.block.1/a2a_bytes", 1 << 20}}));
}

// A histogram as a reader shows it: empty outer buckets are dropped, and min and max replace the
// edges.
std::vector<std::vector<double>> buckets_shown(const EventHistogram& histogram) {
  std::size_t first = 0, last = histogram.counts.size();
  while (first < last && histogram.counts[first] == 0) ++first;
  while (last > first && histogram.counts[last - 1] == 0) --last;
  std::vector<std::vector<double>> shown;
  for (std::size_t i = first; i < last; ++i) {
    shown.push_back({i == first ? histogram.min : histogram.limits[i - 1],
                     i + 1 == last ? histogram.max : histogram.limits[i], histogram.counts[i]});
  }
  return shown;
}

TEST(StepSummary, ShowsEachExpertsTokensBetweenItsNumberAndTheNext) {
  std::mt19937 numbers(1);
  for (int repeat = 0; repeat < 200; ++repeat) {
    StepRecord record;
    StepRecord::LayerTokens& load = *record.add_tokens_per_expert();
    load.set_layer("decoder.block.3");
    const auto experts = 1 + static_cast<int>(numbers() % 9);
    double num = 0, sum = 0, squares = 0;
    for (int e = 0; e < experts; ++e) {
      load.add_tokens(numbers() % 3 == 0 ? numbers() % 100000 : 0);
      const auto tokens = static_cast<double>(load.tokens(e));
      num += tokens, sum += e * tokens, squares += e * e * tokens;
    }
    const auto values = values_of(summary_of(record));
    const EventHistogram histogram = *values.at("moe/tokens_per_expert/decoder.block.3").histogram;
    EXPECT_EQ(std::tuple(histogram.num, histogram.sum, histogram.sum_squares),
              std::tuple(num, sum, squares));
    double shown = 0;
    for (const auto& bucket : buckets_shown(histogram)) {
      EXPECT_EQ(bucket[1], bucket[0] + 1);
      EXPECT_EQ(bucket[2], static_cast<double>(load.tokens(static_cast<int>(bucket[0]))));
      shown += bucket[2];
    }
    EXPECT_EQ(shown, num);
  }
}

TEST(ConfigurationSummary, IsTheTextAndEachOptionWithItsType) {
  const std::string text =
      "moe { num_experts: 4 routing: TOP2 dropless: true }\n"
      "train { seed: 7 max_minutes: 1.5 }\ndata { train: \"here\" }\n";
  const auto values = values_of(summary_of_configuration(text));
  ASSERT_EQ(values.size(), 2U);
  const EventValue& page = values.at("config/text_summary");
  EXPECT_EQ(page.plugin, "text");
  EXPECT_EQ(std::tuple(page.data_class, page.tensor_type), std::tuple(2U, 7U));
  EXPECT_TRUE(page.dims.empty());
  EXPECT_THAT(page.texts, ElementsAre("```\n" + text + "```\n"));

  const EventValue& table = values.at("_hparams_/session_start_info");
  EXPECT_EQ(table.plugin, "hparams");
  EXPECT_EQ(std::tuple(table.data_class, table.tensor_type), std::tuple(2U, 1U));
  EXPECT_THAT(table.dims, ElementsAre(0U));
  EXPECT_EQ(test::read_hyper_parameters(table.content),
            (std::map<std::string, HyperParameter>{{"moe.num_experts", 4.0},
                                                   {"moe.routing", "TOP2"},
                                                   {"moe.dropless", true},
                                                   {"train.seed", 7.0},
                                                   {"train.max_minutes", 1.5},
                                                   {"data.train", "here"}}));
}

class TensorBoardFiles : public testing::Test {
 protected:
  TensorBoard start(std::int64_t step) { return start(step, env_); }
  TensorBoard start(std::int64_t step, Env& env) {
    return {env,
            log_,
            {.directory = run_, .host = "here", .config_text = "train { steps: 9 }", .step = step}};
  }
  void take_steps(std::int64_t from, std::int64_t to) {
    TensorBoard board = start(from);
    for (std::int64_t step = from + 1; step <= to; ++step) board.append(record_of(step));
  }

  std::vector<std::string> paths() const { return test::event_file_paths(run_); }
  std::string bytes(const std::string& path) const { return read_file(env_, path, 1 << 20); }
  ReadEvents file(std::size_t index) const { return read_events(bytes(paths().at(index))); }
  static void replace(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }

  // The events with a loss, over all files in reading order; each file must be complete.
  Steps steps() const {
    Steps steps;
    for (const std::string& path : paths()) {
      const ReadEvents read = read_events(bytes(path));
      EXPECT_EQ(read.rest, "") << path;
      for (const ReadEvent& event : read.events)
        if (!event.values.empty() && event.values[0].tag == "loss") steps.push_back(event.step);
    }
    return steps;
  }

  test::ScratchDirectory directory_;
  const std::string& run_ = directory_.path();
  PosixEnv env_;
  std::ostringstream console_;
  Log log_{&console_};
};

TEST_F(TensorBoardFiles, BeginWithTheVersionTheStartAndTheConfiguration) {
  take_steps(0, 2);
  ASSERT_EQ(paths().size(), 1U);
  EXPECT_THAT(paths()[0],
              testing::MatchesRegex(".*/events\\.out\\.tfevents\\.[0-9]{10}\\.here\\.[0-9]+\\.0"));
  const ReadEvents read = file(0);
  ASSERT_EQ(read.events.size(), 5U);
  EXPECT_EQ(read.rest, "");
  EXPECT_EQ(read.events[0].file_version, "brain.Event:2");
  EXPECT_EQ(std::tuple(read.events[1].session_status, read.events[1].step), std::tuple(1U, 1U));
  EXPECT_EQ(read.events[2].values.at(0).tag, "config/text_summary");
  EXPECT_EQ(read.events[2].step, 0U);
  for (std::size_t i = 1; i < read.events.size(); ++i)
    EXPECT_GE(read.events[i].wall_time, read.events[i - 1].wall_time);
  EXPECT_EQ(steps(), (Steps{1, 2}));
}

TEST_F(TensorBoardFiles, HaveEachStepOnceWhereverTheRunGoesOnFrom) {
  take_steps(0, 5);
  const ReadEvents first = file(0);
  take_steps(3, 6);
  EXPECT_EQ(steps(), (Steps{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(std::tuple(file(1).events[1].session_status, file(1).events[1].step),
            std::tuple(1U, 4U));
  take_steps(1, 3);
  EXPECT_EQ(steps(), (Steps{1, 2, 3}));
  const ReadEvents cut = file(0);
  EXPECT_TRUE(std::equal(cut.records.begin(), cut.records.end(), first.records.begin()));
}

TEST_F(TensorBoardFiles, SortInTheOrderOfStarts) {
  replace(run_ + "/events.out.tfevents.4000000000.there.1.0", "");
  for (std::int64_t step = 0; step < 3; ++step) take_steps(step, step + 1);
  EXPECT_EQ(steps(), (Steps{1, 2, 3}));
  EXPECT_THAT(paths().back(), HasSubstr("tfevents.4000000003."));
}

TEST_F(TensorBoardFiles, LoseATornRecordAtAnyByteAndNoOther) {
  take_steps(0, 3);
  const std::string path = paths()[0], whole = bytes(path);
  const std::size_t kept = whole.size() - file(0).records.back().size();
  for (std::size_t size = kept; size <= whole.size(); ++size) {
    replace(path, whole.substr(0, size));
    take_steps(3, 4);
    EXPECT_EQ(bytes(path), whole.substr(0, size < whole.size() ? kept : size));
    EXPECT_EQ(steps(), size < whole.size() ? (Steps{1, 2, 4}) : (Steps{1, 2, 3, 4}));
    env_.remove_file(paths().at(1));
  }
}

TEST_F(TensorBoardFiles, LoseARecordWithAnyByteDamaged) {
  take_steps(0, 3);
  const std::string path = paths()[0], whole = bytes(path);
  const std::size_t kept = whole.size() - file(0).records.back().size();
  for (std::size_t at = kept; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x80);
    replace(path, damaged);
    start(3);
    EXPECT_EQ(bytes(path), whole.substr(0, kept)) << "byte " << at;
    env_.remove_file(paths().at(1));
  }
}

TEST_F(TensorBoardFiles, GetWhatAStepLearnsLater) {
  take_steps(0, 2);
  StepRecord evaluated = record_of(2);
  evaluated.set_eval_loss(0.75);
  {
    TensorBoard board = start(2);
    board.append_added(record_of(2), evaluated);
  }
  take_steps(2, 3);  // a kill before the next checkpoint
  const ReadEvent late = file(1).events.back();
  EXPECT_EQ(late.step, 2U);
  ASSERT_EQ(late.values.size(), 1U);
  EXPECT_EQ(late.values[0].tag, "eval/loss");
  EXPECT_EQ(late.values[0].scalar, 0.75f);
  EXPECT_EQ(steps(), (Steps{1, 2, 3}));
}

// Whichever write fails, the run gets one warning, and the files keep all complete records.
TEST_F(TensorBoardFiles, CostAWarningAndNoMoreWhereTheDiskFails) {
  for (int fail_at = 0;; ++fail_at) {
    for (const std::string& path : paths()) env_.remove_file(path);
    take_steps(0, 3);
    FaultEnv faulty(fail_at);
    const int before = log_.warnings();
    {
      TensorBoard board = start(2, faulty);
      for (std::int64_t step = 3; step <= 5; ++step) board.append(record_of(step));
      board.sync();
    }
    if (!faulty.reached()) {
      EXPECT_GT(fail_at, 7) << "cut, create, 6 appends, sync";
      break;
    }
    EXPECT_EQ(log_.warnings(), before + 1);
    EXPECT_THAT(console_.str(), HasSubstr("injected fault"));
    EXPECT_EQ(std::ssize(faulty.operations()), fail_at + 1) << "no write after the fault";
    take_steps(2, 4);
    EXPECT_EQ(steps(), (Steps{1, 2, 3, 4}));
  }
}

}  // namespace
}  // namespace switchyard::tensorboard_test
