#include "statistics/unigram.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace switchyard {
namespace {

// A source in which every sample has these targets.
class Constant final : public ExampleSource {
 public:
  explicit Constant(Buffer<std::int32_t> targets) : targets_(std::move(targets)) {}
  Example example(std::int64_t) const override { return {{}, targets_}; }

 private:
  Buffer<std::int32_t> targets_;
};

TEST(UnigramLoss, IsTheCrossEntropyOfSmoothedFrequencies) {
  const Vocabulary vocabulary{.pieces = 5};  // text pieces 2 3 4; 105 ids
  const std::int32_t sentinel = vocabulary.sentinel(0);
  const Constant training({sentinel, 2, 2, 3, Vocabulary::eos}),
      validation({sentinel, 2, 4, Vocabulary::eos});
  const UnigramLoss loss = unigram_loss(vocabulary, training, 10, validation, 3);
  // 50 targets and one more for each of 105 ids.
  const double all =
      -std::log(11 / 155.0) - std::log(21 / 155.0) - std::log(1 / 155.0) - std::log(11 / 155.0);
  EXPECT_NEAR(loss.loss, all / 4, 1e-12);
  // 30 text targets and one more for each of 3 pieces.
  EXPECT_NEAR(loss.loss_text, (-std::log(21 / 33.0) - std::log(1 / 33.0)) / 2, 1e-12);
}

}  // namespace
}  // namespace switchyard
