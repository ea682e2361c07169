// The peak memory of a step with window attention, counted in bytes, grows linearly with the row
// length, not quadratically.
#include <gtest/gtest.h>

#include "small_model.hpp"
#include "support/allocations.hpp"

namespace switchyard {
namespace {

ModelConfig tiny_config(Precision precision, Recompute recompute) {
  ModelConfig config;
  config.vocab_size = 16;
  config.d_model = config.d_ff = config.d_kv = 8;
  config.num_heads = 2;
  config.num_layers = config.num_decoder_layers = 1;
  config.encoder_window = AttentionWindow{16, 5};
  config.dropout_rate = 0.1f;
  config.precision = precision;
  config.recompute = recompute;
  config.moe.num_experts = 0;  // the memory of routing is not exactly linear in the length
  return config;
}

std::int64_t peak_of_step(const ModelConfig& config, std::int64_t length) {
  const Batch batch = test::random_batch(1, 2, length, 4, config.vocab_size);
  const test::PeakAllocation peak;
  test::Bench bench(test_world(), config, 1);
  bench.step(batch);
  return peak.bytes();
}

TEST(WindowMemory, GrowsInProportionToTheRow) {
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    for (const Recompute recompute : {Recompute::none, Recompute::attention, Recompute::block}) {
      const auto peak = [&](std::int64_t length) {
        return static_cast<double>(peak_of_step(tiny_config(precision, recompute), length));
      };
      peak(64);  // one-time allocations
      const double at_4k = peak(4096), at_8k = peak(8192), at_16k = peak(16384);
      EXPECT_NEAR((at_16k - at_8k) / (at_8k - at_4k), 2, 0.02)
          << at_4k << " " << at_8k << " " << at_16k;
    }
  }
}

}  // namespace
}  // namespace switchyard
