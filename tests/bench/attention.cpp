// An attention layer with its projections, forward and backward: full and windowed in the encoder,
// causal in the decoder. Its first row is verified against plain f64 arithmetic.
#include "model/attention.hpp"

#include <cstdlib>

#include "kernels.hpp"

namespace switchyard::bench {
namespace {

struct Kind {
  std::string name;
  std::int64_t rows, length;  // b, n
  bool causal = false;
  std::optional<AttentionWindow> window{};

  bool sees(std::int64_t query, std::int64_t key) const {
    if (causal) return key <= query;
    return !window || std::abs(query - key) <= window->reach;
  }
  std::int64_t pairs() const {  // per row
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < length; ++i)
      for (std::int64_t j = 0; j < length; ++j) count += sees(i, j);
    return count;
  }
};

enum Kernel : std::size_t { q, k, v, o, table };

template <class In>
struct Layer {
  Kind kind;
  std::int64_t D, H, K;
  Layout layout{1, 1, 1, 0};
  RowTransport transport;
  PhaseTimer timer;
  Work work;
  StepContext context;
  ParamSet params;
  Sequence sequence;
  Tensor<In> x;
  Tensor<float> y, dy, dx;
  Attention attention;
  RelativeBias relative;
  PositionBias bias;

  Layer(const Comm& comm, const LayerShape& shape, const Kind& of)
      : kind(of),
        D(shape.D),
        H(shape.H),
        K(shape.K),
        transport(comm, layout),
        context{comm, transport, layout, 1, 0, Mode::train, timer, work},
        params(specs(shape), 1, 0, 1),
        x(random_tensor<In>(of.rows * of.length, D, 1)),
        y(Tensor<float>::uninitialized(x.rows(), D)),
        dy(random_tensor(x.rows(), D, 2)),
        dx(Tensor<float>::uninitialized(x.rows(), D)),
        attention(config()),
        relative(table, !of.causal) {
    sequence.ranks = 1;
    sequence.rows = of.rows;
    sequence.length = of.length;
    sequence.row_lengths.assign(static_cast<std::size_t>(of.rows),
                                static_cast<std::int32_t>(of.length));
    for (std::int64_t i = 0; i < x.rows(); ++i)
      sequence.index.push_back(static_cast<std::uint64_t>(i));
    sequence.real.assign(sequence.index.size(), 1);
    params.round_values();
    params.zero_gradients();
    bias = relative.forward(params, of.length);
  }

  AttentionInput<In> input() const { return {sequence, x.view(), sequence, x.view()}; }
  AttentionSaved<In> forward() {
    return attention.forward(context, params, input(), &bias, y.view());
  }
  void backward(const AttentionSaved<In>& saved) {
    benchmark::DoNotOptimize(attention.backward(context, params, input(), saved, &bias,
                                                {dy.view(), dx.view(), dx.view()}));
  }
  // Operations of forward; only visible pairs count.
  std::int64_t operations() const {
    return 2 * H * K * (4 * D * x.rows() + 2 * kind.rows * kind.pairs());
  }

 private:
  static std::vector<ParamSpec> specs(const LayerShape& shape) {
    const std::int64_t width = shape.H * shape.K;
    const auto normal = [](double scale) {
      return Initializer{Initializer::Kind::normal, static_cast<float>(scale)};
    };
    const double of_input = std::pow(shape.D, -0.5);
    return {{"q", "q", shape.D, width, {}, normal(of_input * std::pow(shape.K, -0.5))},
            {"k", "k", shape.D, width, {}, normal(of_input)},
            {"v", "v", shape.D, width, {}, normal(of_input)},
            {"o", "o", width, shape.D, {}, normal(std::pow(width, -0.5))},
            {"table", "table", shape.H, relative_buckets, {}, normal(0.5)}};
  }
  AttentionConfig config() const {
    AttentionConfig config{.weights_dropout = {0, Purpose::attention_dropout}};
    config.heads = H;
    config.d_kv = K;
    config.causal = kind.causal;
    config.relative_bias = true;
    config.q = q, config.k = k, config.v = v, config.o = o;
    config.window = kind.window;
    return config;
  }
};

// c [M, N] = a [M, K] b [K, N]
reference::Doubles product(const reference::Doubles& a, const reference::Doubles& b,
                           std::int64_t K) {
  const std::int64_t M = std::ssize(a) / K, N = std::ssize(b) / K;
  reference::Doubles c(static_cast<std::size_t>(M * N), 0.0);
  for (std::int64_t m = 0; m < M; ++m)
    for (std::int64_t i = 0; i < K; ++i)
      for (std::int64_t n = 0; n < N; ++n) c[m * N + n] += a[m * K + i] * b[i * N + n];
  return c;
}

// The layer's output for one row, by definition.
template <class In>
class PlainRow {
 public:
  explicit PlainRow(const Layer<In>& layer) : layer_(layer), width_(layer.H * layer.K) {
    for (const std::size_t i : {q, k, v, o})
      kernels_.push_back(doubles<In>(layer.params[i].template input<In>()));
  }

