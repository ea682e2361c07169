#include "train/filled_passage.hpp"

#include <algorithm>
#include <cassert>
#include <iomanip>
#include <sstream>

namespace switchyard {
namespace {

std::string gap(int number) { return "___" + std::to_string(number) + "___"; }

// The passage without its EOS, sentinels shown as gaps with a space around them.
std::string passage_text(const Tokenizer& tokenizer, const std::vector<std::int32_t>& inputs) {
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  std::string text;
  std::vector<std::int32_t> run;
  int gaps = 0;
  const auto append = [&](const std::string& part) {
    if (part.empty()) return;
    text += (text.empty() ? "" : " ") + part;
  };
  for (const std::int32_t id : inputs) {
    if (vocabulary.is_text(id)) run.push_back(id);
    if (!vocabulary.is_sentinel(id)) continue;
    append(tokenizer.decode(run));
    append(gap(gaps++));
    run.clear();
  }
  append(tokenizer.decode(run));
  return text;
}

void line(std::ostream& out, const std::string& head, std::size_t width, const std::string& who,
          const std::string& text) {
  out << "  " << std::left << std::setw(9) << head << std::setw(static_cast<int>(width) + 2) << who
      << text << "\n";
}

}  // namespace

std::string filled_passage(const Tokenizer& tokenizer, const Example& example,
                           std::span<const Filling> fillings) {
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  const std::vector<std::int32_t>& targets = example.targets;
  std::size_t width = 5;  // of "truth"
  for (const Filling& filling : fillings) width = std::max(width, filling.model.size());

  std::ostringstream out;
  out << passage_text(tokenizer, example.inputs) << "\n";
  int gaps = 0;
  for (std::size_t first = 0; first < targets.size(); ++first) {
    if (!vocabulary.is_sentinel(targets[first])) continue;
    std::size_t last = first + 1;
    while (last < targets.size() && vocabulary.is_text(targets[last])) ++last;
    const auto span = [&](const std::vector<std::int32_t>& ids) {
      assert(ids.size() == targets.size());
      return tokenizer.decode(std::span(ids).subspan(first + 1, last - first - 1));
    };
    line(out, gap(gaps++), width, "truth", span(targets));
    for (const Filling& filling : fillings) {
      line(out, "", width, filling.model, span(filling.predictions));
    }
  }
  return out.str();
}

}  // namespace switchyard
