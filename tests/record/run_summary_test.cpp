#include "record/run_summary.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.hpp"
#include "record/metrics.hpp"

namespace switchyard::run_summary_test {
namespace {

constexpr std::int64_t positions = 157;  // of a step
constexpr std::int64_t eval_interval = 3;

// A step of a run with experts. `attempt`: a repeated step takes a different time and, in these
// tests, also has different figures, so that a test can tell which record counts.
StepRecord record_of(std::int64_t step, int attempt = 1) {
  StepRecord record;
  record.set_step(step);
  record.set_seconds(0.5 * static_cast<double>(step));
  record.set_step_ms(static_cast<double>(100 * attempt + step));
  record.set_tokens_per_second(1000 * positions / record.step_ms());
  record.set_loss(static_cast<double>(100 * attempt - step));
  record.set_dropped_fraction(0.01 * static_cast<double>(step * attempt));
  record.set_load_imbalance(static_cast<double>(step * attempt));
  record.set_peak_memory(1000 - step);
  record.add_tokens_per_expert()->add_tokens(7);
  if (step % eval_interval == 0) {
    record.set_eval_samples(5);
    record.set_eval_loss(10.0 * attempt - static_cast<double>(step));
  }
  return record;
}

std::string line(const StepRecord& record) { return to_json(record) + "\n"; }

std::string lines(std::int64_t first, std::int64_t last, int attempt = 1) {
  std::string text;
  for (std::int64_t step = first; step <= last; ++step) text += line(record_of(step, attempt));
  return text;
}

RunSummary summary_of(const std::string& text) {
  return summarize(read_records(text, "metrics.jsonl"));
}

TEST(RunSummary, OfAResumedRunIsThatOfAnUninterruptedOne) {
  constexpr std::int64_t steps = 8;
  const RunSummary uninterrupted = summary_of(lines(1, steps));
  for (std::int64_t killed = 1; killed <= steps; ++killed) {
    for (std::int64_t saved = 0; saved <= killed; ++saved) {
      const std::string text =
          lines(1, saved) + lines(saved + 1, killed, 2) + lines(saved + 1, steps);
      EXPECT_EQ(summary_of(text), uninterrupted) << "killed at " << killed << ", saved " << saved;
    }
  }
}

TEST(RunSummary, OfATornLastLineIsThatOfTheLinesBefore) {
  const std::string whole = lines(1, 6), kept = lines(1, 5);
  for (std::size_t size = kept.size(); size < whole.size(); ++size)
    EXPECT_EQ(summary_of(whole.substr(0, size)), summary_of(kept)) << size;
  EXPECT_NE(summary_of(whole), summary_of(kept));
}

TEST(RunSummary, CountsTheStepsTakenTheirTokensAndTheirTime) {
  for (const std::int64_t steps : {1, 2, 7}) {
    const RunSummary summary = summary_of(lines(1, steps));
    EXPECT_EQ(summary.steps, steps);
    EXPECT_EQ(summary.tokens, steps * positions);
    EXPECT_DOUBLE_EQ(summary.seconds, 0.5 * static_cast<double>(steps));
  }
}

TEST(RunSummary, TakesTheMedianSpeedWithoutTheFirstStep) {
  const auto median_of = [](std::vector<double> speeds) {
    std::string text = line(record_of(1));
    for (std::int64_t step = 2; const double speed : speeds) {
      StepRecord record = record_of(step++);
      record.set_tokens_per_second(speed);
      text += line(record);
    }
    return summary_of(text).tokens_per_second;
  };
  EXPECT_EQ(median_of({}), std::nullopt) << "one step says nothing of those that follow";
  EXPECT_EQ(median_of({30}), 30);
  EXPECT_EQ(median_of({30, 10, 1e9}), 30);
  EXPECT_EQ(median_of({40, 10, 1e-9, 30}), 20);
}

TEST(RunSummary, HasNoFiguresForWhatWasNotMeasured) {
  EXPECT_EQ(summary_of(""), RunSummary());
  StepRecord dense = record_of(1);
  dense.clear_dropped_fraction();
  dense.clear_load_imbalance();
  const RunSummary summary = summary_of(line(dense));
  EXPECT_FALSE(summary.dropped_fraction);
  EXPECT_FALSE(summary.load_imbalance);
  EXPECT_FALSE(summary.last);
  EXPECT_FALSE(summary.best);
  EXPECT_FALSE(summary.diverged_at);
}

TEST(RunSummary, AveragesDropsAndImbalanceOverAllSteps) {
  EXPECT_DOUBLE_EQ(summary_of(lines(1, 5)).dropped_fraction.value(), 0.03);
  EXPECT_DOUBLE_EQ(summary_of(lines(1, 5)).load_imbalance.value(), 3);
}

TEST(RunSummary, AveragesTheLossOfTheLastFifthOfTheSteps) {
  EXPECT_DOUBLE_EQ(summary_of(lines(1, 1)).late_loss.value(), 99);
  EXPECT_DOUBLE_EQ(summary_of(lines(1, 5)).late_loss.value(), 95);
  EXPECT_DOUBLE_EQ(summary_of(lines(1, 15)).late_loss.value(), (87 + 86 + 85) / 3.0);
  EXPECT_FALSE(summary_of("").late_loss);
}

TEST(RunSummary, TakesTheMostMemoryOfAllStarts) {
  EXPECT_EQ(summary_of(lines(1, 5)).peak_memory, 999);
}

TEST(RunSummary, FindsTheNewestEvaluationAndTheFirstOfTheBest) {
  std::string text;
  for (std::int64_t step = 1; const double loss : {5.0, 3.0, 4.0, 3.0, 3.5}) {
    StepRecord record = record_of(step++);
    record.set_eval_samples(5);
    record.set_eval_loss(loss);
    text += line(record);
  }
  const RunSummary summary = summary_of(text + line(record_of(7)));
  EXPECT_EQ(summary.last, (ValidationFigure{5, 3.5}));
  EXPECT_EQ(summary.best, (ValidationFigure{2, 3.0}));
}

TEST(RunSummary, ShowsAnEvaluationThatWasNotFiniteAndNeverCallsItTheBest) {
  StepRecord broken = record_of(6);
  broken.set_eval_loss(std::numeric_limits<double>::quiet_NaN());
  const std::string text = lines(4, 5) + line(broken);
  EXPECT_TRUE(std::isnan(summary_of(text).last->loss));
  EXPECT_EQ(summary_of(lines(1, 3) + text).best, (ValidationFigure{3, 7.0}));
  EXPECT_EQ(summary_of(text + lines(7, 9)).best, (ValidationFigure{9, 1.0}));
}

// As the trainer writes the record of a diverged step: with losses, without times.
TEST(RunSummary, DoesNotCountTheStepThatDivergedUntilItIsTakenAgain) {
  StepRecord diverged;
  diverged.set_step(5);
  diverged.set_loss(std::numeric_limits<double>::infinity());
  diverged.set_dropped_fraction(1);
  RunSummary expected = summary_of(lines(1, 4));
  expected.diverged_at = 5;
  const std::string text = lines(1, 4) + line(diverged);
  EXPECT_EQ(summary_of(text), expected);
  EXPECT_EQ(summary_of(text + lines(5, 6)), summary_of(lines(1, 6)));
}

TEST(RunSummary, RefusesADamagedLineByItsNumber) {
  for (const std::string damaged : {"", "{\"step\":", "{\"loss\":2}", "\xff\xfe", "[1]"}) {
    for (std::int64_t before = 0; before < 3; ++before) {
      const std::string text = lines(1, before) + damaged + "\n" + lines(before + 1, 3);
      try {
        read_records(text, "runs/a/metrics.jsonl");
        ADD_FAILURE() << "'" << damaged << "' was taken for a record";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::damaged_data);
        EXPECT_THAT(error.what(), testing::StartsWith(
                                      "runs/a/metrics.jsonl:" + std::to_string(before + 1) + " "));
      }
    }
  }
}

}  // namespace
}  // namespace switchyard::run_summary_test
