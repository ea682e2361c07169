// Which keys a windowed attention lets each position see, and how a row's scores are divided into
// tiles so that little else is computed. Arithmetic on positions; it knows no matrices.
#pragma once

#include <cstdint>

#include "base/buffer.hpp"
#include "tensor/ops.hpp"

namespace switchyard {

// Query i sees key j where |i - j| <= reach, or where i or j is one of the first `globals`
// positions.
struct AttentionWindow {
  std::int64_t reach = 0;    // w
  std::int64_t globals = 0;  // g

  // The number of pairs (i, j) in a row of n positions for which i sees j.
  std::int64_t visible_pairs(std::int64_t n) const;
};

// A matrix of scores [queries, keys]: consecutive queries, and every key that at least one of them
// sees.
struct WindowTile {
  WindowedScores scores;
  std::int64_t queries, keys;
  std::int64_t offset;  // of its first element within the elements of all tiles of the row

  std::int64_t elements() const { return queries * keys; }
  // The keys in the columns after those of the global positions.
  std::int64_t near_keys() const { return keys - scores.globals; }
  // True where no key is left out between the global keys and the others.
  bool contiguous() const { return scores.globals == 0 || scores.first_key == scores.globals; }
};

// The tiles of a row of n positions, in order of queries: a function of n and the window alone.
// Global queries have tiles of their own, over all keys.
//
// Example: n = 100, reach 10, one global position. Tiles of 16 queries after the first:
//   query  0         sees keys 0 … 99:                1 x 100
//   queries 1 … 16   see key 0 and keys 1 … 26:      16 x 27, without a gap
//   queries 17 … 32  see key 0 and keys 7 … 42:      16 x 37
//   …
//   queries 97 … 99  see key 0 and keys 87 … 99:      3 x 14
class WindowTiles {
 public:
  WindowTiles(const AttentionWindow& window, std::int64_t length);

  auto begin() const { return tiles_.begin(); }
  auto end() const { return tiles_.end(); }
  std::int64_t elements() const;  // of all tiles together
  // The number of elements, and of keys, in the tile that has most of them.
  std::int64_t most_elements() const;
  std::int64_t most_keys() const;

 private:
  Buffer<WindowTile> tiles_;
};

}  // namespace switchyard
