#include "tensor/gemm.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "support/random_tensor.hpp"
#include "tensor/denormals.hpp"
#include "tensor/instruction_set.hpp"

namespace switchyard {
namespace {

double value_of(float x) { return x; }
double value_of(bfloat16 x) { return to_float(x); }

template <class T>
double at(View<const T> x, Transpose transpose, std::int64_t row, std::int64_t col) {
  return value_of(transpose == Transpose::no ? x(row, col) : x(col, row));
}

// The operands are parts of larger matrices, so that strides and offsets are odd.
template <class In, class Out>
void expect_exact_to_rounding(std::int64_t m, std::int64_t n, std::int64_t k, Transpose ta,
                              Transpose tb, Accumulate accumulate) {
  const auto operand = [](std::int64_t rows, std::int64_t cols, Transpose t) {
    return t == Transpose::no ? std::pair{rows, cols} : std::pair{cols, rows};
  };
  const auto [a_rows, a_cols] = operand(m, k, ta);
  const auto [b_rows, b_cols] = operand(k, n, tb);
  const auto a_storage = random_tensor<In>(a_rows, a_cols + 3, 1);
  const auto b_storage = random_tensor<In>(b_rows, b_cols + 5, 2);
  auto c_storage = random_tensor<Out>(m, n + 2, 3);
  const auto before = random_tensor<Out>(m, n + 2, 3);
  const View<const In> a = a_storage.view().col_range(1, a_cols);
  const View<const In> b = b_storage.view().col_range(2, b_cols);
  const View<Out> c = c_storage.view().col_range(1, n);
  Work work;
  gemm<In, Out>(work, a, ta, b, tb, c, accumulate);
  EXPECT_EQ(work.multiply_adds, m * n * k);

  const double epsilon = sizeof(Out) == 2 ? 0x1p-8 : 0x1p-23;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double expected = accumulate == Accumulate::yes ? value_of(before.view()(i, j + 1)) : 0;
      double magnitude = std::abs(expected);
      for (std::int64_t l = 0; l < k; ++l) {
        const double term = at(a, ta, i, l) * at(b, tb, l, j);
        expected += term;
        magnitude += std::abs(term);
      }
      ASSERT_NEAR(value_of(c(i, j)), expected, 4 * (epsilon + 0x1p-21) * magnitude + 1e-30)
          << m << "x" << n << "x" << k << " at " << i << "," << j;
    }
    ASSERT_EQ(value_of(c_storage.view()(i, 0)), value_of(before.view()(i, 0)));
    ASSERT_EQ(value_of(c_storage.view()(i, n + 1)), value_of(before.view()(i, n + 1)));
  }
}

// The last four are packed without AVX-512: rows a page apart, and more than one block of K.
constexpr std::int64_t shapes[][3] = {{1, 1, 1},        {1, 5, 1},      {3, 1, 7},
                                      {1, 64, 256},     {2, 3, 500},    {37, 64, 65},
                                      {64, 256, 64},    {300, 530, 40}, {130, 1024, 129},
                                      {1024, 130, 129}, {5, 7, 2100},   {130, 131, 1100}};

template <class In, class Out>
void check_all(Accumulate accumulate) {
  for (const auto& [m, n, k] : shapes) {
    for (const Transpose ta : {Transpose::no, Transpose::yes}) {
      for (const Transpose tb : {Transpose::no, Transpose::yes}) {
        expect_exact_to_rounding<In, Out>(m, n, k, ta, tb, accumulate);
      }
    }
  }
}

TEST(Gemm, MultipliesFloat32InEveryOrientation) {
  check_all<float, float>(Accumulate::no);
  check_all<float, float>(Accumulate::yes);
}

TEST(Gemm, MultipliesBfloat16InEveryOrientation) {
  check_all<bfloat16, float>(Accumulate::no);
  check_all<bfloat16, float>(Accumulate::yes);
  check_all<bfloat16, bfloat16>(Accumulate::no);
}

