// T5's pre-training objective, span corruption (Raffel et al. 2020, section 3.1.4): spans of a
// token segment are replaced by sentinels, and the targets are the removed tokens. It knows token
// ids and sample numbers, nothing of files or ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/buffer.hpp"
#include "data/draws.hpp"
#include "data/example.hpp"
#include "data/vocabulary.hpp"

namespace switchyard {

struct SpanCorruptionConfig {
  std::int64_t input_length = 256;            // encoder positions per row
  std::optional<std::int64_t> target_length;  // decoder positions; unset: what the objective fills
  double noise_density = 0.15;                // share of tokens that are removed
  double mean_noise_span_length = 3.0;
};

// How a segment of `raw` tokens is divided. All counts are in tokens.
struct SpanLengths {
  std::int64_t raw = 0;
  std::int64_t noise = 0;  // removed tokens, in `spans` spans
  std::int64_t spans = 0;
  std::int64_t inputs = 0;   // kept tokens, one sentinel per span, EOS
  std::int64_t targets = 0;  // one sentinel per span, removed tokens, EOS; no final sentinel

  bool operator==(const SpanLengths&) const = default;
};

// noise = round(density raw) in [1, raw-1]; spans = round(noise / mean), at least 1. Halves are
// rounded to even.
SpanLengths divide_segment(std::int64_t raw, double noise_density, double mean_noise_span_length);

// The longest segment whose inputs fit input_length: 512 -> raw 568, targets 114. Error(usage):
// invalid density or span length, more spans than sentinels or than kept tokens, or target_length
// shorter than what the objective fills.
SpanLengths fit_segment(const SpanCorruptionConfig& config);

// Divides `items` into `parts` consecutive non-empty parts and returns their lengths; all such
// compositions are equally likely. Requires 1 <= parts <= items.
Buffer<std::int64_t> random_composition(std::int64_t items, std::int64_t parts, Draws& draws);

class SpanCorruption {
 public:
  SpanCorruption(const SpanCorruptionConfig& config, const Vocabulary& vocabulary);

  const SpanLengths& lengths() const { return lengths_; }
  // Decoder positions per row: target_length, or what the objective fills.
  std::int64_t target_length() const { return target_length_; }

  // segment: lengths().raw ids of text pieces. Kept and removed spans alternate, starting with a
  // kept and ending with a removed one; their lengths depend on (seed, sample) alone.
  Example corrupt(std::span<const std::int32_t> segment, std::uint64_t seed,
                  std::uint64_t sample) const;

 private:
  Vocabulary vocabulary_;
  SpanLengths lengths_;
  std::int64_t target_length_;
};

}  // namespace switchyard
