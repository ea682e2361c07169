// The cross-entropy of a chunk of logits and its gradient.
#include "tensor/cross_entropy.hpp"

#include <span>
#include <utility>

#include "kernels.hpp"
#include "tensor/ops.hpp"

namespace switchyard::bench {
namespace {

struct Chunk {
  Tensor<float> logits, loss, log_z;
  std::vector<std::int32_t> targets;

  explicit Chunk(const LayerShape& shape)
      : logits(random_tensor(std::min<std::int64_t>(512, shape.rows * shape.targets), shape.W, 1)),
        loss(Tensor<float>::uninitialized(1, logits.rows())),
        log_z(Tensor<float>::uninitialized(1, logits.rows())) {
    for (std::int64_t i = 0; i < logits.rows(); ++i)  // a target or two are padding
      targets.push_back(i % 97 == 5 ? -1 : static_cast<std::int32_t>(i * 7919 % shape.W));
  }

  void forward() {
    cross_entropy_forward(logits.view(), targets, loss.flat(), log_z.flat(), nullptr);
  }
};

void forward(benchmark::State& state, const LayerShape& shape) {
  Chunk c(shape);
  c.forward();
  const auto expected = reference::cross_entropy(as_doubles(c.logits.flat()), c.targets);
  if (!verified(state, "loss", relative_error(c.loss.flat(), expected), 1e-5)) return;
  time(state, Amount::bytes, 4 * c.logits.size(), [&] { c.forward(); });
}

// scale * softmax of each row; 0 for padding. The one-hot part is kept separate, since it is much
// larger.
reference::Doubles scaled_softmax(const Chunk& c, double scale) {
  reference::Doubles d = as_doubles(c.logits.flat());
  const auto width = static_cast<std::size_t>(c.logits.cols());
  for (std::size_t i = 0; i < c.targets.size(); ++i) {
    const std::span<double> row(d.data() + i * width, width);
    double sum = 0;
    for (double& x : row) sum += x = std::exp(x);
    for (double& x : row) x *= c.targets[i] < 0 ? 0 : scale / sum;
  }
  return d;
}

// d = scale (softmax - onehot), 0 for padding.
template <class T>
void backward(benchmark::State& state, const LayerShape& shape) {
  constexpr float scale = 0.125f;
  Chunk c(shape);
  c.forward();
  reference::Doubles expected = scaled_softmax(c, static_cast<double>(scale)), at_targets;
  auto d = Tensor<T>::uninitialized(c.logits.rows(), c.logits.cols());
  const auto run = [&] {
    cross_entropy_backward<T>(c.logits.view(), c.targets, c.log_z.flat(), scale, {}, d.view());
  };
  run();
  std::vector<float> computed = widened<T>(d.view()), computed_at_targets;
  for (std::int64_t i = 0; i < d.rows(); ++i) {
    const std::int64_t target = c.targets[static_cast<std::size_t>(i)];
    if (target < 0) continue;
    const auto place = static_cast<std::size_t>(i * d.cols() + target);
    at_targets.push_back(std::exchange(expected[place], 0.0) - static_cast<double>(scale));
    computed_at_targets.push_back(std::exchange(computed[place], 0.0f));
  }
  const double error = relative_error(computed, expected),
               error_at_targets = relative_error(computed_at_targets, at_targets);
  if (!verified(state, "d at targets", error_at_targets, allowed_error<T>)) return;
  if (!verified(state, "d elsewhere", error, allowed_error<T>)) return;
  time(state, Amount::bytes, d.size() * static_cast<std::int64_t>(4 + sizeof(T)), run);
}

}  // namespace

void register_cross_entropy(const LayerShape& shape) {
  add_benchmark("cross_entropy/forward", shape, [=](auto& state) { forward(state, shape); });
  add_benchmark("cross_entropy/backward/FLOAT32", shape,
                [=](auto& state) { backward<float>(state, shape); });
  add_benchmark("cross_entropy/backward/BFLOAT16", shape,
                [=](auto& state) { backward<bfloat16>(state, shape); });
}

}  // namespace switchyard::bench
