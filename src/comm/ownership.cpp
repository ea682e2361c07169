#include "comm/ownership.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

namespace switchyard {
namespace {

constexpr std::int64_t line = 16;  // elements; ParamSet places tensors at multiples of it

// The fewest rows at multiples of which the tensor may be cut: 64, or as many times more as makes
// them a multiple of 4,096 elements.
std::int64_t unit_rows(const TensorShape& shape) {
  constexpr std::int64_t rows = 64, elements = 4096;
  return rows * (elements / rows / std::gcd(shape.cols, elements / rows));
}

// The number whose bits are those of i in reverse, i < count; i where count is not a power of two.
std::int64_t reversed(std::int64_t i, std::int64_t count) {
  if (!std::has_single_bit(static_cast<std::uint64_t>(count))) return i;
  std::int64_t reverse = 0;
  for (std::int64_t bit = 1; bit < count; bit *= 2) {
    reverse = 2 * reverse + (i & 1);
    i /= 2;
  }
  return reverse;
}

}  // namespace

Ownership::Ownership(std::span<const TensorShape> tensors, std::int64_t processes)
    : tensors_(tensors.begin(), tensors.end()), offsets_{0} {
  for (const TensorShape& shape : tensors) {
    const std::int64_t padded = (shape.rows * shape.cols + line - 1) / line * line;
    offsets_.push_back(offsets_.back() + padded);
  }
  // Not all * i / processes, which could overflow.
  const std::int64_t all = offsets_.back(), whole = all / processes, rest = all % processes;
  for (std::int64_t i = 0; i < processes; ++i)
    cuts_.push_back(cut_at_or_after(i * whole + i * rest / processes));
  cuts_.push_back(all);
}

std::int64_t Ownership::cut_at_or_after(std::int64_t element) const {
  const auto next = std::upper_bound(offsets_.begin(), offsets_.end(), element);
  if (next == offsets_.end()) return offsets_.back();
  const std::int64_t offset = *(next - 1);
  const TensorShape& shape = tensors_[static_cast<std::size_t>(next - 1 - offsets_.begin())];
  const std::int64_t unit = unit_rows(shape) * shape.cols;
  return std::min(offset + (element - offset + unit - 1) / unit * unit, *next);
}

Rank Ownership::owner(std::int64_t piece) const { return Rank{reversed(piece, processes())}; }

std::int64_t Ownership::piece_of(Rank p) const { return reversed(p.value, processes()); }

RowRange Ownership::rows_in_piece(std::size_t tensor, std::int64_t piece) const {
  const TensorShape& shape = tensors_[tensor];
  const auto row = [&](std::int64_t element) {
    return std::clamp<std::int64_t>((element - offsets_[tensor]) / shape.cols, 0, shape.rows);
  };
  const RowRange rows{row(first_element(piece)), row(first_element(piece + 1))};
  return rows.size() > 0 ? rows : RowRange{};
}

RowRange Ownership::rows(std::size_t tensor, Rank p) const {
  return rows_in_piece(tensor, piece_of(p));
}

std::vector<Rank> Ownership::owners(std::size_t tensor) const {
  const auto next = std::upper_bound(cuts_.begin(), cuts_.end() - 1, offsets_[tensor]);
  std::vector<Rank> owners;
  for (std::int64_t piece = next - cuts_.begin() - 1;
       piece < processes() && first_element(piece) < offsets_[tensor + 1]; ++piece) {
    if (rows_in_piece(tensor, piece).size() > 0) owners.push_back(owner(piece));
  }
  return owners;
}

}  // namespace switchyard
