#include "report/filled_passage.hpp"

#include <algorithm>
#include <cassert>
#include <iomanip>
#include <sstream>
#include <string_view>

namespace switchyard {
namespace {

std::string gap(std::size_t number) { return "___" + std::to_string(number) + "___"; }

// The text of the ids as it reads after a gap: with a leading space if they begin a word.
std::string after_gap(const Tokenizer& tokenizer, std::span<const std::int32_t> ids) {
  const std::int32_t sentinel = tokenizer.vocabulary().sentinel(0);
  std::vector<std::int32_t> led = {sentinel};
  led.insert(led.end(), ids.begin(), ids.end());
  return tokenizer.decode(led).substr(tokenizer.decode(std::span(&sentinel, 1)).size());
}

std::string without_space(const std::string& text) {
  return text.starts_with(' ') ? text.substr(1) : text;
}

// One span of the targets, which are divided at their sentinels: span k is the text hidden by gap
// k.
struct Span {
  std::size_t first, size;
};
std::vector<Span> hidden_spans(const Vocabulary& vocabulary,
                               std::span<const std::int32_t> targets) {
  std::vector<Span> spans;
  for (std::size_t at = 0; at < targets.size(); ++at) {
    if (vocabulary.is_sentinel(targets[at])) {
      spans.push_back({at + 1, 0});
    } else if (!spans.empty() && vocabulary.is_text(targets[at])) {
      ++spans.back().size;
    }
  }
  return spans;
}

// The text of the inputs without EOS, with sentinels shown as gaps.
std::string passage_text(const Tokenizer& tokenizer, const Example& example,
                         std::span<const Span> spans) {
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  const std::span<const std::int32_t> inputs = example.inputs;
  std::string text;
  std::size_t gaps = 0;
  for (std::size_t first = 0, last; first < inputs.size(); first = last) {
    last = first;
    while (last < inputs.size() && vocabulary.is_text(inputs[last])) ++last;
    text += after_gap(tokenizer, inputs.subspan(first, last - first));
    if (last < inputs.size() && vocabulary.is_sentinel(inputs[last]) && gaps < spans.size()) {
      const Span& span = spans[gaps];
      const auto hidden = std::span(example.targets).subspan(span.first, span.size);
      if (after_gap(tokenizer, hidden).starts_with(' ')) text += ' ';
      text += gap(gaps++);
    }
    ++last;
  }
  return without_space(text);
}

void line(std::ostream& out, const std::string& head, std::size_t width, const std::string& who,
          const std::string& text) {
  out << "  " << std::left << std::setw(9) << head << std::setw(static_cast<int>(width) + 2) << who
      << text << "\n";
}

}  // namespace

std::string filled_passage(const Tokenizer& tokenizer, const Example& example,
                           std::span<const Filling> fillings) {
  const std::vector<Span> spans = hidden_spans(tokenizer.vocabulary(), example.targets);
  std::size_t width = std::string_view("truth").size();
  for (const Filling& filling : fillings) width = std::max(width, filling.model.size());

  std::ostringstream out;
  out << passage_text(tokenizer, example, spans) << "\n";
  for (std::size_t k = 0; k < spans.size(); ++k) {
    const auto text = [&](std::span<const std::int32_t> ids) {
      assert(ids.size() == example.targets.size());
      return without_space(after_gap(tokenizer, ids.subspan(spans[k].first, spans[k].size)));
    };
    line(out, gap(k), width, "truth", text(example.targets));
    for (const Filling& filling : fillings)
      line(out, "", width, filling.model, text(filling.predictions));
  }
  return out.str();
}

}  // namespace switchyard
