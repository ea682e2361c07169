#include "support/reference_model.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/philox.hpp"
#include "support/autodiff.hpp"

namespace switchyard::reference {
namespace {

struct Matrix {
  std::int64_t rows = 0, cols = 0;
  std::vector<Var> at;
  Var& operator()(std::int64_t r, std::int64_t c) {
    return at[static_cast<std::size_t>(r * cols + c)];
  }
  Var operator()(std::int64_t r, std::int64_t c) const {
    return at[static_cast<std::size_t>(r * cols + c)];
  }
};

// T5's relative position bucket by its definition, with a logarithm.
std::int64_t bucket_of(std::int64_t distance, bool bidirectional) {
  std::int64_t buckets = 32, first = 0, n = -distance;  // distance = key - query
  if (bidirectional) {
    buckets /= 2;
    if (distance > 0) first = buckets;
    n = std::abs(distance);
  } else {
    n = std::max<std::int64_t>(n, 0);
  }
  const std::int64_t exact = buckets / 2;
  if (n < exact) return first + n;
  const double position = std::log(static_cast<double>(n) / static_cast<double>(exact)) /
                          std::log(128.0 / static_cast<double>(exact)) *
                          static_cast<double>(buckets - exact);
  return first + std::min(buckets - 1, exact + static_cast<std::int64_t>(position + 1e-9));
}

// One evaluation of the model: the tape, and every virtual rank in turn.
class Evaluation {
 public:
  Evaluation(const ModelConfig& config, const std::map<std::string, Weights>& weights,
             const Batch& batch, const ModelRun& run)
      : config_(config), batch_(batch), run_(run) {
    for (const auto& [name, w] : weights) {
      Matrix m{w.rows, w.cols, {}};
      for (double value : w.values) m.at.push_back(tape_.constant(value));
      weights_.emplace(name, std::move(m));
    }
  }

  ModelResult result(bool with_gradients) {
    std::vector<Var> losses;
    for (int v = 0; v < run_.virtual_ranks; ++v) virtual_rank(v);
    const Var cross_entropy =
        tape_.scale(tape_.sum(token_losses_), 1.0 / static_cast<double>(batch_.target_tokens));
    losses.push_back(cross_entropy);
    losses.push_back(
        tape_.scale(tape_.sum(extra_losses_), 1.0 / static_cast<double>(batch_.target_tokens)));
    losses.insert(losses.end(), router_losses_.begin(), router_losses_.end());
    const Var loss = tape_.sum(losses);

    ModelResult out;
    out.loss = tape_.value(loss);
    out.cross_entropy = tape_.value(cross_entropy);
    for (Var t : token_losses_) out.token_loss.push_back(tape_.value(t));
    for (Var t : extra_losses_) out.extra_loss.push_back(tape_.value(t));
    out.dropped_tokens = dropped_;
    if (with_gradients) {
      const std::vector<double> adjoint = tape_.gradients(loss);
      for (const auto& [name, m] : weights_) {
        std::vector<double>& g = out.gradients[name];
        for (Var w : m.at) g.push_back(adjoint[static_cast<std::size_t>(w.node)]);
      }
    }
    return out;
  }

 private:
  // What distinguishes the rows of the two stacks: their lengths and the numbers of their tokens.
  struct Stack {
    bool decoder = false;
    std::string name;
    std::int64_t first_row = 0, length = 0;  // rows first_row … first_row + b - 1 of the batch
    std::vector<bool> real;
    std::vector<std::uint64_t> index;
  };

  void virtual_rank(int v) {
    const std::int64_t first = v * batch_.rows;
    const Stack encoder = stack(false, first), decoder = stack(true, first);
    std::vector<std::int32_t> inputs, shifted;
    for (std::int64_t r = first; r < first + batch_.rows; ++r) {
      for (std::int64_t i = 0; i < batch_.input_length; ++i)
        inputs.push_back(batch_.inputs[at(r, batch_.input_length, i)]);
      for (std::int64_t i = 0; i < batch_.target_length; ++i) {
        shifted.push_back(i == 0 ? 0 : batch_.targets[at(r, batch_.target_length, i - 1)]);
      }
    }
    const Matrix memory = run_stack(encoder, inputs, nullptr, encoder);
    Matrix h = run_stack(decoder, shifted, &memory, encoder);
    if (config_.tie_word_embeddings) {
      for (Var& x : h.at) x = tape_.scale(x, 1.0 / std::sqrt(static_cast<double>(config_.d_model)));
    }
    for (std::int64_t t = 0; t < h.rows; ++t) token_losses_.push_back(token_loss(decoder, h, t));
  }

