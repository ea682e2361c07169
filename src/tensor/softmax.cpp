// The softmax of attention with mask (full or windowed) and relative position bias.
#include <algorithm>
#include <array>
#include <limits>

#include "tensor/ops.hpp"
#include "tensor/rows.hpp"
#include "tensor/vector_math.hpp"
#include "tensor/wide.hpp"

namespace switchyard {

namespace {

// A run of consecutive visible keys in one query's scores: `count` keys from column `first` on, the
// first of which is at `distance` = key minus query. Columns outside all runs are hidden.
struct KeyRun {
  std::int64_t first, count, distance;
};

// The runs of query i, in column order.
struct Rectangle {
  const FullScores& scores;

  std::array<KeyRun, 1> runs(std::int64_t i) const {
    const auto& [first_query, valid_keys, causal] = scores;
    const std::int64_t query = first_query + i;
    return {KeyRun{0, causal ? std::min(valid_keys, query + 1) : valid_keys, -query}};
  }
};

struct Window {
  const WindowedScores& scores;
  std::int64_t valid_keys, columns;

  std::array<KeyRun, 2> runs(std::int64_t i) const {
    const auto& [first_query, globals, first_key, reach] = scores;
    const std::int64_t query = first_query + i, end = first_key + columns - globals;
    const std::int64_t first = std::max(first_key, query - reach);
    const std::int64_t last = std::min({end, valid_keys, query + reach + 1});
    return {KeyRun{0, std::min(globals, valid_keys), -query},
            KeyRun{globals + first - first_key, std::max<std::int64_t>(last - first, 0),
                   first - query}};
  }
};

// Writes zeros to those of the `columns` columns of a row that are in no run.
template <class T, std::size_t n>
void clear_hidden(const std::array<KeyRun, n>& runs, std::int64_t columns, T* out) {
  std::int64_t done = 0;
  for (const KeyRun& run : runs) {
    if (run.count == 0) continue;
    std::fill(out + done, out + run.first, T{});
    done = run.first + run.count;
  }
  std::fill(out + done, out + columns, T{});
}

// Adds the bias, if any, to x [n]; returns the largest result.
SWITCHYARD_WIDE float bias_and_max(const float* __restrict bias, std::int64_t n,
                                   float* __restrict x) {
  if (bias != nullptr) {
#pragma omp simd
    for (std::int64_t j = 0; j < n; ++j) x[j] += bias[j];
  }
  return lane_max(x, n);
}

// exp(x - max) in place; returns the sum.
SWITCHYARD_WIDE float exponentiate(float* __restrict x, std::int64_t n, float max) {
  return lane_sum(n, [=](std::int64_t j) { return x[j] = fast_exp(x[j] - max); });
}

template <class T>
SWITCHYARD_WIDE void scale(const float* x, std::int64_t n, float factor, T* out) {
#pragma omp simd
  for (std::int64_t j = 0; j < n; ++j) out[j] = from_float<T>(x[j] * factor);
}

template <class T>
SWITCHYARD_WIDE float dot(const T* __restrict w, const float* __restrict d, std::int64_t n) {
  return lane_sum(n, [=](std::int64_t j) { return to_float(w[j]) * d[j]; });
}

// out = w (d - mean), which may be the memory of d; also added to d_bias, if any.
template <class T>
SWITCHYARD_WIDE void differentiate(const T* w, const float* d, std::int64_t n, float mean,
                                   float* d_bias, T* out) {
  if (d_bias == nullptr) {
#pragma omp simd
    for (std::int64_t j = 0; j < n; ++j) out[j] = from_float<T>(to_float(w[j]) * (d[j] - mean));
    return;
  }
#pragma omp simd
  for (std::int64_t j = 0; j < n; ++j) {
    const float gradient = to_float(w[j]) * (d[j] - mean);
    d_bias[j] += gradient;
    out[j] = from_float<T>(gradient);
  }
}

const float* from(const float* by_distance, const KeyRun& run) {
  return by_distance == nullptr ? nullptr : by_distance + run.distance;
}
float* from(float* by_distance, const KeyRun& run) {
  return by_distance == nullptr ? nullptr : by_distance + run.distance;
}

// Each sweep handles several queries at a time, because a single query would have to wait for its
// maximum and then for its sum before it could continue.
constexpr std::int64_t together = 8;

// Calls f(first, end) for groups of at most `together` queries, in order.
template <class F>
void for_each_few(std::int64_t queries, F f) {
  for (std::int64_t first = 0; first < queries; first += together)
    f(first, std::min(first + together, queries));
}

template <class T, class Visible>
void softmax_forward(View<float> scores, const float* bias_by_distance, const Visible& visible,
                     View<T> weights) {
  for_each_few(scores.rows, [&](std::int64_t first, std::int64_t end) {
    std::array<float, together> max, sum{};
    max.fill(-std::numeric_limits<float>::infinity());
    for (std::int64_t i = first; i < end; ++i) {
      float& largest = max[i - first];
      for (const KeyRun& run : visible.runs(i)) {
        largest = std::max(largest, bias_and_max(from(bias_by_distance, run), run.count,
                                                 scores.row(i) + run.first));
      }
    }
    for (std::int64_t i = first; i < end; ++i) {
      for (const KeyRun& run : visible.runs(i))
        sum[i - first] += exponentiate(scores.row(i) + run.first, run.count, max[i - first]);
    }
    for (std::int64_t i = first; i < end; ++i) {
      const auto runs = visible.runs(i);
      for (const KeyRun& run : runs) {
        scale(scores.row(i) + run.first, run.count, 1.0f / sum[i - first],
              weights.row(i) + run.first);
      }
      clear_hidden(runs, weights.cols, weights.row(i));
    }
  });
}

template <class T, class Visible>
void softmax_backward(View<const T> weights, View<const float> d, float* d_bias_by_distance,
                      const Visible& visible, View<T> d_scores) {
  for_each_few(d.rows, [&](std::int64_t first, std::int64_t end) {
    std::array<float, together> mean{};
    for (std::int64_t i = first; i < end; ++i) {
      for (const KeyRun& run : visible.runs(i))
        mean[i - first] += dot(weights.row(i) + run.first, d.row(i) + run.first, run.count);
    }
    for (std::int64_t i = first; i < end; ++i) {
      const auto runs = visible.runs(i);
      for (const KeyRun& run : runs) {
        differentiate(weights.row(i) + run.first, d.row(i) + run.first, run.count, mean[i - first],
                      from(d_bias_by_distance, run), d_scores.row(i) + run.first);
      }
      clear_hidden(runs, d_scores.cols, d_scores.row(i));
    }
  });
}

}  // namespace

template <class T>
void attention_softmax_forward(View<float> scores, const FullScores& full,
                               const float* bias_by_distance, View<T> weights) {
  softmax_forward(scores, bias_by_distance, Rectangle{full}, weights);
}

template <class T>
void attention_softmax_backward(ConstView<T> weights, View<const float> d, const FullScores& full,
                                float* d_bias_by_distance, View<T> d_scores) {
  softmax_backward(weights, d, d_bias_by_distance, Rectangle{full}, d_scores);
}

template <class T>
void window_softmax_forward(View<float> scores, const WindowedScores& window,
                            const float* bias_by_distance, std::int64_t valid_keys,
                            View<T> weights) {
  softmax_forward(scores, bias_by_distance, Window{window, valid_keys, scores.cols}, weights);
}

template <class T>
void window_softmax_backward(ConstView<T> weights, View<const float> d,
                             const WindowedScores& window, float* d_bias_by_distance,
                             std::int64_t valid_keys, View<T> d_scores) {
  softmax_backward(weights, d, d_bias_by_distance, Window{window, valid_keys, d.cols}, d_scores);
}

#define SWITCHYARD_INSTANTIATE(T)                                                                  \
  template void attention_softmax_forward(View<float>, const FullScores&, const float*, View<T>);  \
  template void attention_softmax_backward<T>(View<const T>, View<const float>, const FullScores&, \
                                              float*, View<T>);                                    \
  template void window_softmax_forward(View<float>, const WindowedScores&, const float*,           \
                                       std::int64_t, View<T>);                                     \
  template void window_softmax_backward<T>(View<const T>, View<const float>,                       \
                                           const WindowedScores&, float*, std::int64_t, View<T>);

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
