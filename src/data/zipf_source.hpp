// Synthetic examples for benchmarks: full rows of token ids drawn from Zipf's law, which the words
// of a language follow. No files, no text, and nothing to learn but the frequencies.
#pragma once

#include <cstdint>
#include <vector>

#include "base/buffer.hpp"
#include "data/example.hpp"

namespace switchyard {

class ZipfSource final : public ExampleSource {
 public:
  struct Shape {
    std::int64_t vocab_size = 0;     // W, at least 2
    std::int64_t input_length = 0;   // S
    std::int64_t target_length = 0;  // T
  };
  ZipfSource(const Shape& shape, std::uint64_t seed);

  // Ids 1 … W-1 are drawn with probability proportional to 1/id.
  Example example(std::int64_t sample) const override;

 private:
  Buffer<std::int32_t> row(std::int64_t length, std::uint32_t layer, std::int64_t sample) const;

  Shape shape_;
  std::uint64_t seed_;
  std::vector<double> cumulative_;  // [W-1] sum of 1/i up to each id
};

}  // namespace switchyard
