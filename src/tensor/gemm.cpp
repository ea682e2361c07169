#include "tensor/gemm.hpp"

#include <omp.h>

#include <algorithm>
#include <cassert>
#include <type_traits>
#include <utility>

#include "base/team_failure.hpp"
#include "tensor/instruction_set.hpp"
#include "tensor/rounding.hpp"
#include "tensor/rows.hpp"

namespace switchyard {
namespace {

std::int64_t pieces(std::int64_t whole, std::int64_t part) { return (whole + part - 1) / part; }

struct Tiling {
  std::int64_t rows, cols;
};

constexpr std::int64_t wanted_tiles = 2, smallest_tile = 1 << 22;

// How the output is cut: a function of the shape alone. Each tile lays its operands out anew, so
// large ones are faster: 512 x 512 run as one whole call does, 128 x 128 by a fifth slower. A
// product of fewer than two is cut further, so that threads can share it, down to tiles worth the
// sharing (4 million multiply-adds: some 70 microseconds in f32).
Tiling tiling_of(std::int64_t m, std::int64_t n, std::int64_t k) {
  Tiling tile{std::min<std::int64_t>(m, 512), std::min<std::int64_t>(n, 512)};
  while (pieces(m, tile.rows) * pieces(n, tile.cols) < wanted_tiles &&
         tile.rows * tile.cols * k >= 2 * smallest_tile && std::max(tile.rows, tile.cols) > 64) {
    std::int64_t& longer = tile.rows >= tile.cols ? tile.rows : tile.cols;
    longer = pieces(longer, 64) * 32;  // half of it, rounded up to whole vectors
  }
  return tile;
}

// Narrow products are attention's, of one head: their extents follow from the configuration.
constexpr std::int64_t wide = 128;
bool is_narrow(std::int64_t n, std::int64_t k) { return std::min(n, k) < wide; }

// Whether a product goes to fixed kernels: by its shape alone, so that no bit depends on strides.
// Sums into an output gain nothing by them, weights' gradients (a transposed; their K, an expert's
// rows, is never twice the same) neither, and one with very many columns is cut in both directions.
// A narrow product into f32 gains where its K is the narrow side: attention's scores, and the
// gradients of its weights.
template <class Out>
bool has_fixed_tiles(std::int64_t m, std::int64_t n, std::int64_t k, Transpose ta,
                     Accumulate accumulate) {
  constexpr std::int64_t least = 48, most_cols = 4096;
  if (bfloat16_support() == Bfloat16Support::widened) return false;
  if (accumulate == Accumulate::yes || std::min({m, n, k}) < least || n > most_cols) return false;
  if (is_narrow(n, k)) return std::is_same_v<Out, bfloat16> || (ta == Transpose::no && k < wide);
  return ta == Transpose::no && m >= 64;
}

// Rows of a fixed tile. An expert's rows are never twice the same: their tiles are halves of 256,
// so that few shapes serve them all.
std::int64_t fixed_tile_rows(std::int64_t m, std::int64_t n, std::int64_t k) {
  std::int64_t height = is_narrow(n, k) ? m : 256;
  while (pieces(m, height) < wanted_tiles && height * n * k >= 2 * smallest_tile && height > 64)
    height = pieces(height, 128) * 64;
  while (!is_narrow(n, k) && height > m) height /= 2;
  return height;
}

template <class T>
View<T> rows_of_operand(View<T> view, Transpose transpose, std::int64_t first, std::int64_t count) {
  return transpose == Transpose::no ? view.row_range(first, count) : view.col_range(first, count);
}

template <class T>
View<T> cols_of_operand(View<T> view, Transpose transpose, std::int64_t first, std::int64_t count) {
  return transpose == Transpose::no ? view.col_range(first, count) : view.row_range(first, count);
}

// Which operands reach oneDNN as f32 copies with rows at a better distance, block by block of K.
struct Packing {
  bool a = false, b = false;

  bool any() const { return a || b; }
};

// Without AVX-512 oneDNN reads an operand where it lies, down its columns where K is along them.
// Rows that are a multiple of a page apart then share a few places of the first cache, and the
// product runs at half to three quarters of its rate (measured on two generations of AVX2
// machines; distances of half a page cost a twentieth). A copy costs some 2% where 512 rows or
// columns use it, and is not worth it below 128. bf16 operands are widened on such machines, so
// they are copied anyway. By shape and instruction set alone: blocks of K are sums of their own.
template <class In>
Packing packing_of(std::int64_t m, std::int64_t n, std::int64_t k, Transpose ta, Transpose tb) {
  constexpr std::int64_t worth_a_copy = 128, floats_of_a_page = 1024;
  if (bfloat16_support() != Bfloat16Support::widened) return {};
  if (std::is_same_v<In, bfloat16>) return {true, true};
  if (std::min({m, n, k}) < worth_a_copy) return {};
  return {.a = ta == Transpose::yes && m % floats_of_a_page == 0,
          .b = tb == Transpose::no && n % floats_of_a_page == 0};
}

// A block of an operand as oneDNN reads it: itself, or a copy in f32.
template <class In>
class Block {
 public:
  Block(View<const In> x, bool packed) {
    if constexpr (std::is_same_v<In, float>) view_ = x;
    if (!packed) return;
    room_ = Tensor<float>::uninitialized(x.rows, distance(x.cols));
    const View<float> copy = room_.view().col_range(0, x.cols);
    for (std::int64_t i = 0; i < x.rows; ++i) copy_row(x.row(i), x.cols, copy.row(i));
    view_ = copy;
  }
  View<const float> view() const { return view_; }