  static std::size_t at(std::int64_t row, std::int64_t length, std::int64_t i) {
    return static_cast<std::size_t>(row * length + i);
  }

  Stack stack(bool decoder, std::int64_t first_row) const {
    Stack s{decoder,   decoder ? "decoder" : "encoder",
            first_row, decoder ? batch_.target_length : batch_.input_length,
            {},        {}};
    const auto& lengths = decoder ? batch_.target_lengths : batch_.input_lengths;
    for (std::int64_t r = first_row; r < first_row + batch_.rows; ++r) {
      for (std::int64_t i = 0; i < s.length; ++i) {
        s.real.push_back(i < lengths[static_cast<std::size_t>(r)]);
        s.index.push_back(
            static_cast<std::uint64_t>(batch_.samples[static_cast<std::size_t>(r)] * s.length + i));
      }
    }
    return s;
  }

  Var token_loss(const Stack& decoder, const Matrix& h, std::int64_t t) {
    if (!decoder.real[static_cast<std::size_t>(t)])
      return extra_losses_.emplace_back(tape_.constant(0));
    const std::int64_t row = decoder.first_row + t / decoder.length;
    const std::int32_t target = batch_.targets[at(row, decoder.length, t % decoder.length)];
    std::vector<Var> logits;
    for (std::int64_t w = 0; w < config_.vocab_size; ++w) {
      if (config_.tie_word_embeddings) {
        const Matrix& e = weights_.at("shared.embedding");
        logits.push_back(tape_.dot(&h.at[at(t, h.cols, 0)], 1, &e.at[at(w, e.cols, 0)], 1, h.cols));
      } else {
        const Matrix& k = weights_.at("logits");
        logits.push_back(tape_.dot(&h.at[at(t, h.cols, 0)], 1, &k.at[static_cast<std::size_t>(w)],
                                   k.cols, h.cols));
      }
    }
    const Var normalizer = log_sum_exp(logits);
    const Var loss = tape_.sub(normalizer, logits[static_cast<std::size_t>(target)]);
    extra_losses_.push_back(extra_loss(logits, normalizer, loss));
    return loss;
  }

  // Label smoothing by definition: the cross-entropy with the smoothed distribution minus that with
  // the one-hot one; and the z-loss.
  Var extra_loss(const std::vector<Var>& logits, Var normalizer, Var loss) {
    if (!run_.training) return tape_.constant(0);
    const auto smoothing = static_cast<double>(config_.extra_loss.label_smoothing);
    std::vector<Var> terms = {tape_.scale(loss, -smoothing)};
    for (Var logit : logits) {
      terms.push_back(tape_.scale(tape_.sub(normalizer, logit),
                                  smoothing / static_cast<double>(config_.vocab_size)));
    }
    terms.push_back(tape_.scale(tape_.mul(normalizer, normalizer),
                                static_cast<double>(config_.extra_loss.z_loss)));
    return tape_.sum(terms);
  }

  Var log_sum_exp(std::span<const Var> x) {
    double max = -std::numeric_limits<double>::infinity();
    for (Var v : x) max = std::max(max, tape_.value(v));
    const Var shift = tape_.constant(max);
    std::vector<Var> e;
    for (Var v : x) e.push_back(tape_.exp(tape_.sub(v, shift)));
    return tape_.add(tape_.log(tape_.sum(e)), shift);
  }

