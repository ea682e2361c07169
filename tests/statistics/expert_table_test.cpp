#include "statistics/expert_table.hpp"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace switchyard {
namespace {

TEST(ExpertTable, CountsWhatEachExpertIsWantedBy) {
  ExpertLayer layer;
  const std::vector<std::int32_t> pieces = {5, 6, 5, 0, 5}, expert = {1, 0, 1, -1, 0};
  count_pieces(pieces, expert, layer);
  count_pieces(pieces, expert, layer);
  const std::map<ExpertPiece, std::int64_t> expected = {{{0, 5}, 2}, {{0, 6}, 2}, {{1, 5}, 4}};
  EXPECT_EQ(layer.tokens, expected);
}

}  // namespace
}  // namespace switchyard
