#include "report/filled_passage.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "support/scratch_directory.hpp"
#include "support/synthetic_text.hpp"

namespace switchyard {
namespace {

Tokenizer small_tokenizer() {
  const test::ScratchDirectory scratch;
  const std::vector<std::string> files = {scratch.path() + "/text.txt"};
  std::ofstream(files[0]) << test::synthetic_text(200, 40);
  return {train_tokenizer(files, {.pieces = 300, .rules = {.line_is_document = true}}), "model"};
}

// Whole words of the synthetic text, so that a gap never splits one.
std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  for (std::size_t begin = 0, end; begin < line.size(); begin = end + 1) {
    end = std::min(line.find_first_of(" \n", begin), line.size());
    words.push_back(line.substr(begin, end - begin));
  }
  return words;
}

TEST(FilledPassage, ShowsGapsTruthAndEachModelsFilling) {
  const Tokenizer tokenizer = small_tokenizer();
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  const std::vector<std::string> w = words_of(test::synthetic_text(1, 10));
  Example example;
  const auto add = [&](Buffer<std::int32_t>& ids, const std::string& text) {
    const auto pieces = tokenizer.encode(text);
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  };
  add(example.inputs, w[0] + " " + w[1]);
  example.inputs.push_back(vocabulary.sentinel(0));
  add(example.inputs, w[4]);
  example.inputs.push_back(vocabulary.sentinel(1));
  example.inputs.push_back(Vocabulary::eos);
  example.targets.push_back(vocabulary.sentinel(0));
  add(example.targets, w[2] + " " + w[3]);
  example.targets.push_back(vocabulary.sentinel(1));
  add(example.targets, w[5]);
  example.targets.push_back(Vocabulary::eos);

  const std::vector<std::int32_t> right(example.targets.begin(), example.targets.end());
  std::vector<std::int32_t> sentinels = right;
  for (std::int32_t& id : sentinels) id = vocabulary.sentinel(7);
  const std::vector<Filling> fillings = {{"step 10", right}, {"untrained", sentinels}};
  const std::string text = filled_passage(tokenizer, example, fillings);
  EXPECT_EQ(text.substr(0, text.find('\n')), w[0] + " " + w[1] + " ___0___ " + w[4] + " ___1___");
  EXPECT_NE(text.find("  ___0___  truth      " + w[2] + " " + w[3] + "\n"), text.npos) << text;
  EXPECT_NE(text.find("           step 10    " + w[2] + " " + w[3] + "\n"), text.npos) << text;
  EXPECT_NE(text.find("  ___1___  truth      " + w[5] + "\n"), text.npos) << text;
  EXPECT_NE(text.find("           untrained  <extra_id_7>"), text.npos) << text;
}

}  // namespace
}  // namespace switchyard