  // Passes ids through embedding, blocks and final norm. `memory`: the encoder's output, for the
  // decoder.
  Matrix run_stack(const Stack& s, const std::vector<std::int32_t>& ids, const Matrix* memory,
                   const Stack& encoder) {
    const Matrix& table = weights_.at("shared.embedding");
    const std::uint32_t first_layer =
        s.decoder ? static_cast<std::uint32_t>(config_.num_layers) : 0;
    Matrix h{static_cast<std::int64_t>(ids.size()), config_.d_model, {}};
    for (std::int32_t id : ids) {
      for (std::int64_t d = 0; d < config_.d_model; ++d) h.at.push_back(table(id, d));
    }
    dropout(h, Purpose::embedding_dropout, first_layer, s);
    const int blocks = s.decoder ? config_.num_decoder_layers : config_.num_layers;
    for (int i = 0; i < blocks; ++i) {
      const std::uint32_t layer = first_layer + static_cast<std::uint32_t>(i);
      const std::string block = s.name + ".block." + std::to_string(i);
      const std::string self = block + (s.decoder ? ".self_attention" : ".attention");
      Matrix x = norm(h, self + ".norm");
      Matrix y = attention(self, x, x, s, s, layer, false);
      dropout(y, Purpose::attention_output_dropout, layer, s);
      h = plus(h, y);
      if (s.decoder) {
        x = norm(h, block + ".cross_attention.norm");
        y = attention(block + ".cross_attention", x, *memory, s, encoder, layer, true);
        dropout(y, Purpose::cross_attention_output_dropout, layer, s);
        h = plus(h, y);
      }
      x = norm(h, block + ".feed_forward.norm");
      y = config_.is_sparse(s.decoder, i) ? switch_layer(block + ".feed_forward", x, s, layer)
                                          : mlp(block + ".feed_forward", x, s, layer);
      dropout(y, Purpose::feed_forward_output_dropout, layer, s);
      h = plus(h, y);
    }
    h = norm(h, s.name + ".norm");
    dropout(h, Purpose::final_dropout, first_layer, s);
    return h;
  }

  Matrix plus(const Matrix& a, const Matrix& b) {
    Matrix c{a.rows, a.cols, {}};
    for (std::size_t i = 0; i < a.at.size(); ++i) c.at.push_back(tape_.add(a.at[i], b.at[i]));
    return c;
  }

  Matrix norm(const Matrix& x, const std::string& name) {
    const Matrix& scale = weights_.at(name);
    Matrix y{x.rows, x.cols, {}};
    for (std::int64_t r = 0; r < x.rows; ++r) {
      const Var* row = &x.at[at(r, x.cols, 0)];
      const Var mean =
          tape_.scale(tape_.dot(row, 1, row, 1, x.cols), 1.0 / static_cast<double>(x.cols));
      const Var inverse = tape_.rsqrt(
          tape_.add(mean, tape_.constant(static_cast<double>(config_.layer_norm_epsilon))));
      for (std::int64_t c = 0; c < x.cols; ++c)
        y.at.push_back(tape_.mul(tape_.mul(row[c], inverse), scale(0, c)));
    }
    return y;
  }

  Matrix product(const Matrix& x, const Matrix& w) {
    Matrix y{x.rows, w.cols, {}};
    for (std::int64_t r = 0; r < x.rows; ++r) {
      for (std::int64_t c = 0; c < w.cols; ++c) {
        y.at.push_back(tape_.dot(&x.at[at(r, x.cols, 0)], 1, &w.at[static_cast<std::size_t>(c)],
                                 w.cols, x.cols));
      }
    }
    return y;
  }

  // The dropout factor: 1/(1-rate), or 0 where the element is dropped.
  double keep(Purpose purpose, std::uint32_t layer, std::uint64_t item,
              std::int64_t element) const {
    const RandomStream stream(run_.seed, purpose, layer, static_cast<std::uint64_t>(run_.step));
    const auto words = stream.block(item, static_cast<std::uint64_t>(element / 4));
    const double rate = static_cast<double>(config_.dropout_rate);
    return static_cast<double>(unit_float(words[static_cast<std::size_t>(element % 4)])) < rate
               ? 0.0
               : 1.0 / (1.0 - rate);
  }

  void dropout(Matrix& x, Purpose purpose, std::uint32_t layer, const Stack& s) {
    if (!run_.training || config_.dropout_rate == 0) return;
    for (std::int64_t r = 0; r < x.rows; ++r) {
      for (std::int64_t c = 0; c < x.cols; ++c) {
        x(r, c) =
            tape_.scale(x(r, c), keep(purpose, layer, s.index[static_cast<std::size_t>(r)], c));
      }
    }
  }

  bool in_window(std::int64_t i, std::int64_t j) const {
    if (!config_.encoder_window) return true;
    const auto& [w, g] = *config_.encoder_window;
    return std::abs(i - j) <= w || i < g || j < g;
  }

