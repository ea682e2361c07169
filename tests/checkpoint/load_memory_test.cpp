// A checkpoint is loaded into place: besides the destination, memory holds one block and the
// manifest, however large the checkpoint is.
#include <gtest/gtest.h>

#include <numeric>
#include <utility>
#include <vector>

#include "checkpoint/claims.hpp"
#include "checkpoint/digest.hpp"
#include "checkpoint/load.hpp"
#include "checkpoint/save.hpp"
#include "checkpoint/store.hpp"
#include "support/allocations.hpp"
#include "support/mpi_main.hpp"
#include "support/scratch_directory.hpp"

namespace switchyard {
namespace {

constexpr std::int64_t mebibyte = 1 << 20;

// 24 MiB in 6 tensors of 4 MiB.
class State {
 public:
  explicit State(float first) : values_(6 * mebibyte) {
    for (std::size_t i = 0; i < values_.size(); ++i)
      values_[i] = first + static_cast<float>(i % 4093);
    for (std::size_t t = 0; t < 6; ++t) {
      tensors_.push_back({.name = "tensor." + std::to_string(t),
                          .rows = 1024,
                          .cols = 1024,
                          .expert = std::nullopt,
                          .data = std::span(values_).subspan(t * mebibyte, mebibyte)});
    }
  }
  std::span<const NamedTensor> tensors() const { return tensors_; }
  bool operator==(const State& other) const { return values_ == other.values_; }

 private:
  std::vector<float> values_;
  std::vector<NamedTensor> tensors_;
};

TEST(LoadMemory, IsABlockAndTheManifest) {
  const test::ScratchDirectory directory;
  PosixEnv env;
  const Comm& alone = test_world();
  const Layout layout(1, 1, 1, 0);
  const State saved(1);
  save_checkpoint(env, alone, layout, directory.path() + "/checkpoints", {.step = 3},
                  saved.tensors());
  State live(2);
  Log silent(nullptr);
  {
    const test::PeakAllocation peak;
    const auto newest = open_newest_valid(env, alone, directory.path() + "/checkpoints", silent);
    ASSERT_TRUE(newest);
    load_checkpoint(alone, *newest, live.tensors());
    EXPECT_LT(peak.bytes(), mebibyte + mebibyte / 8);
  }
  EXPECT_EQ(live, saved);
  const test::PeakAllocation peak;
  digest_checkpoint({env, directory.path() + "/checkpoints/" + checkpoint_name(3)});
  EXPECT_LT(peak.bytes(), mebibyte + mebibyte / 8);
}

TEST(ClaimMemory, DoesNotGrowWithTheModel) {
  std::vector<int> all(1'000'000);
  std::iota(all.begin(), all.end(), 0);
  const test::PeakAllocation peak;
  EXPECT_EQ(first_unclaimed(test_world(), std::move(all), 1'000'000), std::nullopt);
  EXPECT_LT(peak.bytes(), 64 << 10);
}

}  // namespace
}  // namespace switchyard
