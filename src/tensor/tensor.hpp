// Matrices: a move-only owner of 64-byte aligned memory (base/storage.hpp), and a non-owning view
// with a row stride. No arithmetic here, no oneDNN.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#include "base/storage.hpp"

namespace switchyard {

// A view of a row-major matrix owned elsewhere: element (r, c) is data[r * stride + c].
template <class T>
struct View {
  T* data = nullptr;
  std::int64_t rows = 0, cols = 0, stride = 0;

  View() = default;
  View(T* d, std::int64_t r, std::int64_t c) : data(d), rows(r), cols(c), stride(c) {}
  View(T* d, std::int64_t r, std::int64_t c, std::int64_t s)
      : data(d), rows(r), cols(c), stride(s) {}
  // A view of mutable elements converts to a view of constant ones.
  template <class U, class = std::enable_if_t<std::is_same_v<const U, T> && !std::is_same_v<U, T>>>
  View(const View<U>& other)
      : data(other.data), rows(other.rows), cols(other.cols), stride(other.stride) {}

  T* row(std::int64_t r) const { return data + r * stride; }
  T& operator()(std::int64_t r, std::int64_t c) const { return data[r * stride + c]; }
  std::int64_t size() const { return rows * cols; }
  bool contiguous() const { return stride == cols || rows <= 1; }

  View row_range(std::int64_t first, std::int64_t count) const {
    assert(first >= 0 && count >= 0 && first + count <= rows);
    return View(data + first * stride, count, cols, stride);
  }
  View col_range(std::int64_t first, std::int64_t count) const {
    assert(first >= 0 && count >= 0 && first + count <= cols);
    return View(data + first, rows, count, stride);
  }
  std::span<T> flat() const {
    assert(contiguous());
    return {data, static_cast<std::size_t>(size())};
  }
};

// For function parameters that should not take part in the deduction of T, so that a View<T> may be
// passed for a View<const T>.
template <class T>
using ConstView = std::type_identity_t<View<const T>>;

// Owner of a rows x cols matrix, contiguous, 64-byte aligned.
template <class T>
class Tensor {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Tensor() = default;
  // Contents are indeterminate until written.
  static Tensor uninitialized(std::int64_t rows, std::int64_t cols) { return Tensor(rows, cols); }
  static Tensor zeros(std::int64_t rows, std::int64_t cols) {
    Tensor t(rows, cols);
    if (t.size() > 0) std::memset(static_cast<void*>(t.data_), 0, t.bytes());
    return t;
  }
  Tensor(Tensor&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        rows_(std::exchange(other.rows_, 0)),
        cols_(std::exchange(other.cols_, 0)) {}
  Tensor& operator=(Tensor&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(rows_, other.rows_);
    std::swap(cols_, other.cols_);
    return *this;
  }
  ~Tensor() { free_storage(data_, bytes()); }

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  std::int64_t size() const { return rows_ * cols_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  View<T> view() { return {data_, rows_, cols_}; }
  View<const T> view() const { return {data_, rows_, cols_}; }
  View<T> row_range(std::int64_t first, std::int64_t count) {
    return view().row_range(first, count);
  }
  View<const T> row_range(std::int64_t first, std::int64_t count) const {
    return view().row_range(first, count);
  }
  std::span<T> flat() { return {data_, static_cast<std::size_t>(size())}; }
  std::span<const T> flat() const { return {data_, static_cast<std::size_t>(size())}; }

 private:
  Tensor(std::int64_t rows, std::int64_t cols)
      : data_(static_cast<T*>(allocate_storage(static_cast<std::size_t>(rows * cols) * sizeof(T)))),
        rows_(rows),
        cols_(cols) {
    assert(rows >= 0 && cols >= 0);
  }
  std::size_t bytes() const { return static_cast<std::size_t>(size()) * sizeof(T); }

  T* data_ = nullptr;
  std::int64_t rows_ = 0, cols_ = 0;
};

// Copies a matrix; both have the same shape, and either may be strided. Runs on the calling thread
// alone.
template <class T>
void copy_rows(View<const T> from, View<T> to) {
  for (std::int64_t i = 0; i < from.rows; ++i) std::copy_n(from.row(i), from.cols, to.row(i));
}

}  // namespace switchyard
