// A single expert without a capacity limit equals the dense feed-forward layer bit for bit,
// including the optimizer. This excludes the error by which other mixtures of experts lost even
// against "their own" single expert.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "comm/layout.hpp"
#include "model/transformer.hpp"
#include "optim/gradient_reducer.hpp"
#include "optim/optimizer.hpp"
#include "support/batches.hpp"
#include "support/mpi_main.hpp"

namespace switchyard::test {
namespace {

ModelConfig twin(int experts, Precision precision) {
  ModelConfig c;
  c.precision = precision;
  c.vocab_size = 256;
  c.d_model = 128;  // large enough for Adafactor to factor its second moments
  c.d_ff = 160;
  c.d_kv = 32;
  c.num_heads = 4;
  c.num_layers = c.num_decoder_layers = 2;
  c.moe.num_experts = experts;
  c.moe.dropless = true;
  c.moe.jitter_eps = 0;
  c.moe.aux_loss_coef = 0.01;  // has no gradient with one expert
  return c;
}

Batch full_rows(std::int32_t step) {
  Batch batch;
  batch.rows = 4;
  batch.input_length = 24;
  batch.target_length = 12;
  for (std::int32_t r = 0; r < 4; ++r) {
    for (std::int32_t i = 0; i < 24; ++i)
      batch.inputs.push_back((step * 97 + r * 31 + i * i) % 256);
    for (std::int32_t i = 0; i < 12; ++i)
      batch.targets.push_back((step * 89 + r * 17 + i * 5) % 256);
    batch.input_lengths.push_back(24);
    batch.target_lengths.push_back(12);
    batch.samples.push_back(step * 4 + r);
  }
  count_tokens(batch);
  return batch;
}

// The model after some steps of training on one virtual rank, and the losses of these steps.
struct Trained {
  Transformer model;
  std::vector<float> losses;
};

Trained train(const Comm& comm, int experts, Precision precision) {
  const ModelConfig config = twin(experts, precision);
  const Layout layout(1, 1, 1, experts);
  Trained t{Transformer(config, layout, Rank(0), 5, Transformer::Gradients::yes), {}};
  const auto optimizer = make_adafactor(AdafactorConfig{}, t.model.parameters().params());
  PhaseTimer timer;
  Work work;
  for (std::int32_t step = 0; step < 4; ++step) {
    const RowTransport transport(comm, layout);
    StepContext context{comm, transport, layout, 5, step, Mode::train, timer, work};
    const Batch batch = full_rows(step);
    t.model.parameters().zero_gradients();
    const Transformer::Output out = t.model.forward_backward(context, batch);
    t.losses.insert(t.losses.end(), out.token_loss.flat().begin(), out.token_loss.flat().end());
    synchronize_gradients(comm, layout, t.model.parameters());
    optimizer->update(t.model.parameters().params(), step, 0.02);
  }
  return t;
}

TEST(OneExpert, IsTheDenseTwinBitForBit) {
  const Comm& comm = test_world();
  ASSERT_EQ(comm.size(), 1);
  const Trained dense = train(comm, 0, Precision::float32),
                sparse = train(comm, 1, Precision::float32);
  EXPECT_EQ(dense.losses, sparse.losses);
  int experts = 0, shared = 0;
  for (const Param& s : sparse.model.parameters().params()) {
    const std::string& name =
        s.spec.init_key;  // an expert's key is the name of the dense tensor in its place
    const auto params = dense.model.parameters().params();
    const auto d = std::find_if(params.begin(), params.end(),
                                [&](const Param& p) { return p.name() == name; });
    if (d == params.end()) {
      EXPECT_NE(s.name().find(".router"), std::string::npos) << s.name();
      continue;
    }
    (s.is_expert() ? experts : shared) += 1;
    EXPECT_TRUE(std::equal(s.value.flat().begin(), s.value.flat().end(), d->value.flat().begin(),
                           d->value.flat().end()))
        << s.name();
  }
  EXPECT_EQ(experts, 4);
  EXPECT_GT(shared, 20);
}

// The difference in BFLOAT16: exchanged rows are rounded, that is an expert's output and the
// gradient of its input, where the dense layer adds both in f32.
TEST(OneExpert, DiffersFromTheDenseTwinInBfloat16ByTheRoundingOfExchangedRows) {
  const Comm& comm = test_world();
  const Trained dense = train(comm, 0, Precision::bfloat16),
                sparse = train(comm, 1, Precision::bfloat16);
  ASSERT_EQ(dense.losses.size(), sparse.losses.size());
  double difference = 0;
  for (std::size_t i = 0; i < dense.losses.size(); ++i) {
    difference = std::max<double>(difference, std::abs(dense.losses[i] - sparse.losses[i]));
  }
  EXPECT_GT(difference, 0) << "rows are to be rounded even where they stay in the process";
  EXPECT_LT(difference, 0.02);
}

}  // namespace
}  // namespace switchyard::test
