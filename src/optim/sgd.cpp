// Gradient descent, with or without momentum. It has no notion of ranks.
#include <optional>

#include "optim/elementwise.hpp"
#include "optim/optimizer.hpp"

namespace switchyard {
namespace {

class Sgd final : public Optimizer {
 public:
  Sgd(const SgdConfig& config, std::span<const Param> params, const UpdateShare* share)
      : momentum_(static_cast<float>(config.momentum)), share_(share) {
    if (momentum_ > 0) velocity_.emplace(params, "sgd.momentum", share);
  }

  void update(std::span<Param> params, std::int64_t, double learning_rate) override {
    const auto rate = static_cast<float>(learning_rate);
    for (std::size_t i = 0; i < params.size(); ++i) {
      if (velocity_)
        roll(params[i], velocity_->rows(params, i), velocity_->of(i), rate);
      else
        descend(params[i], updated_rows(share_, params, i), rate);
    }
  }

  std::vector<NamedTensor> state() override {
    std::vector<NamedTensor> tensors;
    if (velocity_) velocity_->append_to(tensors);
    return tensors;
  }

 private:
  static void descend(Param& param, RowRange rows, float rate) {
    for_each_run(param, rows, [&](std::int64_t begin, std::int64_t count) {
      float* __restrict w = param.value.data + begin;
      const float* __restrict g = param.gradient.data + begin;
#pragma omp simd
      for (std::int64_t i = 0; i < count; ++i) w[i] -= rate * g[i];
      param.round_values(begin, count);
    });
  }

  void roll(Param& param, RowRange rows, StateOfRows velocity, float rate) const {
    for_each_run(param, rows, [&](std::int64_t begin, std::int64_t count) {
      float* __restrict w = param.value.data + begin;
      const float* __restrict g = param.gradient.data + begin;
      float* __restrict u = velocity.at(begin);
#pragma omp simd
      for (std::int64_t i = 0; i < count; ++i) {
        u[i] = momentum_ * u[i] + g[i];
        w[i] -= rate * u[i];
      }
      param.round_values(begin, count);
    });
  }

  float momentum_;
  const UpdateShare* share_;
  std::optional<ShapedState> velocity_;
};

}  // namespace

std::unique_ptr<Optimizer> make_sgd(const SgdConfig& config, std::span<const Param> params,
                                    UpdateShare* share) {
  return std::make_unique<Sgd>(config, params, share);
}

}  // namespace switchyard