TEST(Gemm, DoesNothingForNoRowsOrNoColumns) {
  const auto a = random_tensor(4, 6, 1), b = random_tensor(6, 5, 2);
  auto c = random_tensor(4, 5, 3);
  const auto before = as_doubles(c.flat());
  Work work;
  gemm<float, float>(work, a.row_range(0, 0), Transpose::no, b.view(), Transpose::no,
                     c.row_range(0, 0));
  gemm<float, float>(work, a.view().col_range(0, 0), Transpose::yes, b.row_range(0, 4),
                     Transpose::no, c.row_range(0, 0));
  gemm<float, float>(work, a.view(), Transpose::no, b.view().col_range(0, 0), Transpose::no,
                     c.view().col_range(0, 0));
  EXPECT_EQ(as_doubles(c.flat()), before);
  EXPECT_EQ(work.products, 0);
}

TEST(Gemm, TakesNoRoomForNothing) {
  for (const Precision precision : {Precision::float32, Precision::bfloat16})
    for (const auto& [m, n, k] :
         {std::array<std::int64_t, 3>{0, 64, 64}, {64, 0, 64}, {64, 64, 0}, {0, 0, 0}})
      EXPECT_EQ(product_room(precision, m, n, k), 0);
}

TEST(Gemm, AnEmptySumIsZeroOrLeavesWhatItAddsTo) {
  const auto a = random_tensor(4, 6, 1), b = random_tensor(6, 5, 2);
  auto c = random_tensor(4, 5, 3);
  const auto before = as_doubles(c.flat());
  Work work;
  gemm<float, float>(work, a.view().col_range(0, 0), Transpose::no, b.row_range(0, 0),
                     Transpose::no, c.view(), Accumulate::yes);
  EXPECT_EQ(as_doubles(c.flat()), before);
  gemm<float, float>(work, a.view().col_range(0, 0), Transpose::no, b.row_range(0, 0),
                     Transpose::no, c.view());
  EXPECT_EQ(as_doubles(c.flat()), std::vector<double>(20, 0.0));
}

// x with its rows `distance` elements apart, the first one `offset` into its storage. What lies
// between is not a number, so that reading it shows.
template <class T>
struct Spread {
  Spread(View<const T> x, std::int64_t distance, std::int64_t offset)
      : storage(Tensor<T>::uninitialized(x.rows, distance)),
        view(storage.view().col_range(offset, x.cols)) {
    std::ranges::fill(storage.flat(), from_float<T>(std::numeric_limits<float>::quiet_NaN()));
    for (std::int64_t i = 0; i < x.rows; ++i) std::copy_n(x.row(i), x.cols, view.row(i));
  }
  Tensor<T> storage;
  View<T> view;
};

template <class In, class Out>
void expect_no_trace_of_strides(std::int64_t m, std::int64_t n, std::int64_t k, Transpose ta,
                                Transpose tb) {
  const auto a = ta == Transpose::no ? random_tensor<In>(m, k, 1) : random_tensor<In>(k, m, 1);
  const auto b = tb == Transpose::no ? random_tensor<In>(k, n, 2) : random_tensor<In>(n, k, 2);
  auto c = Tensor<Out>::uninitialized(m, n);
  Work work;
  gemm<In, Out>(work, a.view(), ta, b.view(), tb, c.view());
  const auto next = [](std::int64_t columns, std::int64_t unit) {
    return (columns / unit + 1) * unit;
  };
  for (const std::int64_t unit : {1, 32, 64, 1024}) {
    const Spread<In> far_a(a.view(), next(a.cols(), unit) + 1, 1);
    const Spread<In> far_b(b.view(), next(b.cols(), unit), 0);
    const Spread<Out> far_c(c.view(), next(n, unit) + 5, 5);
    for (std::int64_t i = 0; i < m; ++i) std::fill_n(far_c.view.row(i), n, Out{});
    gemm<In, Out>(work, std::as_const(far_a.storage).view().col_range(1, a.cols()), ta,
                  std::as_const(far_b.storage).view().col_range(0, b.cols()), tb, far_c.view);
    for (std::int64_t i = 0; i < m; ++i)
      ASSERT_TRUE(std::equal(c.view().row(i), c.view().row(i) + n, far_c.view.row(i)))
          << "row " << i << " of " << m << "x" << n << "x" << k
          << ", distances beyond a multiple of " << unit;
  }
}

