// Which process updates which rows of which dense tensor, where the update is shared out. Pure
// arithmetic on shapes; it knows neither optimizers nor messages.
//
// The tensors lie one after another in a vector, as in ParamSet: each begins at a multiple of 16
// elements. The vector is cut into R pieces of about the same length, each owned by one process.
// Cuts fall between tensors, or inside one at multiples of 64 rows that are also multiples of 4,096
// elements: sums over blocks of rows (Adafactor) or of elements (gradient norms) are then sums of
// the pieces' blocks. A piece holds at most N/R + u elements, where u is the largest unit that is
// not cut: that many rows, or a smaller tensor.
//
// Worked example, R = 2, tensors a [256, 64] and b [1, 64]: the unit of a is 64 rows. Piece 0 is
// a's rows 0-191 (12,288 elements), since half of the vector, 8,224 elements, ends in its third
// unit; piece 1 is a's rows 192-255 and b.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/index.hpp"

namespace switchyard {

struct TensorShape {
  std::int64_t rows = 0, cols = 0;
};

struct RowRange {
  std::int64_t first = 0, last = 0;  // [first, last)
  std::int64_t size() const { return last - first; }
  bool operator==(const RowRange&) const = default;
};

class Ownership {
 public:
  Ownership(std::span<const TensorShape> tensors, std::int64_t processes);

  std::int64_t processes() const { return static_cast<std::int64_t>(cuts_.size()) - 1; }
  // Piece i belongs to process i; where R is a power of two, to the process whose number has the
  // bits of i in reverse, so that neighbouring processes exchange the longest runs of pieces
  // (comm/piece_gather.hpp).
  Rank owner(std::int64_t piece) const;
  std::int64_t piece_of(Rank p) const;
  // Where piece i begins in the vector; for i = R, the vector's length.
  std::int64_t first_element(std::int64_t piece) const {
    return cuts_[static_cast<std::size_t>(piece)];
  }
  // The rows of the tensor that belong to process p; {0, 0} where none do.
  RowRange rows(std::size_t tensor, Rank p) const;
  // The processes that own rows of the tensor, in the order of the rows.
  std::vector<Rank> owners(std::size_t tensor) const;

 private:
  RowRange rows_in_piece(std::size_t tensor, std::int64_t piece) const;
  std::int64_t cut_at_or_after(std::int64_t element) const;

  std::vector<TensorShape> tensors_;
  std::vector<std::int64_t> offsets_;  // of the tensors, and the vector's length
  std::vector<std::int64_t> cuts_;     // of the pieces, and the vector's length
};

}  // namespace switchyard
