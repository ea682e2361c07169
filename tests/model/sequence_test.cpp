#include "model/sequence.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchyard {
namespace {

using testing::ElementsAre;

// Two virtual ranks of one row each; the second row's input is empty.
Batch small_batch() {
  Batch batch;
  batch.rows = 1;
  batch.input_length = 3;
  batch.target_length = 4;
  batch.inputs = {5, 6, 0, 0, 0, 0};
  batch.input_lengths = {2, 0};
  batch.targets = {7, 8, 9, 0, 4, 0, 0, 0};
  batch.target_lengths = {3, 1};
  batch.samples = {10, 11};
  batch.input_tokens = 2;
  batch.target_tokens = 4;
  return batch;
}

TEST(Sequence, KeysAPositionBySampleAndRowLength) {
  const Batch batch = small_batch();
  EXPECT_THAT(encoder_sequence(batch, 2).index, ElementsAre(30, 31, 32, 33, 34, 35));
  EXPECT_THAT(decoder_sequence(batch, 2).index, ElementsAre(40, 41, 42, 43, 44, 45, 46, 47));
}

TEST(Sequence, MarksPositionsBeforeTheRowsLengthAsReal) {
  const Batch batch = small_batch();
  EXPECT_THAT(encoder_sequence(batch, 2).real, ElementsAre(1, 1, 0, 0, 0, 0));
  EXPECT_THAT(decoder_sequence(batch, 2).real, ElementsAre(1, 1, 1, 0, 1, 0, 0, 0));
  EXPECT_EQ(decoder_sequence(batch, 2).tokens().real_in_step, 4);
  EXPECT_EQ(encoder_sequence(batch, 2).tokens().per_rank, 3);
}

TEST(Sequence, ShiftsEachRowOfTargetsRightByOne) {
  EXPECT_THAT(decoder_input(small_batch()), ElementsAre(0, 7, 8, 9, 0, 4, 0, 0));
}

TEST(Sequence, MasksTargetsPastTheRowsLength) {
  EXPECT_THAT(masked_targets(small_batch()), ElementsAre(7, 8, 9, -1, 4, -1, -1, -1));
}

}  // namespace
}  // namespace switchyard
