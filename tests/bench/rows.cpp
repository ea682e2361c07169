// Rows on their way to experts and back: first only packing them in send order; then a whole Switch
// layer with experts so narrow that router, packing and combining dominate.
#include <algorithm>

#include "kernels.hpp"
#include "moe/capacity.hpp"
#include "moe/switch_layer.hpp"
#include "support/switch_reference.hpp"

namespace switchyard::bench {
namespace {

template <class T>
void pack(benchmark::State& state, const LayerShape& shape) {
  const std::int64_t N = 2 * shape.tokens();
  const auto x = random_tensor<T>(N, shape.D, 1);
  std::vector<std::int64_t> rows;  // in order of experts, as in a dispatch plan
  for (std::int64_t e = 0; e < shape.E; ++e)
    for (std::int64_t row = e; row < N; row += shape.E) rows.push_back(row);
  bool same = true;
  const Tensor<T> packed = gather_rows<T>(x.view(), rows);
  for (std::int64_t i = 0; i < N; ++i)
    for (std::int64_t d = 0; d < shape.D; ++d)
      same &= packed.view()(i, d) == x.view()(rows[static_cast<std::size_t>(i)], d);
  if (!verified(state, "a packed row", same ? 0 : 1, 0)) return;
  time(state, Amount::bytes, 2 * x.size() * static_cast<std::int64_t>(sizeof(T)),
       [&] { benchmark::DoNotOptimize(gather_rows<T>(x.view(), rows)); });
}

// Two virtual ranks on one process; about one token in thirty is padding.
template <class In>
struct NarrowLayer {
  static constexpr std::int64_t F = 16;
  static constexpr int V = 2;

  std::int64_t N, D, E;
  Layout layout;
  RowTransport transport;
  PhaseTimer timer;
  Work work;
  StepContext context;
  ParamSet params;  // the router; then wi, wo of each expert
  std::vector<std::uint8_t> real;
  std::vector<std::uint64_t> index;
  Tensor<In> x;
  Tensor<float> y, dy, dx;
  SwitchLayer layer;

  NarrowLayer(const Comm& comm, const LayerShape& shape)
      : N(shape.tokens()),
        D(shape.D),
        E(shape.E),
        layout(V, 1, 1, static_cast<int>(E)),
        transport(comm, layout),
        context{comm, transport, layout, 1, 0, Mode::train, timer, work},
        params(specs(shape), V, 1, 1),
        x(random_tensor<In>(V * N, D, 1)),
        y(Tensor<float>::uninitialized(V * N, D)),
        dy(random_tensor(V * N, D, 2)),
        dx(Tensor<float>::uninitialized(V * N, D)),
        layer(config(E), places(E)) {
    params.round_values();
    params.zero_gradients();
    for (std::int64_t i = 0; i < V * N; ++i) {
      real.push_back(i % 31 != 7);
      index.push_back(static_cast<std::uint64_t>(i));
    }
  }

  SwitchLayerSaved<In> forward() {
    return layer.forward<In>(context, params, tokens(), x.view(), y.view());
  }
  void backward(const SwitchLayerSaved<In>& saved) {
    layer.backward<In>(context, params, tokens(), saved, x.view(), dy.view(), dx.view());
  }

  reference::SwitchResult expected() const {
    reference::SwitchProblem p;
    p.V = V, p.N = N, p.D = D, p.F = F, p.E = E;
    p.capacity = expert_capacity(N, MoeConfig().capacity_factor, E, MoeConfig().min_capacity);
    p.real = real;
    p.x = doubles<In>(x.view());
    p.dy = as_doubles(dy.flat());
    p.router = doubles<float>(params[0].value);
    for (std::size_t e = 0; e < static_cast<std::size_t>(E); ++e) {
      const auto wi = doubles<In>(params[2 * e + 1].template input<In>()),
                 wo = doubles<In>(params[2 * e + 2].template input<In>());
      p.wi.insert(p.wi.end(), wi.begin(), wi.end());
      p.wo.insert(p.wo.end(), wo.begin(), wo.end());
    }
    return reference::switch_layer(p);
  }
  // Bytes that are read or written: x, packed, y; packed and answers as In.
  std::int64_t bytes() const { return x.size() * static_cast<std::int64_t>(4 * sizeof(In) + 4); }

 private:
  Tokens tokens() const {
    const std::int64_t count = std::count(real.begin(), real.end(), 1);
    return {N, index, real, count, N, {}};
  }
  static SparseLayerConfig config(std::int64_t E) {
    SparseLayerConfig config;
    config.moe.num_experts = static_cast<int>(E);
    config.moe.jitter_eps = 0;
    return config;
  }
  static SparseLayerParams places(std::int64_t E) {
    SparseLayerParams places{.router = 0, .bias = {}, .experts = {}};
    for (std::size_t e = 0; e < static_cast<std::size_t>(E); ++e)
      places.experts.push_back({.wi = 2 * e + 1, .wo = 2 * e + 2});
    return places;
  }
  static std::vector<ParamSpec> specs(const LayerShape& shape) {
    const auto normal = [](double scale) {
      return Initializer{Initializer::Kind::normal, static_cast<float>(scale)};
    };
    std::vector<ParamSpec> all = {{"router", "router", shape.D, shape.E, {}, normal(0.1)}};
    for (std::int64_t e = 0; e < shape.E; ++e) {
      const std::string name = "expert." + std::to_string(e);
      const double scale = std::pow(shape.D, -0.5);
      all.push_back({name + ".wi", "wi", shape.D, F, ExpertId{e}, normal(scale)});
      all.push_back({name + ".wo", "wo", F, shape.D, ExpertId{e}, normal(0.25)});
    }
    return all;
  }
};

template <class In>
void forward(benchmark::State& state, const Comm& comm, const LayerShape& shape) {
  NarrowLayer<In> layer(comm, shape);
  layer.forward();
  const double error = error_of<float>(layer.y.view(), layer.expected().y);
  if (!verified(state, "y", error, allowed_error<In>)) return;
  time(state, Amount::bytes, layer.bytes(), [&] { benchmark::DoNotOptimize(layer.forward()); });
}

template <class In>
void backward(benchmark::State& state, const Comm& comm, const LayerShape& shape) {
  NarrowLayer<In> layer(comm, shape);
  const SwitchLayerSaved<In> saved = layer.forward();
  layer.backward(saved);
  const reference::SwitchResult expected = layer.expected();
  if (!verified(state, "dx", error_of<float>(layer.dx.view(), expected.dx), allowed_error<In>))
    return;
  time(state, Amount::bytes, 2 * layer.bytes(), [&] { layer.backward(saved); });
}

template <class In>
void add_all(const Comm& comm, const LayerShape& shape) {
  const std::string precision = precision_of<In>();
  add_benchmark("rows/pack/" + precision, shape, [=](auto& state) { pack<In>(state, shape); });
  add_benchmark("rows/switch_layer/forward/" + precision, shape,
                [=, &comm](auto& state) { forward<In>(state, comm, shape); });
  add_benchmark("rows/switch_layer/backward/" + precision, shape,
                [=, &comm](auto& state) { backward<In>(state, comm, shape); });
}

}  // namespace

void register_rows(const Comm& comm, const LayerShape& shape) {
  add_all<float>(comm, shape);
  add_all<bfloat16>(comm, shape);
}

}  // namespace switchyard::bench
