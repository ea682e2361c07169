// The meaning of each id in a prepared data set: text pieces first, then the sentinels of span
// corruption, then rows that only pad the embedding. Pure arithmetic; it knows no tokenizer.
#pragma once

#include <cstdint>

namespace switchyard {

// T5's conventions: pad 0, EOS 1, unknown 2, no BOS; 100 sentinels follow the pieces, and
// <extra_id_0> is the highest of them. With 32,000 pieces: <extra_id_0> is 32,099, rows are 32,128.
struct Vocabulary {
  static constexpr std::int32_t pad = 0, eos = 1, unknown = 2;
  static constexpr std::int32_t sentinels = 100;

  std::int32_t pieces = 0;  // size of the tokenizer, including the three ids above

  std::int32_t ids() const { return pieces + sentinels; }
  // Rows of the embedding: ids() rounded up to a multiple of 128. The additional ids never occur in
  // data.
  std::int32_t rows() const { return (ids() + 127) / 128 * 128; }
  // 0 <= k < sentinels.
  std::int32_t sentinel(std::int32_t k) const { return ids() - 1 - k; }

  static bool is_eos(std::int32_t id) { return id == eos; }
  bool is_sentinel(std::int32_t id) const { return id >= pieces && id < ids(); }
  // Whether the id is a text piece, known or unknown: not padding, EOS, a sentinel or a padding
  // row.
  bool is_text(std::int32_t id) const { return id >= unknown && id < pieces; }

  bool operator==(const Vocabulary&) const = default;
};

}  // namespace switchyard