  // xq [b*n_q, D], xk [b*n_k, D]; `keys` is the stack to which the keys belong.
  Matrix attention(const std::string& name, const Matrix& xq, const Matrix& xk,
                   const Stack& queries, const Stack& keys, std::uint32_t layer, bool cross) {
    const Matrix q = product(xq, weights_.at(name + ".q")),
                 k = product(xk, weights_.at(name + ".k")),
                 v = product(xk, weights_.at(name + ".v"));
    const std::int64_t n_q = queries.length, n_k = keys.length, width = config_.d_kv;
    Matrix context{q.rows, q.cols, std::vector<Var>(q.at.size(), tape_.constant(0))};
    for (std::int64_t r = 0; r < batch_.rows; ++r) {
      for (std::int64_t head = 0; head < config_.num_heads; ++head) {
        for (std::int64_t i = 0; i < n_q; ++i) {
          std::vector<Var> scores;
          std::vector<std::int64_t> visible;
          for (std::int64_t j = 0; j < n_k; ++j) {
            const bool seen = queries.decoder && !cross
                                  ? j <= i
                                  : keys.real[static_cast<std::size_t>(r * n_k + j)];
            if (!seen || (!queries.decoder && !in_window(i, j))) continue;
            Var s = tape_.dot(&q.at[at(r * n_q + i, q.cols, head * width)], 1,
                              &k.at[at(r * n_k + j, k.cols, head * width)], 1, width);
            if (!cross)
              s = tape_.add(s, weights_.at(queries.name + ".relative_bias")(
                                   head, bucket_of(j - i, !queries.decoder)));
            scores.push_back(s);
            visible.push_back(j);
          }
          if (scores.empty()) continue;
          const Var normalizer = log_sum_exp(scores);
          std::vector<Var> weights;
          for (std::size_t j = 0; j < scores.size(); ++j) {
            Var w = tape_.exp(tape_.sub(scores[j], normalizer));
            if (run_.training && config_.dropout_rate > 0) {
              w = tape_.scale(
                  w, keep(cross ? Purpose::cross_attention_dropout : Purpose::attention_dropout,
                          layer, queries.index[static_cast<std::size_t>(r * n_q + i)],
                          head * n_k + visible[j]));
            }
            weights.push_back(w);
          }
          for (std::int64_t c = 0; c < width; ++c) {
            std::vector<Var> column;
            for (std::int64_t j : visible) column.push_back(v(r * n_k + j, head * width + c));
            context(r * n_q + i, head * width + c) = tape_.dot(
                weights.data(), 1, column.data(), 1, static_cast<std::int64_t>(column.size()));
          }
        }
      }
    }
    return product(context, weights_.at(name + ".o"));
  }

  // The feed-forward network for one row, with the kernels `prefix`.wi (wi_0, wi_1) and .wo.
  Matrix mlp(const std::string& prefix, const Matrix& x, const Stack& s, std::uint32_t layer) {
    Matrix hidden;
    if (config_.activation == Activation::relu) {
      hidden = product(x, weights_.at(prefix + ".wi"));
      for (Var& h : hidden.at) h = tape_.relu(h);
    } else {
      hidden = product(x, weights_.at(prefix + ".wi_0"));
      const Matrix gate = product(x, weights_.at(prefix + ".wi_1"));
      for (std::size_t i = 0; i < hidden.at.size(); ++i)
        hidden.at[i] = tape_.mul(gelu(hidden.at[i]), gate.at[i]);
    }
    dropout(hidden, Purpose::hidden_dropout, layer, s);
    return product(hidden, weights_.at(prefix + ".wo"));
  }

  Var gelu(Var x) {
    const Var cubic = tape_.mul(tape_.mul(x, x), x);
    const Var inner =
        tape_.scale(tape_.add(x, tape_.scale(cubic, 0.044715)), std::sqrt(2.0 / M_PI));
    return tape_.scale(tape_.mul(x, tape_.add(tape_.constant(1), tape_.tanh(inner))), 0.5);
  }

