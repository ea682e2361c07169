#include "report/expert_report.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace switchyard {
namespace {

std::string text(std::int32_t id) {
  const std::map<std::int32_t, std::string> special = {
      {0, "<pad>"}, {6, "▁the"}, {7, "\"\t\n\r\\\x1b"}};
  const auto found = special.find(id);
  return found == special.end() ? std::string("p").append(std::to_string(id)) : found->second;
}

// Expert 1 of 3 is dead; the decoder's layer has a single position.
ExpertTable small_table() {
  ExpertLayer encoder{"encoder.block.1", {}}, decoder{"decoder.block.1", {}};
  encoder.tokens = {{{0, 5}, 2}, {{0, 6}, 9}, {{0, 7}, 1}, {{0, 8}, 2},
                    {{2, 5}, 2}, {{2, 6}, 1}, {{2, 7}, 3}};
  decoder.tokens = {{{1, 0}, 1}};
  return {3, {encoder, decoder}};
}

TEST(ExpertReport, IsALineForEachLayerExpertAndPiece) {
  EXPECT_EQ(expert_tsv(small_table(), text),
            "layer\texpert\tpiece\tid\tcount\tshare\n"
            "encoder.block.1\t0\t▁the\t6\t9\t0.9000\n"
            "encoder.block.1\t0\tp5\t5\t2\t0.5000\n"  // the lower id of two as frequent
            "encoder.block.1\t0\tp8\t8\t2\t1.0000\n"
            "encoder.block.1\t0\t\"\\t\\n\\r\\\\\\x1b\t7\t1\t0.2500\n"
            "encoder.block.1\t2\t\"\\t\\n\\r\\\\\\x1b\t7\t3\t0.7500\n"
            "encoder.block.1\t2\tp5\t5\t2\t0.5000\n"
            "encoder.block.1\t2\t▁the\t6\t1\t0.1000\n"
            "decoder.block.1\t1\t<pad>\t0\t1\t1.0000\n");
  EXPECT_EQ(expert_tsv({}, text), "layer\texpert\tpiece\tid\tcount\tshare\n");
}

// Expert 0 has 14 of 20 tokens. Of "▁the" it takes 9, where its load predicts 7; of p8 it takes 2,
// where its load predicts 1.4. p5 is divided equally, which is typical for the expert with the
// smaller load.
TEST(ExpertReport, SummaryShowsLoadsAndWhatAnExpertTakesBeyondItsLoad) {
  EXPECT_EQ(expert_summary(small_table(), text),
            "\nencoder.block.1, 20 tokens\n"
            "  expert    load  typical pieces, and how much of each it takes\n"
            "       0   70.0%  ▁the 90%  p8 100%\n"
            "       1    0.0%\n"
            "       2   30.0%  \"\\t\\n\\r\\\\\\x1b 75%  p5 50%\n"
            "\ndecoder.block.1, 1 tokens\n"
            "  expert    load  typical pieces, and how much of each it takes\n"
            "       0    0.0%\n"
            "       1  100.0%\n"
            "       2    0.0%\n");
}

TEST(ExpertReport, SummaryIsShortWhereExpertsOrPiecesAreMany) {
  ExpertTable table{40, {{"encoder.block.0", {}}}};
  for (std::int32_t piece = 0; piece < 400; ++piece)
    table.layers[0].tokens[{piece % 40, piece}] = 1;
  const std::string summary = expert_summary(table, text);
  std::istringstream lines(summary);
  std::vector<std::string> all;
  for (std::string line; std::getline(lines, line);) all.push_back(line);
  ASSERT_EQ(all.size(), 3U + 16 + 1);
  EXPECT_EQ(all[3 + 15], "      15    2.5%  p15 100%  p55 100%  p95 100%  p135 100%  p175 100%");
  EXPECT_EQ(all.back(), "  and 24 experts more");
}

}  // namespace
}  // namespace switchyard
