// The evidence that a run has saved a checkpoint, in run directories of this version and of earlier
// ones.
#include "record/saved_record.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/scratch_directory.hpp"

namespace switchyard {
namespace {

using testing::HasSubstr;
using testing::Optional;

class SavedRecordTest : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    write_file_atomically(env_, path, text);
  }
  std::optional<std::string> evidence() const { return evidence_of_saving(env_, run_); }

  test::ScratchDirectory directory_;
  PosixEnv env_;
  const RunPaths run_{directory_.path()};
};

TEST_F(SavedRecordTest, RemembersTheNewestCheckpoint) {
  EXPECT_EQ(evidence(), std::nullopt);
  remember_nothing_saved(env_, run_);
  EXPECT_EQ(evidence(), std::nullopt);
  EXPECT_EQ(remembered_step(env_, run_), std::nullopt);
  remember_saved(env_, run_, 120);
  EXPECT_EQ(remembered_step(env_, run_), 120);
  EXPECT_THAT(evidence(), Optional(HasSubstr("saved.txt names step-00000120")));
  remember_nothing_saved(env_, run_);
  EXPECT_EQ(evidence(), std::nullopt);
}

TEST_F(SavedRecordTest, TakesWhatItCannotReadForASign) {
  write(run_.saved(), "");
  EXPECT_TRUE(evidence());
  EXPECT_EQ(remembered_step(env_, run_), std::nullopt);
}

TEST_F(SavedRecordTest, IsTheLogWhereAnEarlierVersionWroteTheRun) {
  write(run_.log(), "2026-11-30T10:24:57Z training in runs/a\n  model  saved /step-00000001\n");
  EXPECT_EQ(evidence(), std::nullopt) << "nothing was saved";
  const std::string started = "2026-11-30T10:24:57Z training in runs/a\n2026-11-30T10:25:07Z ";
  for (const char* line : {"saved runs/a/checkpoints/step-00000010 in 0.0512 s",
                           "resumed from step 10 (runs/a/checkpoints/step-00000010)",
                           "begins with imported weights (runs/a/checkpoints/step-00000000)"}) {
    write(run_.log(), started + line + "\n2026-11-30T10:26:00Z done: 12 steps\n");
    EXPECT_THAT(evidence(), Optional(HasSubstr(line)));
  }
  remember_nothing_saved(env_, run_);
  EXPECT_EQ(evidence(), std::nullopt) << "the run was begun again since";
}

TEST_F(SavedRecordTest, IsAnImportThatNoTrainingHasTouched) {
  env_.make_directories(run_.hugging_face());
  EXPECT_EQ(evidence(), std::nullopt) << "a tokenizer may be put there by hand";
  write(run_.config(), "model {}\n");
  EXPECT_THAT(evidence(), Optional(HasSubstr("imported")));
  write(run_.build(), "started\n");
  EXPECT_EQ(evidence(), std::nullopt);
}

}  // namespace
}  // namespace switchyard
