#include "data/example_file_source.hpp"

#include <algorithm>
#include <string>

#include "base/buffer.hpp"
#include "base/error.hpp"

namespace switchyard {

namespace {

void require_room(std::span<const std::int32_t> ids, std::int64_t positions, const char* side,
                  const std::string& option, const std::string& place) {
  const std::int64_t length = std::ssize(ids);
  if (positions == 0 || length <= positions) return;
  throw Error(ExitCode::usage,
              place + ": the example has " + std::to_string(length) + " " + side + ", but " +
                  option + " is " + std::to_string(positions),
              "raise " + option + ", or shorten the example");
}

}  // namespace

ExampleFileSource::ExampleFileSource(const ExampleFile& file, const ExampleRules& rules,
                                     const SampleOrder& order)
    : file_(&file), rules_(rules), order_(order) {}

ExampleFileSource ExampleFileSource::training(const ExampleFile& file, const ExampleRules& rules,
                                              std::uint64_t seed) {
  return {file, rules, SampleOrder::training(file.size(), 1, seed)};
}

ExampleFileSource ExampleFileSource::validation(const ExampleFile& file,
                                                const ExampleRules& rules) {
  return {file, rules, SampleOrder::validation(file.size(), 1)};
}

Example ExampleFileSource::example(std::int64_t sample) const {
  return read(order_.first_token(sample));
}

ExampleLengths ExampleFileSource::verify(std::int64_t first, std::int64_t end) const {
  ExampleLengths longest;
  for (std::int64_t i = first; i < end; ++i) {
    const Example example = read(i);
    longest.inputs = std::max<std::int64_t>(longest.inputs, std::ssize(example.inputs));
    longest.targets = std::max<std::int64_t>(longest.targets, std::ssize(example.targets));
  }
  return longest;
}

Example ExampleFileSource::read(std::int64_t i) const {
  const std::string place = file_->place(i);
  const ExampleLine line = parse_example_line(file_->line(i), place, rules_.vocab_size);
  Example example{ids(line.inputs, i), ids(line.targets, i)};
  require_room(example.inputs, rules_.input_length, "inputs", "data.input_length", place);
  require_room(example.targets, rules_.target_length, "targets", "data.target_length", place);
  return example;
}

Buffer<std::int32_t> ExampleFileSource::ids(const TextOrIds& side, std::int64_t i) const {
  const auto* text = std::get_if<std::string>(&side);
  if (text == nullptr) {
    const auto& given = std::get<std::vector<std::int32_t>>(side);
    return {given.begin(), given.end()};
  }
  if (rules_.tokenizer == nullptr)
    throw Error(ExitCode::usage, file_->place(i) + ": a text, and there is no tokenizer",
                "set data.tokenizer to the model's spiece.model, or give arrays of ids");
  const Tokenizer& tokenizer = *rules_.tokenizer;
  const auto pieces =
      rules_.sentinels_in_text ? tokenizer.encode_with_sentinels(*text) : tokenizer.encode(*text);
  Buffer<std::int32_t> ids(pieces.begin(), pieces.end());
  ids.push_back(Vocabulary::eos);
  return ids;
}

}  // namespace switchyard