 private:
  // Whole cache lines from row to row, and never a multiple of half a page.
  static std::int64_t distance(std::int64_t cols) {
    constexpr std::int64_t line = 16, half_a_page = 512;
    const std::int64_t whole = (cols + line - 1) / line * line;
    return whole % half_a_page == 0 ? whole + line : whole;
  }

  static void copy_row(const In* in, std::int64_t n, float* out) {
    if constexpr (std::is_same_v<In, float>) {
      std::copy_n(in, n, out);
    } else {
      convert_row(in, n, out);
    }
  }

  Tensor<float> room_;
  View<const float> view_;
};

// Of K at a time: copies of so much stay in the second cache.
constexpr std::int64_t packed_depth = 1024;

// One tile from packed blocks.
template <class In>
void multiply_packed(View<const In> a, Transpose ta, View<const In> b, Transpose tb, View<float> c,
                     Accumulate accumulate, Packing packing) {
  const std::int64_t k = ta == Transpose::no ? a.cols : a.rows;
  for (std::int64_t first = 0; first < k; first += packed_depth) {
    const std::int64_t count = std::min(packed_depth, k - first);
    const Block<In> left(cols_of_operand(a, ta, first, count), packing.a);
    const Block<In> right(rows_of_operand(b, tb, first, count), packing.b);
    matmul<float, float>(left.view(), ta, right.view(), tb, c,
                         first > 0 ? Accumulate::yes : accumulate);
  }
}

template <class In, class Out>
void multiply_tile(View<const In> a, Transpose ta, View<const In> b, Transpose tb, View<Out> c,
                   Accumulate accumulate, Packing packing) {
  if (!packing.any()) {
    matmul<In, Out>(a, ta, b, tb, c, accumulate);
  } else if constexpr (std::is_same_v<Out, float>) {
    multiply_packed(a, ta, b, tb, c, accumulate, packing);
  } else {
    auto sums = Tensor<float>::uninitialized(c.rows, c.cols);
    multiply_packed(a, ta, b, tb, sums.view(), Accumulate::no, packing);
    for (std::int64_t i = 0; i < c.rows; ++i) convert_row(sums.view().row(i), c.cols, c.row(i));
  }
}

// Threads take the next tile as they come free.
template <class F>
void for_each_tile(std::int64_t count, F f) {
  if (count > 1 && team_possible()) {
    TeamFailure failure;
#pragma omp parallel for schedule(dynamic)
    for (std::int64_t i = 0; i < count; ++i) failure.keep([&] { f(i); });
    failure.rethrow();
  } else {
    for (std::int64_t i = 0; i < count; ++i) f(i);
  }
}

template <class In, class Out>
void multiply_by_tiles(View<const In> a, Transpose ta, View<const In> b, Transpose tb, View<Out> c,
                       Accumulate accumulate) {
  const std::int64_t k = ta == Transpose::no ? a.cols : a.rows;
  const Tiling tile = tiling_of(c.rows, c.cols, k);
  const Packing packing = packing_of<In>(c.rows, c.cols, k, ta, tb);
  const std::int64_t across = pieces(c.cols, tile.cols), tiles = pieces(c.rows, tile.rows) * across;
  for_each_tile(tiles, [&](std::int64_t i) {
    const std::int64_t row = i / across * tile.rows, col = i % across * tile.cols;
    const std::int64_t rows = std::min(tile.rows, c.rows - row);
    const std::int64_t cols = std::min(tile.cols, c.cols - col);
    multiply_tile(rows_of_operand(a, ta, row, rows), ta, cols_of_operand(b, tb, col, cols), tb,
                  c.row_range(row, rows).col_range(col, cols), accumulate, packing);
  });
}

// The last tile, where it is not a whole one, is as any other product.
template <class Out>
void multiply_by_fixed_tiles(View<const bfloat16> a, Transpose ta, View<const bfloat16> b,
                             Transpose tb, View<Out> c) {
  const std::int64_t k = ta == Transpose::no ? a.cols : a.rows;
  const std::int64_t height = fixed_tile_rows(c.rows, c.cols, k), tiles = pieces(c.rows, height);
  for_each_tile(tiles, [&](std::int64_t i) {
    const std::int64_t row = i * height, rows = std::min(height, c.rows - row);
    const View<const bfloat16> a_tile = rows_of_operand(a, ta, row, rows);
    if (rows == height) {
      matmul_of_known_shape(a_tile, ta, b, tb, c.row_range(row, rows));
    } else {
      matmul(a_tile, ta, b, tb, c.row_range(row, rows), Accumulate::no);
    }
  });
}

// Itself where its rows follow each other, as fixed kernels want them; otherwise a copy.
template <class T>
class Dense {
 public:
  explicit Dense(View<const T> x) : view_(x) {
    if (x.stride == x.cols) return;
    copy_ = Tensor<T>::uninitialized(x.rows, x.cols);
    copy_rows(x, copy_.view());
    view_ = std::as_const(copy_).view();
  }
  View<const T> view() const { return view_; }