  Matrix switch_layer(const std::string& name, const Matrix& x, const Stack& s,
                      std::uint32_t layer) {
    const MoeConfig& moe = config_.moe;
    const std::int64_t experts = moe.num_experts, n = x.rows;
    Matrix noisy = x;
    if (run_.training && moe.jitter_eps > 0) jitter(noisy, layer, s);
    const Matrix logits = product(noisy, weights_.at(name + ".router"));

    std::vector<std::int64_t> wanted(static_cast<std::size_t>(experts), 0), kept = wanted;
    std::vector<std::vector<Var>> mean_terms(static_cast<std::size_t>(experts));
    std::vector<Var> z_terms;
    Matrix y{n, x.cols, std::vector<Var>(x.at.size(), tape_.constant(0))};
    const std::int64_t capacity = this->capacity(n);
    std::int64_t real = 0;
    for (std::int64_t t = 0; t < n; ++t) {
      if (!s.real[static_cast<std::size_t>(t)]) continue;
      ++real;
      const std::span<const Var> row(&logits.at[at(t, experts, 0)],
                                     static_cast<std::size_t>(experts));
      const Var normalizer = log_sum_exp(row);
      z_terms.push_back(tape_.mul(normalizer, normalizer));
      std::int64_t best = 0;
      std::vector<Var> p;
      for (std::int64_t e = 0; e < experts; ++e) {
        p.push_back(tape_.exp(tape_.sub(row[static_cast<std::size_t>(e)], normalizer)));
        mean_terms[static_cast<std::size_t>(e)].push_back(p.back());
        if (tape_.value(row[static_cast<std::size_t>(e)]) >
            tape_.value(row[static_cast<std::size_t>(best)]))
          best = e;
      }
      ++wanted[static_cast<std::size_t>(best)];
      if (capacity >= 0 && kept[static_cast<std::size_t>(best)] >= capacity) {
        ++dropped_;
        continue;
      }
      ++kept[static_cast<std::size_t>(best)];
      combine(name, x, y, s, layer, t, best, p[static_cast<std::size_t>(best)]);
    }
    if (real > 0) add_router_losses(mean_terms, wanted, z_terms, real, s.decoder);
    return y;
  }

  // y[t] = gate * expert(x[t])
  void combine(const std::string& name, const Matrix& x, Matrix& y, const Stack& s,
               std::uint32_t layer, std::int64_t t, std::int64_t expert, Var gate) {
    Matrix row{1, x.cols, {}};
    for (std::int64_t c = 0; c < x.cols; ++c) row.at.push_back(x(t, c));
    Stack one = s;
    one.index = {s.index[static_cast<std::size_t>(t)]};
    const Matrix out = mlp(name + ".experts." + std::to_string(expert), row, one, layer);
    for (std::int64_t c = 0; c < x.cols; ++c) y(t, c) = tape_.mul(gate, out(0, c));
  }

  void jitter(Matrix& x, std::uint32_t layer, const Stack& s) {
    const RandomStream stream(run_.seed, Purpose::router_jitter, layer,
                              static_cast<std::uint64_t>(run_.step));
    for (std::int64_t t = 0; t < x.rows; ++t) {
      for (std::int64_t c = 0; c < x.cols; ++c) {
        const auto words =
            stream.block(s.index[static_cast<std::size_t>(t)], static_cast<std::uint64_t>(c / 4));
        const double u = static_cast<double>(unit_float(words[static_cast<std::size_t>(c % 4)]));
        x(t, c) = tape_.scale(x(t, c), 1.0 + config_.moe.jitter_eps * (2.0 * u - 1.0));
      }
    }
  }

  std::int64_t capacity(std::int64_t n) const {
    const MoeConfig& moe = config_.moe;
    if (run_.training ? moe.dropless : moe.eval_dropless) return -1;
    const double factor = run_.training ? moe.capacity_factor : moe.eval_capacity_factor;
    const auto fair =
        static_cast<std::int64_t>(std::floor(static_cast<double>(n) * factor / moe.num_experts));
    return std::max<std::int64_t>(std::min(n, fair), moe.min_capacity);
  }

  void add_router_losses(const std::vector<std::vector<Var>>& p,
                         const std::vector<std::int64_t>& wanted, const std::vector<Var>& z,
                         std::int64_t real, bool decoder) {
    const double inverse = 1.0 / static_cast<double>(real);
    const double experts = static_cast<double>(wanted.size());
    for (std::size_t e = 0; e < wanted.size(); ++e) {
      const double fraction = static_cast<double>(wanted[e]) * inverse;
      router_losses_.push_back(tape_.scale(
          tape_.sum(p[e]),
          inverse * fraction * experts * config_.moe.aux_loss_coef / run_.virtual_ranks));
    }
    const auto real_in_step =
        static_cast<double>(decoder ? batch_.target_tokens : batch_.input_tokens);
    router_losses_.push_back(tape_.scale(tape_.sum(z), config_.moe.z_loss_coef / real_in_step));
  }

  const ModelConfig& config_;
  const Batch& batch_;
  const ModelRun& run_;
  Tape tape_;
  std::map<std::string, Matrix> weights_;
  std::vector<Var> token_losses_, extra_losses_, router_losses_;
  std::int64_t dropped_ = 0;
};

}  // namespace

ModelResult run_model(const ModelConfig& config, const std::map<std::string, Weights>& weights,
                      const Batch& batch, const ModelRun& run, bool with_gradients) {
  return Evaluation(config, weights, batch, run).result(with_gradients);
}

}  // namespace switchyard::reference
