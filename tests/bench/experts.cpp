// The experts of one process: all their matrix products, forward and backward, over evenly
// distributed rows. Two virtual ranks send their tokens.
#include "moe/experts.hpp"

#include "kernels.hpp"

namespace switchyard::bench {
namespace {

template <class In>
struct Experts {
  std::int64_t E, D, F, rows_each;
  ParamSet params;
  std::vector<ExpertParams> places;
  std::vector<ExpertBatch> batches;
  Tensor<In> x, dy;
  Work work;

  explicit Experts(const LayerShape& shape)
      : E(shape.E),
        D(shape.D),
        F(shape.F),
        rows_each(2 * shape.tokens() / shape.E),
        params(specs(shape), 1, 1, 1),
        x(random_tensor<In>(E * rows_each, D, 1)),
        dy(random_tensor<In>(E * rows_each, D, 2)) {
    params.round_values();
    params.zero_gradients();
    for (std::int64_t e = 0; e < E; ++e) {
      const auto first = static_cast<std::size_t>(2 * e);
      places.push_back({.wi = first, .wo = first + 1});
      batches.push_back({ExpertId{e}, GroupId{0}, e * rows_each, rows_each});
    }
  }

  OwnedExperts owned() const {
    return {places,
            ExpertId{0},
            GroupId{0},
            Activation::relu,
            {0, {1, Purpose::hidden_dropout, 0, 0}, {}}};
  }
  struct Output {
    Tensor<In> y;
    ExpertsSaved<In> saved;
  };
  Output forward() {
    Output output;
    output.saved.x = Tensor<In>::uninitialized(x.rows(), x.cols());
    std::copy_n(x.data(), x.size(), output.saved.x.data());
    output.saved.hidden = hidden_room<In>(params, owned(), x.rows());
    output.y = experts_forward<In>(work, params, owned(), batches, output.saved.x.view(),
                                   output.saved.hidden);
    return output;
  }
  Tensor<In> backward(const ExpertsSaved<In>& saved) {
    return experts_backward<In>(work, params, owned(), batches, saved, dy.view());
  }
  std::int64_t operations() const { return 4 * x.rows() * D * F; }  // of the forward pass

  // Plain f64: relu(x W_i) W_o for one row of expert e.
  reference::Doubles plain(std::int64_t e, const reference::Doubles& row) const {
    const View<const In> wi = params[places[static_cast<std::size_t>(e)].wi].template input<In>(),
                         wo = params[places[static_cast<std::size_t>(e)].wo].template input<In>();
    reference::Doubles hidden(static_cast<std::size_t>(F), 0.0), y(row.size(), 0.0);
    for (std::int64_t d = 0; d < D; ++d)
      for (std::int64_t f = 0; f < F; ++f)
        hidden[static_cast<std::size_t>(f)] +=
            row[static_cast<std::size_t>(d)] * static_cast<double>(to_float(wi(d, f)));
    for (std::int64_t f = 0; f < F; ++f)
      for (std::int64_t d = 0; d < D; ++d)
        y[static_cast<std::size_t>(d)] += std::fmax(hidden[static_cast<std::size_t>(f)], 0.0) *
                                          static_cast<double>(to_float(wo(f, d)));
    return y;
  }

 private:
  static std::vector<ParamSpec> specs(const LayerShape& shape) {
    std::vector<ParamSpec> all;
    for (std::int64_t e = 0; e < shape.E; ++e) {
      const std::string name = "expert." + std::to_string(e);
      all.push_back({name + ".wi",
                     "wi",
                     shape.D,
                     shape.F,
                     ExpertId{e},
                     {Initializer::Kind::normal, 1 / std::sqrt(static_cast<float>(shape.D))}});
      all.push_back({name + ".wo",
                     "wo",
                     shape.F,
                     shape.D,
                     ExpertId{e},
                     {Initializer::Kind::normal, 1 / std::sqrt(static_cast<float>(shape.F))}});
    }
    return all;
  }
};

// The largest error over some rows of each expert; error(expert, row) computes it.
template <class In, class Error>
double worst_of_rows(const Experts<In>& experts, Error error) {
  double worst = 0;
  for (std::int64_t e = 0; e < experts.E; ++e)
    for (const std::int64_t row : {std::int64_t{0}, experts.rows_each - 1}) {
      const double this_one = error(e, e * experts.rows_each + row);
      if (!(this_one <= worst)) worst = this_one;
    }
  return worst;
}

template <class In>
void time_forward(benchmark::State& state, const LayerShape& shape) {
  Experts<In> experts(shape);
  const auto output = experts.forward();
  const double error = worst_of_rows(experts, [&](std::int64_t e, std::int64_t row) {
    const auto x = doubles<In>(View<const In>(experts.x.view()).row_range(row, 1));
    return error_of<In>(output.y.view().row_range(row, 1), experts.plain(e, x));
  });
  if (!verified(state, "y", error, allowed_error<In>)) return;
  time(state, Amount::operations, experts.operations(),
       [&] { benchmark::DoNotOptimize(experts.forward()); });
}

template <class In>
void time_backward(benchmark::State& state, const LayerShape& shape) {
  Experts<In> experts(shape);
  const auto output = experts.forward();
  const Tensor<In> dx = experts.backward(output.saved);
  const double error = worst_of_rows(experts, [&](std::int64_t e, std::int64_t row) {
    const auto part = [row](View<const In> all) { return doubles<In>(all.row_range(row, 1)); };
    const auto dy = part(experts.dy.view());
    return gradient_error(part(experts.x.view()), part(dx.view()),
                          [&](const auto& x) { return reference::dot(dy, experts.plain(e, x)); });
  });
  if (!verified(state, "dx", error, std::is_same_v<In, float> ? 1e-3 : 1e-1)) return;
  // d W_o = hidden^T dy, for one row of the last expert's kernel.
  const std::int64_t first = (experts.E - 1) * experts.rows_each, f = experts.F / 2;
  reference::Doubles expected(static_cast<std::size_t>(experts.D), 0.0);
  for (std::int64_t r = first; r < first + experts.rows_each; ++r)
    for (std::int64_t d = 0; d < experts.D; ++d)
      expected[static_cast<std::size_t>(d)] +=
          static_cast<double>(to_float(output.saved.hidden.row_range(r, 1).hidden(0, f))) *
          static_cast<double>(to_float(experts.dy.view()(r, d)));
  const View<const float> d_wo = experts.params[experts.places.back().wo].leaves[0].view();
  if (!verified(state, "d_wo", error_of<float>(d_wo.row_range(f, 1), expected), 1e-4)) return;
  time(state, Amount::operations, 2 * experts.operations(),
       [&] { benchmark::DoNotOptimize(experts.backward(output.saved)); });
}

template <class In>
void add_experts(const LayerShape& shape) {
  add_benchmark("experts/forward/" + precision_of<In>(), shape,
                [=](auto& state) { time_forward<In>(state, shape); });
  add_benchmark("experts/backward/" + precision_of<In>(), shape,
                [=](auto& state) { time_backward<In>(state, shape); });
}

}  // namespace

void register_experts(const LayerShape& shape) {
  add_experts<float>(shape);
  add_experts<bfloat16>(shape);
}

}  // namespace switchyard::bench
