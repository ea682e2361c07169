// The event files that the program writes: they are complete, and agree with metrics.jsonl.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>

#include "support/event_reader.hpp"
#include "support/program.hpp"
#include "support/synthetic_text.hpp"

namespace switchyard::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr const char* options =
    " model.d_model=8 model.d_ff=16 model.num_heads=2 model.num_layers=2 moe.num_experts=3"
    " parallel.virtual_ranks=3 data.input_length=24 train.batch_size=6 train.eval_interval=4"
    " train.eval_samples=5 checkpoint.interval=2 checkpoint.keep_last=9 ";

class TensorBoardOfTheProgram : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory = std::make_unique<TemporaryDirectory>();
    write_text(path("text.txt"), synthetic_text(200, 20));
    const Outcome prepared = run_program("prepare --lines --vocab-size 200 --input " +
                                         path("text.txt") + " --output " + path("data"));
    ASSERT_EQ(prepared.exit_code, 0) << prepared.output;
  }
  static void TearDownTestSuite() { directory.reset(); }

  static std::string path(const std::string& name) { return directory->path() + "/" + name; }

  static void train(const std::string& run, const std::string& more, int processes,
                    int exit_code = 0) {
    const Outcome outcome = run_program(
        "train --set data.train=" + path("data") + options + more + " --output " + path(run),
        processes);
    ASSERT_EQ(outcome.exit_code, exit_code) << outcome.output;
  }

  // The events in all files, each of which must be complete.
  static std::vector<ReadEvent> events(const std::string& run) {
    std::vector<ReadEvent> all;
    for (const std::string& file : event_file_paths(path(run))) {
      ReadEvents read = read_events(read_text(file));
      EXPECT_EQ(read.rest, "") << file;
      std::ranges::move(read.events, std::back_inserter(all));
    }
    return all;
  }

  static std::unique_ptr<TemporaryDirectory> directory;
};

std::unique_ptr<TemporaryDirectory> TensorBoardOfTheProgram::directory;

std::vector<std::uint64_t> starts(const std::vector<ReadEvent>& events) {
  std::vector<std::uint64_t> steps;
  for (const ReadEvent& event : events)
    if (event.session_status == 1) steps.push_back(event.step);
  return steps;
}

using Scalars = std::map<std::string, float>;

// The scalars of each step over all starts; a duplicate tag is a failure.
std::map<std::int64_t, Scalars> scalars_of_steps(const std::vector<ReadEvent>& events) {
  std::map<std::int64_t, Scalars> steps;
  for (const ReadEvent& event : events) {
    const auto step = static_cast<std::int64_t>(event.step);
    for (const EventValue& value : event.values) {
      if (!value.scalar) continue;
      EXPECT_TRUE(steps[step].emplace(value.tag, *value.scalar).second)
          << value.tag << " of step " << step << " stands twice";
    }
  }
  return steps;
}

void add_numbers(const nlohmann::json& object, const std::string& prefix, Scalars& scalars) {
  for (const auto& [key, value] : object.items())
    if (value.is_number() && prefix + key != "step")
      scalars[prefix + key] = static_cast<float>(value.get<double>());
}

std::map<std::int64_t, Scalars> scalars_of_metrics(const std::string& run) {
  std::map<std::int64_t, Scalars> steps;
  for (const nlohmann::json& record : read_metrics(run)) {
    Scalars& scalars = steps[record["step"].get<std::int64_t>()];
    add_numbers(record, "", scalars);
    for (const std::string list : {"moe/layers", "time/a2a_layers"})
      for (const nlohmann::json& layer : record[list])
        add_numbers(layer, list + "/" + layer["layer"].get<std::string>() + "/", scalars);
  }
  return steps;
}

void expect_histograms_of_metrics(const std::vector<ReadEvent>& events, const std::string& run) {
  std::map<std::pair<std::int64_t, std::string>, std::vector<double>> shown, expected;
  for (const ReadEvent& event : events)
    for (const EventValue& value : event.values)
      if (value.histogram)
        shown[{static_cast<std::int64_t>(event.step), value.tag}] = value.histogram->counts;
  for (const nlohmann::json& record : read_metrics(run))
    for (const nlohmann::json& layer : record["moe/tokens_per_expert"])
      expected[{record["step"], "moe/tokens_per_expert/" + layer["layer"].get<std::string>()}] =
          layer["tokens"].get<std::vector<double>>();
  EXPECT_EQ(shown, expected);
  EXPECT_FALSE(shown.empty());
}

TEST_F(TensorBoardOfTheProgram, SaysWhatTheMetricsSayAfterAStopAndAResumeElsewhere) {
  train("run", "train.steps=3", 2);
  train("run", "train.steps=6", 3);
  const std::vector<ReadEvent> all = events("run");
  EXPECT_EQ(event_file_paths(path("run")).size(), 2U);
  EXPECT_THAT(starts(all), ElementsAre(1U, 4U));
  const auto steps = scalars_of_steps(all);
  EXPECT_EQ(steps.size(), 6U);
  EXPECT_EQ(steps, scalars_of_metrics(path("run")));
  EXPECT_TRUE(steps.at(6).contains("eval/neg_log_perplexity"));
  expect_histograms_of_metrics(all, path("run"));

  train("alone", "train.steps=6", 0);
  for (const auto& [step, scalars] : scalars_of_steps(events("alone")))
    for (const char* tag : {"loss", "norm", "moe/load_imbalance"})
      EXPECT_EQ(scalars.at(tag), steps.at(step).at(tag)) << tag << " of step " << step;
}

TEST_F(TensorBoardOfTheProgram, HasEachStepOnceAfterAKill) {
  train("killed", "train.steps=6", 2);
  for (const char* step : {"6", "4"})  // as if killed in step 5, in the middle of a record
    std::filesystem::remove_all(path("killed/checkpoints/step-0000000" + std::string(step)));
  const std::string file = event_file_paths(path("killed")).at(0);
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 100);
  train("killed", "train.steps=6", 1);
  const std::vector<ReadEvent> all = events("killed");
  EXPECT_THAT(starts(all), ElementsAre(1U, 3U));
  EXPECT_EQ(scalars_of_steps(all), scalars_of_metrics(path("killed")));
}

TEST_F(TensorBoardOfTheProgram, SaysOnceWhatWasEvaluatedAfterAStop) {
  constexpr int stopped = 75;
  train("stopped", "train.steps=2 train.eval_interval=1 train.max_minutes=1e-9", 2, stopped);
  EXPECT_FALSE(scalars_of_steps(events("stopped")).at(1).contains("eval/loss"));
  train("stopped", "train.steps=2 train.eval_interval=1", 1);
  const auto steps = scalars_of_steps(events("stopped"));
  EXPECT_TRUE(steps.at(1).contains("eval/loss"));
  EXPECT_EQ(steps, scalars_of_metrics(path("stopped")));
}

TEST_F(TensorBoardOfTheProgram, IsNotToldWhereItIsNotWanted) {
  train("without", "train.steps=2 train.tensorboard=false", 0);
  EXPECT_THAT(event_file_paths(path("without")), IsEmpty());
}

}  // namespace
}  // namespace switchyard::test
