#include "comm/ownership.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/philox.hpp"

namespace switchyard {
namespace {

using Shapes = std::vector<TensorShape>;

// Vectors, matrices with few rows, and matrices of many units, with odd widths among them.
Shapes drawn_shapes(std::uint32_t seed) {
  Shapes shapes;
  const std::uint32_t count = 1 + philox({seed, 0, 0, 0}, {1, 1})[0] % 12;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto words = philox({seed, 1, i, 0}, {1, 1});
    constexpr std::int64_t widths[] = {1, 7, 16, 64, 96, 100, 128, 1000};
    constexpr std::int64_t heights[] = {1, 1, 3, 64, 65, 128, 500, 2048};
    shapes.push_back({heights[words[0] % 8], widths[words[1] % 8]});
  }
  return shapes;
}

std::int64_t padded(const TensorShape& shape) { return (shape.rows * shape.cols + 15) / 16 * 16; }

// The rows at multiples of which a tensor may be cut, by trying them all.
std::int64_t unit_rows(const TensorShape& shape) {
  std::int64_t rows = 64;
  while (rows * shape.cols % 4096 != 0) rows += 64;
  return rows;
}

class OfDrawnTensors : public testing::TestWithParam<std::int64_t> {};

TEST_P(OfDrawnTensors, EachRowHasOneOwnerAndEachCutIsAtAUnit) {
  const std::int64_t processes = GetParam();
  for (std::uint32_t seed = 0; seed < 40; ++seed) {
    const Shapes shapes = drawn_shapes(seed);
    const Ownership ownership(shapes, processes);
    for (std::size_t t = 0; t < shapes.size(); ++t) {
      std::int64_t next = 0;
      for (const Rank p : ownership.owners(t)) {
        const RowRange rows = ownership.rows(t, p);
        EXPECT_EQ(rows.first, next);
        EXPECT_GT(rows.size(), 0);
        EXPECT_TRUE(rows.last == shapes[t].rows || rows.last % unit_rows(shapes[t]) == 0);
        next = rows.last;
      }
      EXPECT_EQ(next, shapes[t].rows);
      std::int64_t all = 0;
      for (Rank p{0}; p.value < processes; ++p) all += ownership.rows(t, p).size();
      EXPECT_EQ(all, shapes[t].rows) << "processes that are not among the owners have rows";
    }
  }
}

TEST_P(OfDrawnTensors, NoProcessHasMoreThanItsShareAndAUnit) {
  const std::int64_t processes = GetParam();
  for (std::uint32_t seed = 0; seed < 40; ++seed) {
    const Shapes shapes = drawn_shapes(seed);
    const Ownership ownership(shapes, processes);
    std::int64_t all = 0, unit = 0;
    for (const TensorShape& shape : shapes) {
      all += padded(shape);
      unit = std::max(unit, std::min(unit_rows(shape) * shape.cols, padded(shape)));
    }
    EXPECT_EQ(ownership.first_element(0), 0);
    EXPECT_EQ(ownership.first_element(processes), all);
    for (std::int64_t i = 0; i < processes; ++i) {
      const std::int64_t length = ownership.first_element(i + 1) - ownership.first_element(i);
      EXPECT_GE(length, 0);
      EXPECT_LE(length, all / processes + unit + 1);
    }
  }
}

TEST_P(OfDrawnTensors, EachPieceHasItsOwnProcess) {
  const std::int64_t processes = GetParam();
  const Ownership ownership(Shapes{{1000, 64}}, processes);
  std::vector<bool> owns(static_cast<std::size_t>(processes));
  for (std::int64_t i = 0; i < processes; ++i) {
    const Rank p = ownership.owner(i);
    EXPECT_EQ(ownership.piece_of(p), i);
    owns[static_cast<std::size_t>(p.value)] = true;
  }
  EXPECT_TRUE(std::ranges::all_of(owns, std::identity()));
}

INSTANTIATE_TEST_SUITE_P(Processes, OfDrawnTensors, testing::Values(1, 2, 3, 4, 6, 8, 64, 1000));

TEST(Ownership, IsTheWorkedExample) {
  const Ownership ownership(Shapes{{256, 64}, {1, 64}}, 2);
  EXPECT_EQ(ownership.rows(0, Rank{0}), (RowRange{0, 192}));
  EXPECT_EQ(ownership.rows(0, Rank{1}), (RowRange{192, 256}));
  EXPECT_EQ(ownership.rows(1, Rank{0}), RowRange{});
  EXPECT_EQ(ownership.rows(1, Rank{1}), (RowRange{0, 1}));
  EXPECT_EQ(ownership.owners(0), (std::vector<Rank>{Rank{0}, Rank{1}}));
}

}  // namespace
}  // namespace switchyard