 private:
  Tensor<T> copy_;
  View<const T> view_;
};

template <class Out>
void multiply_fixed(View<const bfloat16> a, Transpose ta, View<const bfloat16> b, Transpose tb,
                    View<Out> c) {
  const Dense<bfloat16> dense_a(a), dense_b(b);
  if (c.stride == c.cols) {
    multiply_by_fixed_tiles(dense_a.view(), ta, dense_b.view(), tb, c);
    return;
  }
  auto room = Tensor<Out>::uninitialized(c.rows, c.cols);
  multiply_by_fixed_tiles(dense_a.view(), ta, dense_b.view(), tb, room.view());
  copy_rows(std::as_const(room).view(), c);
}

template <class In, class Out>
void multiply(View<const In> a, Transpose ta, View<const In> b, Transpose tb, View<Out> c,
              Accumulate accumulate) {
  if constexpr (std::is_same_v<In, bfloat16>) {
    const std::int64_t k = ta == Transpose::no ? a.cols : a.rows;
    if (has_fixed_tiles<Out>(c.rows, c.cols, k, ta, accumulate)) {
      multiply_fixed(a, ta, b, tb, c);
      return;
    }
  }
  multiply_by_tiles(a, ta, b, tb, c, accumulate);
}

}  // namespace

template <class In, class Out>
void gemm(Work& work, View<const In> a, Transpose ta, View<const In> b, Transpose tb, View<Out> c,
          Accumulate accumulate) {
  const std::int64_t m = c.rows, n = c.cols, k = ta == Transpose::no ? a.cols : a.rows;
  assert((ta == Transpose::no ? a.rows : a.cols) == m);
  assert((tb == Transpose::no ? b.rows : b.cols) == k);
  assert((tb == Transpose::no ? b.cols : b.rows) == n);
  assert(accumulate == Accumulate::no || (std::is_same_v<Out, float>));
  if (m == 0 || n == 0) return;  // oneDNN would divide by zero
  work.count(m, n, k);
  if (k == 0) {
    if (accumulate == Accumulate::yes) return;
    for (std::int64_t i = 0; i < m; ++i) std::fill_n(c.row(i), n, Out{});
    return;
  }
  multiply(a, ta, b, tb, c, accumulate);
  if (work.between_products && omp_in_parallel() == 0) work.between_products();
}

template void gemm(Work&, View<const float>, Transpose, View<const float>, Transpose, View<float>,
                   Accumulate);
template void gemm(Work&, View<const bfloat16>, Transpose, View<const bfloat16>, Transpose,
                   View<float>, Accumulate);
template void gemm(Work&, View<const bfloat16>, Transpose, View<const bfloat16>, Transpose,
                   View<bfloat16>, Accumulate);

std::int64_t product_room(Precision inputs, std::int64_t m, std::int64_t n, std::int64_t k) {
  if (std::min({m, n, k}) == 0) return 0;
  const bool narrow = inputs == Precision::bfloat16;
  const Packing packing = narrow ? packing_of<bfloat16>(m, n, k, Transpose::yes, Transpose::no)
                                 : packing_of<float>(m, n, k, Transpose::yes, Transpose::no);
  const Tiling tile = tiling_of(m, n, k);
  const std::int64_t depth = std::min(k, packed_depth);
  const std::int64_t sums = packing.any() && narrow ? tile.rows * tile.cols : 0;
  return static_cast<std::int64_t>(sizeof(float)) *
         ((packing.a ? tile.rows * depth : 0) + (packing.b ? depth * tile.cols : 0) + sums);
}

template <class In>
void uncut_product(View<const In> a, View<const In> b, View<float> c) {
  const bool widened =
      std::is_same_v<In, bfloat16> && bfloat16_support() == Bfloat16Support::widened;
  multiply_tile(a, Transpose::no, b, Transpose::no, c, Accumulate::no, {widened, widened});
}

template void uncut_product(View<const float>, View<const float>, View<float>);
template void uncut_product(View<const bfloat16>, View<const bfloat16>, View<float>);

}  // namespace switchyard
