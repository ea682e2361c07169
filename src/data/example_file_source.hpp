// Examples of a file, one per sample: ids as they stand there, texts encoded. Knows the order in
// which a run sees them and what a row can hold.
#pragma once

#include "base/buffer.hpp"
#include "data/example.hpp"
#include "data/example_file.hpp"
#include "data/example_line.hpp"
#include "data/sample_order.hpp"
#include "data/tokenizer.hpp"

namespace switchyard {

struct ExampleRules {
  std::int64_t vocab_size = 0;  // ids are below
  // Positions of a row; 0: as many as the example has.
  std::int64_t input_length = 0, target_length = 0;
  const Tokenizer* tokenizer = nullptr;  // without it there may be no texts
  bool sentinels_in_text = true;         // <extra_id_0> is one; otherwise letters
};

struct ExampleLengths {
  std::int64_t inputs = 0, targets = 0;
};

class ExampleFileSource final : public ExampleSource {
 public:
  // Sample i of a run: each epoch has every example once, in the order of (seed, epoch). The file
  // and the tokenizer must outlive it.
  static ExampleFileSource training(const ExampleFile& file, const ExampleRules& rules,
                                    std::uint64_t seed);
  // Sample i is example i.
  static ExampleFileSource validation(const ExampleFile& file, const ExampleRules& rules);

  // An array of ids as it is; a text as its pieces, sentinels and EOS. Error(damaged_data): see
  // parse_example_line(); Error(usage): longer than a row, or a text and no tokenizer. Each names
  // file:line.
  Example example(std::int64_t sample) const override;

  std::int64_t size() const { return file_->size(); }
  // The same of examples first … end-1 of the file, whatever the order. Returns the largest
  // lengths.
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
