// The examples of a file, one per sample: ids unchanged, texts encoded. It knows the order in which
// a run sees them and the length of a row.
#pragma once

#include "base/buffer.hpp"
#include "data/example.hpp"
#include "data/example_file.hpp"
#include "data/example_line.hpp"
#include "data/sample_order.hpp"
#include "data/tokenizer.hpp"

namespace switchyard {

struct ExampleRules {
  std::int64_t vocab_size = 0;  // every id must be smaller
  // Positions per row; 0: no limit.
  std::int64_t input_length = 0, target_length = 0;
  const Tokenizer* tokenizer = nullptr;  // null: texts are errors
  bool sentinels_in_text = true;  // whether <extra_id_0> in a text is a sentinel or just letters
};

struct ExampleLengths {
  std::int64_t inputs = 0, targets = 0;
};

class ExampleFileSource final : public ExampleSource {
 public:
  // Sample i of a run: each epoch contains every example once, in an order given by (seed, epoch).
  // The file and the tokenizer must outlive the source.
  static ExampleFileSource training(const ExampleFile& file, const ExampleRules& rules,
                                    std::uint64_t seed);
  // Sample i is example i.
  static ExampleFileSource validation(const ExampleFile& file, const ExampleRules& rules);

  // An array of ids unchanged; a text as its pieces, sentinels and EOS. Error(damaged_data): see
  // parse_example_line(); Error(usage): the example is longer than a row, or is text without a
  // tokenizer. Errors name file:line.
  Example example(std::int64_t sample) const override;

  std::int64_t size() const { return file_->size(); }
  // Checks examples first … end-1 in the order of the file; throws like example(). Returns the
  // largest lengths.
  ExampleLengths verify(std::int64_t first, std::int64_t end) const;

 private:
  ExampleFileSource(const ExampleFile& file, const ExampleRules& rules, const SampleOrder& order);
  Example read(std::int64_t i) const;
  Buffer<std::int32_t> ids(const TextOrIds& side, std::int64_t i) const;

  const ExampleFile* file_;
  ExampleRules rules_;
  SampleOrder order_;
};

}  // namespace switchyard
