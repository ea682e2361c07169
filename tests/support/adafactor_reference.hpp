// Adafactor by definition in scalar f64 arithmetic: the reference for the optimizer's update.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace switchyard::reference {

using Matrix = std::vector<std::vector<double>>;  // [rows][cols]

inline double mean_square(const Matrix& m) {
  double sum = 0, count = 0;
  for (const auto& row : m)
    for (const double x : row) sum += x * x, ++count;
  return sum / count;
}

// T5's defaults: decay exponent 0.8, clipping 1, epsilons 1e-30 and 1e-3, step size relative to
// RMS(W).
class Adafactor {
 public:
  Adafactor(std::size_t rows, std::size_t cols, bool factored)
      : factored_(factored), row_(rows), col_(cols), v_(rows, std::vector<double>(cols)) {}

  // Updates `w`; returns RMS(u) before clipping.
  double update(Matrix& w, const Matrix& g, int step, double learning_rate) {
    const double beta = 1 - std::pow(step + 1, -0.8);
    const std::size_t rows = w.size(), cols = w[0].size();
    std::vector<double> row(rows), col(cols);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c) {
        const double square = g[r][c] * g[r][c] + 1e-30;
        row[r] += square / static_cast<double>(cols);
        col[c] += square / static_cast<double>(rows);
        v_[r][c] = beta * v_[r][c] + (1 - beta) * square;
      }
    double row_mean = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      row_[r] = beta * row_[r] + (1 - beta) * row[r];
      row_mean += row_[r] / static_cast<double>(rows);
    }
    for (std::size_t c = 0; c < cols; ++c) col_[c] = beta * col_[c] + (1 - beta) * col[c];

    Matrix u = g;
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c)
        u[r][c] *= factored_ ? std::sqrt(row_mean / row_[r]) / std::sqrt(col_[c])
                             : 1 / std::sqrt(v_[r][c]);
    const double rms = std::sqrt(mean_square(u));
    const double scale = std::max(std::sqrt(mean_square(w)), 1e-3) / std::max(1.0, rms);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c) w[r][c] -= learning_rate * scale * u[r][c];
    return rms;
  }

 private:
  bool factored_;
  std::vector<double> row_, col_;
  Matrix v_;
};

}  // namespace switchyard::reference
