#include "report/step_line.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace switchyard {
namespace {

StepRecord sparse_record() {
  StepRecord record;
  record.set_step(120);
  record.set_loss(3.4123);
  record.set_aux(1.02);
  record.set_dropped_fraction(0.0178);
  record.set_load_imbalance(1.312);
  record.set_norm(0.871);
  record.set_lr(9.8e-3);
  return record;
}

constexpr Pace pace{.steps = 1000,
                    .step_ms = 412.3,
                    .a2a_ms = 61.2,
                    .tokens_per_second = 19900,
                    .seconds_left = 372};

TEST(StepLine, ShowsTheMixtureOfExperts) {
  EXPECT_EQ(step_line(sparse_record(), pace),
            "step   120/1000 | loss 3.412 aux 1.02 | drop 1.8% load 1.31x | norm 0.87 lr 9.8e-03 | "
            "412 ms (exchange 61) | 19.9 k tok/s | 0:06:12 left");
}

TEST(StepLine, LeavesThemOutOfADenseModel) {
  StepRecord record = sparse_record();
  record.clear_aux();
  EXPECT_EQ(
      step_line(record, pace),
      "step   120/1000 | loss 3.412 | norm 0.87 lr 9.8e-03 | 412 ms | 19.9 k tok/s | 0:06:12 left");
}

TEST(StepLine, KeepsItsColumnsWhateverTheNumbers) {
  StepRecord record = sparse_record();
  const std::size_t length = step_line(record, pace).size();
  record.set_step(1);
  record.set_loss(10.37);
  record.set_dropped_fraction(0.36);
  record.set_load_imbalance(12.4);
  record.set_norm(431.2);
  Pace slow = pace;
  slow.step_ms = 9;
  slow.a2a_ms = 0.2;
  slow.tokens_per_second = 512;
  slow.seconds_left = std::nullopt;
  EXPECT_EQ(step_line(record, slow).size(), length) << step_line(record, slow);
  record.set_loss(std::nan(""));
  EXPECT_EQ(step_line(record, slow).size(), length) << step_line(record, slow);
}

}  // namespace
}  // namespace switchyard