  reference::Doubles operator()(const reference::Doubles& x) const {
    const auto queries = product(x, kernels_[q], layer_.D),
               keys = product(x, kernels_[k], layer_.D), values = product(x, kernels_[v], layer_.D);
    reference::Doubles context(queries.size(), 0.0);
    for (std::int64_t h = 0; h < layer_.H; ++h)
      for (std::int64_t i = 0; i < layer_.kind.length; ++i) {
        const std::int64_t column = h * layer_.K;
        attend(h, i, &queries[i * width_ + column], &keys[column], &values[column],
               &context[i * width_ + column]);
      }
    return product(context, kernels_[o], width_);
  }

 private:
  void attend(std::int64_t h, std::int64_t i, const double* query, const double* keys,
              const double* values, double* context) const {
    const View<const float> table_values = layer_.params[table].value;
    double sum = 0;
    for (std::int64_t j = 0; j < layer_.kind.length; ++j) {
      if (!layer_.kind.sees(i, j)) continue;
      double score =
          static_cast<double>(table_values(h, relative_bucket(j - i, !layer_.kind.causal)));
      for (std::int64_t d = 0; d < layer_.K; ++d) score += query[d] * keys[j * width_ + d];
      const double weight = std::exp(score);
      sum += weight;
      for (std::int64_t d = 0; d < layer_.K; ++d) context[d] += weight * values[j * width_ + d];
    }
    for (std::int64_t d = 0; d < layer_.K; ++d) context[d] /= sum;
  }

  const Layer<In>& layer_;
  std::int64_t width_;
  std::vector<reference::Doubles> kernels_;
};

template <class In>
void forward(benchmark::State& state, const Comm& comm, const LayerShape& shape, const Kind& kind) {
  Layer<In> layer(comm, shape, kind);
  layer.forward();
  const auto first_row = doubles<In>(layer.x.row_range(0, kind.length));
  const double error =
      error_of<float>(layer.y.row_range(0, kind.length), PlainRow(layer)(first_row));
  if (!verified(state, "y", error, allowed_error<In>)) return;
  time(state, Amount::operations, layer.operations(),
       [&] { benchmark::DoNotOptimize(layer.forward()); });
}

template <class In>
void backward(benchmark::State& state, const Comm& comm, const LayerShape& shape,
              const Kind& kind) {
  Layer<In> layer(comm, shape, kind);
  const AttentionSaved<In> saved = layer.forward();
  layer.backward(saved);
  const PlainRow<In> plain(layer);
  const auto dy = doubles<float>(layer.dy.row_range(0, kind.length));
  const double error =
      gradient_error(doubles<In>(layer.x.row_range(0, kind.length)),
                     doubles<float>(layer.dx.row_range(0, kind.length)),
                     [&](const reference::Doubles& x) { return reference::dot(dy, plain(x)); });
  if (!verified(state, "dx", error, std::is_same_v<In, float> ? 1e-3 : 1e-1)) return;
  time(state, Amount::operations, 2 * layer.operations(), [&] { layer.backward(saved); });
}

template <class In>
void add_all(const Comm& comm, const LayerShape& shape, const Kind& kind) {
  const std::string name = "attention/" + kind.name + "/";
  add_benchmark(name + "forward/" + precision_of<In>(), shape,
                [=, &comm](auto& state) { forward<In>(state, comm, shape, kind); });
  add_benchmark(name + "backward/" + precision_of<In>(), shape,
                [=, &comm](auto& state) { backward<In>(state, comm, shape, kind); });
}

}  // namespace

void register_attention(const Comm& comm, const LayerShape& shape) {
  const Kind kinds[] = {{"full", shape.rows, shape.inputs},
                        {"causal", shape.rows, shape.targets, true},
                        // Long enough that most keys are outside of each query's window.
                        {"window", 1, 4 * shape.inputs, false,
                         AttentionWindow{.reach = shape.inputs / 4, .globals = 0}}};
  for (const Kind& kind : kinds) {
    add_all<float>(comm, shape, kind);
    add_all<bfloat16>(comm, shape, kind);
  }
}

}  // namespace switchyard::bench
