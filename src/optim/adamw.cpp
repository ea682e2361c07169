// AdamW: its state and its element-wise update in f32. It has no notion of ranks.
#include <cmath>

#include "optim/elementwise.hpp"
#include "optim/optimizer.hpp"
#include "tensor/vector_math.hpp"
#include "tensor/wide.hpp"

namespace switchyard {
namespace {

// The factors of one step, the same for every element of a tensor.
struct Factors {
  float keep_1, take_1;  // beta_1 and 1 - beta_1
  float keep_2, take_2;
  float rate;    // learning rate over the first moment's bias correction
  float second;  // 1 / sqrt of the second moment's bias correction
  float epsilon;
  float decay;  // learning rate times weight decay
};

// Moments and weights of a run of consecutive elements.
struct AdamRange {
  float *m, *v, *w;
};

SWITCHYARD_WIDE void step_run(const Factors& f, std::int64_t count, const float* __restrict g,
                              const AdamRange& run) {
  float* __restrict m = run.m;
  float* __restrict v = run.v;
  float* __restrict w = run.w;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    m[i] = f.keep_1 * m[i] + f.take_1 * g[i];
    v[i] = f.keep_2 * v[i] + f.take_2 * (g[i] * g[i]);
    const float direction = m[i] / (std::sqrt(v[i]) * f.second + f.epsilon);
    w[i] -= f.rate * direction + f.decay * w[i];
  }
}

class AdamW final : public Optimizer {
 public:
  AdamW(const AdamWConfig& config, std::span<const Param> params, const UpdateShare* share)
      : config_(config), first_(params, "adamw.m", share), second_(params, "adamw.v", share) {}

  void update(std::span<Param> params, std::int64_t step, double learning_rate) override {
    Factors factors = factors_of(step, learning_rate);
    const float decay = factors.decay;
    for (std::size_t i = 0; i < params.size(); ++i) {
      factors.decay = params[i].spec.rows > 1 ? decay : 0;
      for_each_run(params[i], first_.rows(params, i), [&](std::int64_t begin, std::int64_t count) {
        step_run(factors, count, params[i].gradient.data + begin,
                 {first_.of(i).at(begin), second_.of(i).at(begin), params[i].value.data + begin});
        params[i].round_values(begin, count);
      });
    }
  }

  std::vector<NamedTensor> state() override {
    std::vector<NamedTensor> tensors;
    first_.append_to(tensors);
    second_.append_to(tensors);
    return tensors;
  }

 private:
  Factors factors_of(std::int64_t step, double learning_rate) const {
    const double correction_1 = 1 - integer_power(config_.beta_1, step + 1);
    const double correction_2 = 1 - integer_power(config_.beta_2, step + 1);
    return {.keep_1 = static_cast<float>(config_.beta_1),
            .take_1 = static_cast<float>(1 - config_.beta_1),
            .keep_2 = static_cast<float>(config_.beta_2),
            .take_2 = static_cast<float>(1 - config_.beta_2),
            .rate = static_cast<float>(learning_rate / correction_1),
            .second = static_cast<float>(1 / std::sqrt(correction_2)),
            .epsilon = static_cast<float>(config_.epsilon),
            .decay = static_cast<float>(learning_rate * config_.weight_decay)};
  }

  AdamWConfig config_;
  ShapedState first_, second_;
};

}  // namespace

std::unique_ptr<Optimizer> make_adamw(const AdamWConfig& config, std::span<const Param> params,
                                      UpdateShare* share) {
  return std::make_unique<AdamW>(config, params, share);
}

}  // namespace switchyard
