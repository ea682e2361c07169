// The sweeps of tensor/ops.hpp as plain scalar f64 loops on row-major matrices, forward only;
// gradients are compared with their central differences.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

namespace switchyard::reference {

using Doubles = std::vector<double>;

inline Doubles rms_norm(const Doubles& x, const Doubles& scale, double epsilon) {
  const std::size_t width = scale.size();
  Doubles y(x.size());
  for (std::size_t row = 0; row < x.size(); row += width) {
    double squares = 0;
    for (std::size_t j = 0; j < width; ++j) squares += x[row + j] * x[row + j];
    const double rms = std::sqrt(squares / static_cast<double>(width) + epsilon);
    for (std::size_t j = 0; j < width; ++j) y[row + j] = x[row + j] / rms * scale[j];
  }
  return y;
}

inline double gelu_tanh(double a) {
  return 0.5 * a * (1 + std::tanh(std::sqrt(2 / M_PI) * (a + 0.044715 * a * a * a)));
}

inline Doubles gated_gelu(const Doubles& a, const Doubles& b) {
  Doubles y(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) y[i] = gelu_tanh(a[i]) * b[i];
  return y;
}

inline Doubles relu(const Doubles& x) {
  Doubles y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] > 0 ? x[i] : 0;
  return y;
}

struct AttentionMask {
  std::int64_t n_q, n_k, valid_keys;
  bool causal;

  bool allows(std::int64_t query, std::int64_t key) const {
    return key < valid_keys && (!causal || key <= query);
  }
};

// bias: empty, or bias[key - query + n_q - 1].
inline Doubles attention_softmax(const Doubles& scores, const Doubles& bias,
                                 const AttentionMask& mask) {
  Doubles weights(scores.size(), 0.0);
  for (std::int64_t i = 0; i < mask.n_q; ++i) {
    const auto at = [&](std::int64_t j) { return static_cast<std::size_t>(i * mask.n_k + j); };
    double sum = 0;
    for (std::int64_t j = 0; j < mask.n_k; ++j) {
      if (!mask.allows(i, j)) continue;
      const double b = bias.empty() ? 0 : bias[static_cast<std::size_t>(j - i + mask.n_q - 1)];
      weights[at(j)] = std::exp(scores[at(j)] + b);
      sum += weights[at(j)];
    }
    for (std::int64_t j = 0; j < mask.n_k; ++j) {
      if (mask.allows(i, j)) weights[at(j)] /= sum;
    }
  }
  return weights;
}

// The cross-entropy of each row, 0 where its target is negative.
inline Doubles cross_entropy(const Doubles& logits, const std::vector<std::int32_t>& targets) {
  const std::size_t width = logits.size() / targets.size();
  Doubles loss(targets.size(), 0.0);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] < 0) continue;
    double max = -std::numeric_limits<double>::infinity(), sum = 0;
    for (std::size_t j = 0; j < width; ++j) max = std::fmax(max, logits[i * width + j]);
    for (std::size_t j = 0; j < width; ++j) sum += std::exp(logits[i * width + j] - max);
    loss[i] = max + std::log(sum) - logits[i * width + static_cast<std::size_t>(targets[i])];
  }
  return loss;
}

// Cross-entropy with targets (1 - s) onehot + s / W, plus z log_z^2: the whole training loss of a
// row.
inline Doubles smoothed_cross_entropy(const Doubles& logits,
                                      const std::vector<std::int32_t>& targets, double s,
                                      double z) {
  const std::size_t width = logits.size() / targets.size();
  Doubles loss(targets.size(), 0.0);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] < 0) continue;
    double sum = 0;
    for (std::size_t j = 0; j < width; ++j) sum += std::exp(logits[i * width + j]);
    const double log_z = std::log(sum);
    for (std::size_t j = 0; j < width; ++j) {
      const bool is_target = j == static_cast<std::size_t>(targets[i]);
      const double probability = (is_target ? 1 - s : 0) + s / static_cast<double>(width);
      loss[i] += probability * (log_z - logits[i * width + j]);
    }
    loss[i] += z * log_z * log_z;
  }
  return loss;
}

inline double dot(const Doubles& a, const Doubles& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// d f / d x by central differences; good to about 1e-7 for values of order one.
inline Doubles central_differences(const Doubles& x,
                                   const std::function<double(const Doubles&)>& f) {
  constexpr double step = 1e-5;
  Doubles gradient(x.size()), moved = x;
  for (std::size_t i = 0; i < x.size(); ++i) {
    moved[i] = x[i] + step;
    const double above = f(moved);
    moved[i] = x[i] - step;
    gradient[i] = (above - f(moved)) / (2 * step);
    moved[i] = x[i];
  }
  return gradient;
}

}  // namespace switchyard::reference
