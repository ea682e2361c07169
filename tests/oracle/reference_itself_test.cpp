// The gradients of the plain f64 model, compared with central differences.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "oracle/small_model.hpp"

namespace switchyard::test {
namespace {

TEST(ReferenceModelItself, AgreesWithCentralDifferences) {
  ModelConfig config = small_model();
  config.vocab_size = 12;
  auto weights = all_weights(config, 7);
  const Batch batch = ragged_batch(config, 2, 2);
  const reference::ModelRun run{2, 7, 1, true};
  const auto result = reference::run_model(config, weights, batch, run, true);
  for (auto& [name, tensor] : weights) {
    const std::size_t i = tensor.values.size() / 2;
    const double h = 1e-5, value = tensor.values[i];
    tensor.values[i] = value + h;
    const double up = reference::run_model(config, weights, batch, run, false).loss;
    tensor.values[i] = value - h;
    const double down = reference::run_model(config, weights, batch, run, false).loss;
    tensor.values[i] = value;
    const double gradient = result.gradients.at(name)[i];
    EXPECT_NEAR((up - down) / (2 * h), gradient, 1e-7 * std::max(1.0, std::abs(gradient))) << name;
  }
}

}  // namespace
}  // namespace switchyard::test