// On processors with AMX, versions 3.0 to 3.13 of oneDNN have been wrong for rows at a distance.
template <class In, class Out>
void check_strides() {
  for (const auto& [m, n, k] : {std::array<std::int64_t, 3>{64, 64, 4096},
                                {7, 300, 512},
                                {48, 128, 96},
                                {300, 530, 65},
                                {130, 1024, 1100},
                                {600, 1100, 70}}) {
    for (const Transpose ta : {Transpose::no, Transpose::yes})
      for (const Transpose tb : {Transpose::no, Transpose::yes})
        expect_no_trace_of_strides<In, Out>(m, n, k, ta, tb);
  }
}

TEST(Gemm, BitsDependOnNeitherAlignmentNorStride) {
  check_strides<float, float>();
  check_strides<bfloat16, float>();
  check_strides<bfloat16, bfloat16>();
}

// oneDNN's description of a matrix is kept for the next product of its shape, as long as there is
// room for it.
TEST(Gemm, ManyShapesInTurnGiveEachItsProduct) {
  const auto a = random_tensor(600, 33, 1), b = random_tensor(33, 17, 2);
  auto whole = Tensor<float>::uninitialized(600, 17);
  Work work;
  gemm<float, float>(work, a.view(), Transpose::no, b.view(), Transpose::no, whole.view());
  for (int round = 0; round < 2; ++round) {
    for (std::int64_t rows = 1; rows <= 600; ++rows) {
      auto some = Tensor<float>::uninitialized(rows, 17);
      const std::int64_t first = 600 - rows;
      gemm<float, float>(work, a.row_range(first, rows), Transpose::no, b.view(), Transpose::no,
                         some.view());
      for (std::int64_t i = 0; i < rows; ++i)
        ASSERT_NEAR(some.view()(i, 16), whole.view()(first + i, 16), 1e-5) << rows << " rows";
    }
  }
}

// By an assertion of the library, not of this file: every build keeps them.
TEST(GemmDeathTest, ShapesThatDoNotFitEndTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto a = random_tensor(4, 6, 1), b = random_tensor(7, 5, 2);
  auto c = random_tensor(4, 5, 3);
  Work work;
  EXPECT_DEATH(
      (gemm<float, float>(work, a.view(), Transpose::no, b.view(), Transpose::no, c.view())),
      "gemm.*Assertion");
}

// In a thread of its own, whose OpenMP team does not exist yet, as main's does not at the start.
TEST(FlushToZero, IsInheritedByThreadsMadeLater) {
  std::thread([] {
    set_flush_to_zero();
    EXPECT_TRUE(flushes_to_zero());
    volatile float small = 1.2e-38f;
    EXPECT_EQ(small * 0.01f, 0.0f);
    bool in_std_thread = false;
    std::thread([&] { in_std_thread = flushes_to_zero(); }).join();
    EXPECT_TRUE(in_std_thread);
    std::vector<char> in_team(4, 0);
#pragma omp parallel num_threads(4)
    in_team[static_cast<std::size_t>(omp_get_thread_num())] = flushes_to_zero();
    EXPECT_EQ(in_team, std::vector<char>(4, 1));
  }).join();
}

TEST(FlushToZero, RefusesATeamThatWasMadeBefore) {
  std::thread([] {
#pragma omp parallel num_threads(2)
    EXPECT_FALSE(flushes_to_zero());
    omp_set_num_threads(2);
    EXPECT_THROW(set_flush_to_zero(), Error);
  }).join();
}

template <class In>
void expect_uncut_is_the_product(std::int64_t m, std::int64_t n, std::int64_t k) {
  const auto a = random_tensor<In>(m, k, 1), b = random_tensor<In>(k, n, 2);
  auto whole = Tensor<float>::zeros(m, n), cut = Tensor<float>::zeros(m, n);
  uncut_product<In>(a.view(), b.view(), whole.view());
  Work work;
  gemm<In, float>(work, a.view(), Transpose::no, b.view(), Transpose::no, cut.view());
  for (std::int64_t i = 0; i < m * n; ++i)
    ASSERT_NEAR(whole.data()[i], cut.data()[i], 1e-5 * static_cast<double>(k));
}

TEST(Gemm, UncutIsTheSameProduct) {
  expect_uncut_is_the_product<float>(300, 700, 90);
  expect_uncut_is_the_product<bfloat16>(300, 700, 90);
}

}  // namespace
}  // namespace switchyard
