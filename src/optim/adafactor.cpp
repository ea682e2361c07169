// Adafactor: its state, its update, and the sums that the update needs, in an order that depends on
// the tensor's shape alone. Where other processes update rows of the same tensor, sums over its
// rows are carried from one to the next (comm/owner_chain.hpp); all else concerns own rows only.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <string>

#include "base/buffer.hpp"
#include "optim/optimizer.hpp"
#include "optim/update_share.hpp"
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

// row_sum(0) + … + row_sum(rows-1) for each block of rows.
template <class RowSum>
Buffer<double> sums_of_blocks(View<const float> shape, RowSum row_sum) {
  Buffer<double> sums(static_cast<std::size_t>((shape.rows + block_rows - 1) / block_rows));
  for_each_block(shape, [&](std::int64_t block, std::int64_t first, std::int64_t last) {
    double sum = 0;
    for (std::int64_t row = first; row < last; ++row) sum += row_sum(row);
    sums[static_cast<std::size_t>(block)] = sum;
  });
  return sums;
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

// The second moments of the rows of one tensor that are updated here: row and column means where it
// is factored, otherwise v for every element.
struct Moments {
  ParamSpec spec;
  RowRange rows;
  bool factored = false;
  Tensor<float> row;  // [1, own rows]
  Tensor<float> col;  // [1, cols], of all rows
  Tensor<float> v;    // [own rows, cols]
};

// The update of one tensor in progress. The three parts of Adafactor::update_tensor are separated
// by sums over all rows of the tensor, in row order: `means`, then `change`. Each part fills in
// what own rows add to the sums that follow it.
struct Progress {
  Moments& m;
  Param& param;
  View<const float> g{};  // [own rows, cols]
  View<float> w{};
  Buffer<double> w_squares{};       // of each block of 64 own rows
  Tensor<double> column_squares{};  // [blocks, cols] if factored
  Buffer<double> changes{};         // the squares of the update of each block
  Buffer<float> row_factor{}, col_factor{};

  // Sums over all rows: of the squares of W; if factored, of the row means, in the lanes of
  // lane_sum, and of the squares in each column.
  Buffer<double> means{};
  Buffer<double> change{};  // [1], of the squares of the update

  std::span<double> row_mean_lanes() { return std::span(means).subspan(1, lanes); }
  std::span<double> column_sums() { return std::span(means).subspan(1 + lanes); }
};

void add_in_order(std::span<const double> terms, double& sum) {
  for (const double term : terms) sum += term;
}

class Adafactor final : public Optimizer {
 public:
  Adafactor(const AdafactorConfig& config, std::span<const Param> params, UpdateShare* share)
      : config_(config), share_(share) {
    for (std::size_t i = 0; i < params.size(); ++i) {
      const ParamSpec& spec = params[i].spec;
      const RowRange rows = updated_rows(share, params, i);
      const bool factored = std::min(spec.rows, spec.cols) >=
                            std::max<std::int64_t>(config.min_dim_size_to_factor, 2);
      const bool has_means = factored && rows.size() > 0;
      moments_.push_back({spec, rows, factored,
                          Tensor<float>::zeros(has_means, has_means ? rows.size() : 0),
                          Tensor<float>::zeros(has_means, has_means ? spec.cols : 0),
                          Tensor<float>::zeros(factored ? 0 : rows.size(), spec.cols)});
    }
  }

  void update(std::span<Param> params, std::int64_t step, double learning_rate) override {
    assert(params.size() == moments_.size());
    const Rates rates{1 - fast_power(static_cast<double>(step + 1), -config_.decay_exponent),
                      learning_rate};
    for (std::size_t i = 0; i < params.size(); ++i) {
      assert(params[i].name() == moments_[i].spec.name);
      if (moments_[i].rows.size() == params[i].spec.rows) update_tensor(i, params[i], rates);
    }
    if (share_) update_cuts(params, rates);
  }

  std::vector<NamedTensor> state() override {
    std::vector<NamedTensor> tensors;
    for (Moments& m : moments_) {
      const std::int64_t first = m.rows.first;
      const auto add = [&](const char* suffix, std::int64_t rows, std::int64_t cols,
                           Tensor<float>& held, std::int64_t first_element) {
        NamedTensor tensor{m.spec.name + "/adafactor." + suffix, rows, cols, m.spec.expert,
                           held.flat()};
        if (share_ && !m.spec.expert) tensor.first = first_element;
        if (rows * cols > 0) tensors.push_back(std::move(tensor));
      };
      if (m.factored) {
        add("row", 1, m.spec.rows, m.row, first);
        add("col", 1, m.spec.cols, m.col, 0);
      } else {
        add("v", m.spec.rows, m.spec.cols, m.v, first * m.spec.cols);
      }
    }
    return tensors;
  }

 private:
  struct Rates {
    double beta, learning_rate;
  };

  void update_tensor(std::size_t i, Param& param, const Rates& rates) {
    Progress progress = begin(moments_[i], param, rates);
    add_means(progress);
    scale(progress, rates);
    add_in_order(progress.changes, progress.change[0]);
    apply(progress, rates);
  }

  // The same for the tensors of which other processes update some rows.
  void update_cuts(std::span<Param> params, const Rates& rates) {
    const std::span<UpdateShare::Cut> cuts = share_->cuts();
    Buffer<Progress> all;
    for (const UpdateShare::Cut& cut : cuts)
      all.push_back(begin(moments_[cut.param], params[cut.param], rates));
    const auto sum = [&](Buffer<double> Progress::*sums, auto add_own) {
      for (std::size_t i = 0; i < cuts.size(); ++i) {
        cuts[i].chain.open(all[i].*sums);
        add_own(all[i]);
        cuts[i].chain.close(all[i].*sums);
      }
      for (std::size_t i = cuts.size(); i-- > 0;) cuts[i].chain.result(all[i].*sums);
    };
    sum(&Progress::means, [](Progress& p) { add_means(p); });
    for (Progress& progress : all) scale(progress, rates);
    sum(&Progress::change, [](Progress& p) { add_in_order(p.changes, p.change[0]); });
    for (Progress& progress : all) apply(progress, rates);
  }

  // Updates the moments that depend on own rows only.
  Progress begin(Moments& m, Param& param, const Rates& rates) const {
    Progress p{.m = m, .param = param};
    p.g = param.gradient.row_range(m.rows.first, m.rows.size());
    p.w = param.value.row_range(m.rows.first, m.rows.size());
    p.means.resize(m.factored ? static_cast<std::size_t>(1 + lanes + m.spec.cols) : 1);
    p.change.resize(1);
    if (config_.multiply_by_parameter_scale)
      p.w_squares = sums_of_blocks(
          p.w, [&](std::int64_t r) { return row_sum_of_squares(p.w.row_range(r, 1).flat()); });
    if (m.factored)
      average_rows(p, rates.beta);
    else
      average_elements(p, rates.beta);
    return p;
  }

  void average_elements(Progress& p, double beta) const {
    for_each_block(p.g, [&](std::int64_t, std::int64_t first, std::int64_t last) {
      for (std::int64_t r = first; r < last; ++r) {
        const float* const gradient = p.g.row(r);
        float* const v = p.m.v.view().row(r);
#pragma omp simd
        for (std::int64_t c = 0; c < p.g.cols; ++c) {
          const double x = gradient[c];
          v[c] = running_mean(v[c], beta, x * x + config_.epsilon_1);
        }
      }
    });
  }

  // Updates the running means of g^2 over each row, and sums g^2 over the columns of each block, in
  // one sweep over g.
  void average_rows(Progress& p, double beta) const {
    const View<const float> g = p.g;
    p.column_squares =
        Tensor<double>::uninitialized((g.rows + block_rows - 1) / block_rows, g.cols);
    const View<float> row = p.m.row.view();
    for_each_block(g, [&](std::int64_t block, std::int64_t first, std::int64_t last) {
      double* const sums = p.column_squares.view().row(block);
      std::fill_n(sums, g.cols, 0.0);
      for (std::int64_t r = first; r < last; ++r) {
        const double mean = add_squares(g.row(r), g.cols, sums) / static_cast<double>(g.cols);
        row(0, r) = running_mean(row(0, r), beta, mean + config_.epsilon_1);
      }
    });
  }

  // Own rows begin at a multiple of 64, so that row r of them is in lane r % 16.
  static void add_means(Progress& p) {
    add_in_order(p.w_squares, p.means[0]);
    if (!p.m.factored) return;
    const std::span<double> in_lanes = p.row_mean_lanes(), totals = p.column_sums();
    std::size_t r = 0;
    for (const float mean : p.m.row.flat()) in_lanes[r++ % lanes] += static_cast<double>(mean);
    for (std::int64_t block = 0; block < p.column_squares.rows(); ++block) {
      const double* const sums = p.column_squares.view().row(block);
      for (std::size_t c = 0; c < totals.size(); ++c) totals[c] += sums[c];
    }
  }

  // With the sums over all rows: what the gradient is multiplied by, and how long the update then
  // is. Factored: u = g / sqrt(v), where v is approximated by the outer product row x col divided
  // by the mean of row. The square roots are taken of each factor separately, since products of the
  // moments exceed the range of f32.
  void scale(Progress& p, const Rates& rates) const {
    if (p.m.factored) {
      const auto all_rows = static_cast<double>(p.m.spec.rows);
      const std::span<const double> in_lanes = p.row_mean_lanes(), totals = p.column_sums();
      const double row_mean =
          lane_sum<double>(lanes,
                           [&](std::int64_t i) { return in_lanes[static_cast<std::size_t>(i)]; }) /
          all_rows;
      const std::span<float> col = p.m.col.flat();
      for (std::size_t c = 0; c < col.size(); ++c)
        col[c] = running_mean(col[c], rates.beta, totals[c] / all_rows + config_.epsilon_1);
      for (const float mean : p.m.row.flat())
        p.row_factor.push_back(static_cast<float>(std::sqrt(row_mean / mean)));
      for (const float mean : col)
        p.col_factor.push_back(static_cast<float>(1 / std::sqrt(static_cast<double>(mean))));
    }
    with_update(p, [&](const auto& u) {
      p.changes = sums_of_blocks(p.g, [&](std::int64_t r) { return u.squares(r); });
    });
  }

  // W -= learning rate * max(RMS(W), epsilon_2) * u / max(1, RMS(u) / threshold).
  void apply(Progress& p, const Rates& rates) const {
    const auto size = static_cast<double>(p.m.spec.rows * p.m.spec.cols);
    const double rms = std::sqrt(p.change[0] / size);
    double step = rates.learning_rate / std::max(1.0, rms / config_.clipping_threshold);
    if (config_.multiply_by_parameter_scale)
      step *= std::max(std::sqrt(p.means[0] / size), config_.epsilon_2);
    const auto step_size = static_cast<float>(step);
    with_update(p, [&](const auto& u) {
      for_each_block(p.w, [&](std::int64_t, std::int64_t first, std::int64_t last) {
        for (std::int64_t r = first; r < last; ++r) {
          u.subtract(r, step_size, p.w.row(r));
          p.param.round_values((p.m.rows.first + r) * p.w.cols, p.w.cols);
        }
      });
    });
  }

  template <class F>
  static void with_update(Progress& p, F f) {
    if (p.m.factored)
      f(FactoredUpdate{p.g, p.row_factor.data(), p.col_factor.data()});
    else
      f(PlainUpdate{p.g, p.m.v.view()});
  }

  AdafactorConfig config_;
  UpdateShare* share_;
  std::vector<Moments> moments_;  // in the order of the parameters
};

}  // namespace

std::unique_ptr<Optimizer> make_adafactor(const AdafactorConfig& config,
                                          std::span<const Param> params, UpdateShare* share) {
  return std::make_unique<Adafactor>(config, params, share);
}

}  // namespace switchyard
