#include "model/window_tiles.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <utility>

namespace switchyard {
namespace {

struct Row {
  AttentionWindow window;
  std::int64_t length;

  bool sees(std::int64_t i, std::int64_t j) const {
    return std::abs(i - j) <= window.reach || i < window.globals || j < window.globals;
  }
};

const std::vector<Row> rows = {{{1, 0}, 1},   {{1, 0}, 50},  {{3, 2}, 50},   {{20, 1}, 100},
                               {{5, 40}, 90}, {{2, 17}, 40}, {{200, 0}, 70}, {{4, 99}, 30},
                               {{16, 0}, 64}, {{17, 16}, 33}};

class Tiles : public testing::TestWithParam<Row> {};

// So no pair is missed, and no pair that is both global and near is counted twice.
TEST_P(Tiles, HaveEveryVisiblePairInOneColumn) {
  const Row& row = GetParam();
  std::map<std::pair<std::int64_t, std::int64_t>, int> found;
  std::int64_t next_query = 0, elements = 0;
  for (const WindowTile& tile : WindowTiles(row.window, row.length)) {
    EXPECT_EQ(tile.scores.first_query, next_query);
    EXPECT_EQ(tile.offset, elements);
    EXPECT_GE(tile.scores.first_key, tile.scores.globals);
    for (std::int64_t i = 0; i < tile.queries; ++i) {
      for (std::int64_t column = 0; column < tile.keys; ++column) {
        const bool global = column < tile.scores.globals;
        const std::int64_t key =
            global ? column : tile.scores.first_key + column - tile.scores.globals;
        ASSERT_LT(key, row.length);
        ++found[{next_query + i, key}];
      }
    }
    next_query += tile.queries;
    elements += tile.elements();
  }
  EXPECT_EQ(next_query, row.length);
  std::int64_t visible = 0;
  for (std::int64_t i = 0; i < row.length; ++i) {
    for (std::int64_t j = 0; j < row.length; ++j) {
      if (!row.sees(i, j)) continue;
      ++visible;
      EXPECT_EQ((found[{i, j}]), 1) << i << " " << j;
    }
  }
  for (const auto& [pair, times] : found) EXPECT_LE(times, 1) << pair.first << " " << pair.second;
  EXPECT_EQ(row.window.visible_pairs(row.length), visible);
}

TEST_P(Tiles, KnowTheirSizes) {
  const Row& row = GetParam();
  const WindowTiles tiles(row.window, row.length);
  std::int64_t elements = 0, most_elements = 0, most_keys = 0;
  for (const WindowTile& tile : tiles) {
    elements += tile.elements();
    most_elements = std::max(most_elements, tile.elements());
    most_keys = std::max(most_keys, tile.keys);
  }
  EXPECT_EQ(tiles.elements(), elements);
  EXPECT_EQ(tiles.most_elements(), most_elements);
  EXPECT_EQ(tiles.most_keys(), most_keys);
}

INSTANTIATE_TEST_SUITE_P(Rows, Tiles, testing::ValuesIn(rows));

TEST(WindowTiles, AreThoseOfTheExample) {
  std::int64_t i = 0;
  const std::int64_t expected[][4] = {{0, 1, 0, 100},   {1, 16, 1, 27},   {17, 16, 7, 37},
                                      {33, 16, 23, 37}, {49, 16, 39, 37}, {65, 16, 55, 37},
                                      {81, 16, 71, 30}, {97, 3, 87, 14}};
  for (const WindowTile& tile : WindowTiles({10, 1}, 100)) {
    ASSERT_LT(i, 8);
    EXPECT_EQ(tile.scores.first_query, expected[i][0]);
    EXPECT_EQ(tile.queries, expected[i][1]);
    EXPECT_EQ(tile.scores.first_key, expected[i][2]);
    EXPECT_EQ(tile.keys, expected[i][3]);
    EXPECT_EQ(tile.contiguous(), i < 2);
    ++i;
  }
  EXPECT_EQ(i, 8);
}

TEST(WindowTiles, GrowInProportionToTheRow) {
  for (const AttentionWindow window : {AttentionWindow{128, 0}, AttentionWindow{100, 7}}) {
    const auto elements = [&](std::int64_t n) { return WindowTiles(window, n).elements(); };
    const std::int64_t step = elements(8192) - elements(4096);
    EXPECT_NEAR(static_cast<double>(elements(16384) - elements(8192)) / static_cast<double>(step),
                2, 0.01);
  }
}

}  // namespace
}  // namespace switchyard
