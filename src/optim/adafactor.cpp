// Adafactor: its state, its update, and the sums that the update needs, in an order that depends on
// the tensor's shape alone. It treats one tensor at a time and has no notion of ranks.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <string>

#include "base/buffer.hpp"
#include "optim/optimizer.hpp"
#include "tensor/ops.hpp"
#include "tensor/rows.hpp"
#include "tensor/sum_of_squares.hpp"
#include "tensor/vector_math.hpp"
#include "tensor/wide.hpp"

namespace switchyard {
namespace {

constexpr std::int64_t block_rows = 64;

// Calls f(block, first row, last row) for each block of 64 rows; threads share the blocks.
template <class F>
void for_each_block(View<const float> shape, F f) {
  const std::int64_t blocks = (shape.rows + block_rows - 1) / block_rows;
  for_each_shared(blocks, shape.size(), [&](std::int64_t block) {
    f(block, block * block_rows, std::min((block + 1) * block_rows, shape.rows));
  });
}

// row_sum(0) + … + row_sum(rows-1), summed over the rows of each block, then over blocks in order.
template <class RowSum>
double sum_over_rows(View<const float> shape, RowSum row_sum) {
  Buffer<double> sums(static_cast<std::size_t>((shape.rows + block_rows - 1) / block_rows));
  for_each_block(shape, [&](std::int64_t block, std::int64_t first, std::int64_t last) {
    double sum = 0;
    for (std::int64_t row = first; row < last; ++row) sum += row_sum(row);
    sums[static_cast<std::size_t>(block)] = sum;
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

// The root mean square over a matrix with the shape of `shape`; squares(r) returns the sum of the
// squares in row r.
template <class Squares>
double root_mean_square(View<const float> shape, Squares squares) {
  return std::sqrt(sum_over_rows(shape, squares) / static_cast<double>(shape.size()));
}

// Returns the sum of the squares of x [n] and adds each square to its column's entry of `columns`
// [n].
SWITCHYARD_WIDE double add_squares(const float* x, std::int64_t n, double* columns) {
  return lane_sum<double>(n, [=](std::int64_t c) {
    const double square = static_cast<double>(x[c]) * static_cast<double>(x[c]);
    columns[c] += square;
    return square;
  });
}

// The update before clipping and before multiplication by the step size, with a factored second
// moment: u = g row col.
struct FactoredUpdate {
  View<const float> g;  // [rows, cols]
  const float* row;     // [rows]
  const float* col;     // [cols]

  SWITCHYARD_WIDE double squares(std::int64_t r) const {
    return lane_sum<double>(g.cols, [x = g.row(r), f = row[r], c = col](std::int64_t i) {
      const double value = x[i] * f * c[i];
      return value * value;
    });
  }
  SWITCHYARD_WIDE void subtract(std::int64_t r, float step, float* __restrict w) const {
    const float* const x = g.row(r);
    const float f = row[r];
#pragma omp simd
    for (std::int64_t i = 0; i < g.cols; ++i) w[i] -= step * (x[i] * f * col[i]);
  }
};

// The same with an unfactored second moment: u = g / sqrt(v).
struct PlainUpdate {
  View<const float> g, v;  // [rows, cols]

  double squares(std::int64_t r) const {
    return lane_sum<double>(g.cols, [x = g.row(r), m = v.row(r)](std::int64_t i) {
      const double value = x[i] / std::sqrt(m[i]);
      return value * value;
    });
  }
  void subtract(std::int64_t r, float step, float* __restrict w) const {
    const float *const x = g.row(r), *const m = v.row(r);
#pragma omp simd
    for (std::int64_t i = 0; i < g.cols; ++i) w[i] -= step * (x[i] / std::sqrt(m[i]));
  }
};

// The next value of an exponential running mean kept in f32. The arithmetic is f64, in which
// epsilon_1 and the square of any f32 are normal numbers.
float running_mean(float old, double beta, double value) {
  return static_cast<float>(beta * static_cast<double>(old) + (1 - beta) * value);
}

// The second moments of one tensor: row and column means where it is factored, otherwise v for
// every element.
struct Moments {
  ParamSpec spec;
  bool factored = false;
  Tensor<float> row;  // [1, rows]
  Tensor<float> col;  // [1, cols]
  Tensor<float> v;    // [rows, cols]
};

class Adafactor final : public Optimizer {
 public:
  Adafactor(const AdafactorConfig& config, std::span<const Param> params) : config_(config) {
    for (const Param& param : params) {
      const auto [rows, cols] = std::pair(param.spec.rows, param.spec.cols);
      const bool factored =
          std::min(rows, cols) >= std::max<std::int64_t>(config.min_dim_size_to_factor, 2);
      moments_.push_back({param.spec, factored, Tensor<float>::zeros(factored, factored ? rows : 0),
                          Tensor<float>::zeros(factored, factored ? cols : 0),
                          Tensor<float>::zeros(factored ? 0 : rows, cols)});
    }
  }

  void update(std::span<Param> params, std::int64_t step, double learning_rate) override {
    assert(params.size() == moments_.size());
    const double beta = 1 - fast_power(static_cast<double>(step + 1), -config_.decay_exponent);
    for (std::size_t i = 0; i < params.size(); ++i) {
      assert(params[i].name() == moments_[i].spec.name);
      if (moments_[i].factored)
        update_factored(moments_[i], params[i], beta, learning_rate);
      else
        update_unfactored(moments_[i], params[i], beta, learning_rate);
    }
  }

  std::vector<NamedTensor> state() override {
    std::vector<NamedTensor> tensors;
    for (Moments& m : moments_) {
      const auto add = [&](const char* suffix, Tensor<float>& t) {
        if (t.size() == 0) return;
        tensors.push_back(
            {m.spec.name + "/adafactor." + suffix, t.rows(), t.cols(), m.spec.expert, t.flat()});
      };
      add("row", m.row);
      add("col", m.col);
      add("v", m.v);
    }
    return tensors;
  }

 private:
  // u = g / sqrt(v), where v is approximated by the outer product row x col divided by the mean of
  // row. The square roots are taken of each factor separately, since products of the moments exceed
  // the range of f32.
  void update_factored(Moments& m, Param& param, double beta, double learning_rate) const {
    const View<const float> g = param.gradient;
    average_squares(m, g, beta);
    const View<const float> row = m.row.view();
    const double row_mean =
        lane_sum<double>(g.rows, [&](std::int64_t r) { return static_cast<double>(row(0, r)); }) /
        static_cast<double>(g.rows);
    Buffer<float> row_factor, col_factor;
    for (const float mean : m.row.flat())
      row_factor.push_back(static_cast<float>(std::sqrt(row_mean / mean)));
    for (const float mean : m.col.flat())
      col_factor.push_back(static_cast<float>(1 / std::sqrt(static_cast<double>(mean))));
    apply(param, learning_rate, FactoredUpdate{g, row_factor.data(), col_factor.data()});
  }

  void update_unfactored(Moments& m, Param& param, double beta, double learning_rate) const {
    const View<const float> g = param.gradient;
    for_each_block(g, [&](std::int64_t, std::int64_t first, std::int64_t last) {
      for (std::int64_t r = first; r < last; ++r) {
        const float* const gradient = g.row(r);
        float* const v = m.v.view().row(r);
#pragma omp simd
        for (std::int64_t c = 0; c < g.cols; ++c) {
          const double x = gradient[c];
          v[c] = running_mean(v[c], beta, x * x + config_.epsilon_1);
        }
      }
    });
    apply(param, learning_rate, PlainUpdate{g, m.v.view()});
  }

  // Updates the running means of g^2 over each row and over each column, in one sweep over g.
  void average_squares(Moments& m, View<const float> g, double beta) const {
    const std::int64_t blocks = (g.rows + block_rows - 1) / block_rows;
    auto column_sums = Tensor<double>::uninitialized(blocks, g.cols);
    const View<float> row = m.row.view(), col = m.col.view();
    for_each_block(g, [&](std::int64_t block, std::int64_t first, std::int64_t last) {
      double* const sums = column_sums.view().row(block);
      std::fill_n(sums, g.cols, 0.0);
      for (std::int64_t r = first; r < last; ++r) {
        const double mean = add_squares(g.row(r), g.cols, sums) / static_cast<double>(g.cols);
        row(0, r) = running_mean(row(0, r), beta, mean + config_.epsilon_1);
      }
    });
    double* const totals = column_sums.data();
    for (std::int64_t block = 1; block < blocks; ++block) {
      const double* const sums = column_sums.view().row(block);
      for (std::int64_t c = 0; c < g.cols; ++c) totals[c] += sums[c];
    }
    for (std::int64_t c = 0; c < g.cols; ++c) {
      const double mean = totals[c] / static_cast<double>(g.rows);
      col(0, c) = running_mean(col(0, c), beta, mean + config_.epsilon_1);
    }
  }

  // W -= learning rate * max(RMS(W), epsilon_2) * u / max(1, RMS(u) / threshold).
  template <class Update>
  void apply(Param& param, double learning_rate, const Update& u) const {
    const View<float> w = param.value;
    const double rms = root_mean_square(w, [&](std::int64_t r) { return u.squares(r); });
    double step = learning_rate / std::max(1.0, rms / config_.clipping_threshold);
    if (config_.multiply_by_parameter_scale) {
      const double scale = root_mean_square(
          w, [&](std::int64_t r) { return row_sum_of_squares(w.row_range(r, 1).flat()); });
      step *= std::max(scale, config_.epsilon_2);
    }
    for_each_block(w, [&](std::int64_t, std::int64_t first, std::int64_t last) {
      for (std::int64_t r = first; r < last; ++r) {
        u.subtract(r, static_cast<float>(step), w.row(r));
        param.round_values(r * w.cols, w.cols);
      }
    });
  }

  AdafactorConfig config_;
  std::vector<Moments> moments_;  // in the order of the parameters
};

}  // namespace

std::unique_ptr<Optimizer> make_adafactor(const AdafactorConfig& config,
                                          std::span<const Param> params) {
  return std::make_unique<Adafactor>(config, params);
}

}  // namespace switchyard
