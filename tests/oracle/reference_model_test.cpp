// The model compared with a plain f64 one: losses, and every tensor's gradient within 1e-5 of its
// norm (in BFLOAT16: see `tolerance`), with capacity, dropout, jitter and all losses enabled; and
// the gradients' independence of the number of virtual ranks.
#include "support/reference_model.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>

#include "comm/layout.hpp"
#include "model/transformer.hpp"
#include "optim/gradient_reducer.hpp"
#include "oracle/small_model.hpp"
#include "support/batches.hpp"
#include "support/mpi_main.hpp"
#include "train/batch_builder.hpp"

namespace switchyard::test {
namespace {

// ||mine - reference|| / ||reference||
double relative_difference(View<const float> mine, const std::vector<double>& reference) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    difference += std::pow(static_cast<double>(mine.flat()[i]) - reference[i], 2);
    norm += reference[i] * reference[i];
  }
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

struct Variant {
  const char* name;
  std::function<void(ModelConfig&)> change;
};

// The error that bf16's eight significant bits justify. A product's input has a relative error of
// at most 2^-9, and a gradient passes about twenty such independent roundings on its way through
// both stacks and back: 2^-9 sqrt(20) = 2^-7, and eight times that where terms cancel. However,
// ReLU switches where its input is smaller than its error, for about 2^-8 of all units, whose
// gradients are then completely wrong: sqrt(2^-8) of the norm per layer, sqrt(4 2^-8) = 2^-3 for
// four layers, twice that at worst.
double tolerance(const ModelConfig& config) {
  if (config.precision == Precision::float32) return 1e-5;
  return config.activation == Activation::relu ? 0x1p-2 : 0x1p-4;
}

class ReferenceModel : public testing::TestWithParam<Variant> {};

TEST_P(ReferenceModel, HasTheGradientOfEveryTensor) {
  const Comm& comm = test_world();
  constexpr int V = 4;
  constexpr std::uint64_t seed = 11;
  ModelConfig config = small_model();
  GetParam().change(config);
  const bool rounds = config.precision == Precision::bfloat16;
  const Batch whole = ragged_batch(config, V, 2);
  const auto reference =
      reference::run_model(config, all_weights(config, seed), whole, {V, seed, 3, true}, true);
  if (config.moe.num_experts > 1 && !config.moe.dropless) {
    EXPECT_GT(reference.dropped_tokens, 0) << "the case is meant to drop tokens";
  }

  const Layout layout(V, comm.size(), 1, config.moe.num_experts);
  Transformer model(config, layout, comm.rank(), seed, Transformer::Gradients::yes);
  const Interval<VirtualRank> hosted = layout.hosted(comm.rank());
  const Batch mine = slice(whole, hosted);
  PhaseTimer timer;
  Work work;
  const RowTransport transport(comm, layout);
  StepContext context{comm, transport, layout, seed, 3, Mode::train, timer, work};
  Transformer::Output out = model.forward_backward(context, mine);
  for (std::int64_t i = 0; i < out.token_loss.size(); ++i) {
    const std::int64_t first = hosted.first.value * whole.rows * whole.target_length;
    EXPECT_NEAR(out.token_loss.flat()[static_cast<std::size_t>(i)],
                reference.token_loss[static_cast<std::size_t>(first + i)], rounds ? 0x1p-4 : 2e-5);
    if (!config.extra_loss.any()) continue;
    EXPECT_NEAR(out.extra_loss.flat()[static_cast<std::size_t>(i)],
                reference.extra_loss[static_cast<std::size_t>(first + i)], rounds ? 0x1p-4 : 2e-5);
  }
  synchronize_gradients(comm, layout, model.parameters());
  for (const Param& p : model.parameters().params()) {
    EXPECT_LT(relative_difference(p.gradient, reference.gradients.at(p.name())), tolerance(config))
        << p.name();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Variants, ReferenceModel,
    testing::Values(
        Variant{"Switch", [](ModelConfig&) {}},
        Variant{"Dropless", [](ModelConfig& c) { c.moe.dropless = true; }},
        Variant{"Dense", [](ModelConfig& c) { c.moe.num_experts = 0; }},
        Variant{"GatedUntied",
                [](ModelConfig& c) {
                  c.activation = Activation::gated_gelu;
                  c.tie_word_embeddings = false;
                }},
        Variant{"SmoothedWithZLoss",
                [](ModelConfig& c) { c.extra_loss = {.label_smoothing = 0.2f, .z_loss = 0.05f}; }},
        Variant{"SmoothedUntied",
                [](ModelConfig& c) {
                  c.extra_loss = {.label_smoothing = 0.2f, .z_loss = 0};
                  c.tie_word_embeddings = false;
                }},
        Variant{"EveryLayerSparse",
                [](ModelConfig& c) { c.encoder_sparse_step = c.decoder_sparse_step = 1; }},
        Variant{"Window",
                [](ModelConfig& c) {
                  c.encoder_window = AttentionWindow{1, 0};
                }},
        Variant{"WindowWithGlobalPositions",
                [](ModelConfig& c) {
                  c.encoder_window = AttentionWindow{1, 2};
                }},
        Variant{"DecoderDense", [](ModelConfig& c) { c.decoder_sparse_step = 0; }},
        Variant{"Bfloat16", [](ModelConfig& c) { c.precision = Precision::bfloat16; }},
        Variant{"Bfloat16Dense",
                [](ModelConfig& c) {
                  c.precision = Precision::bfloat16;
                  c.moe.num_experts = 0;
                }},
        Variant{"Bfloat16Window",
                [](ModelConfig& c) {
                  c.precision = Precision::bfloat16;
                  c.encoder_window = AttentionWindow{1, 2};
                }},
        Variant{"Bfloat16GatedUntied",
                [](ModelConfig& c) {
                  c.precision = Precision::bfloat16;
                  c.activation = Activation::gated_gelu;
                  c.tie_word_embeddings = false;
                }},
        Variant{"Bfloat16SmoothedWithZLoss",
                [](ModelConfig& c) {
                  c.precision = Precision::bfloat16;
                  c.extra_loss = {.label_smoothing = 0.2f, .z_loss = 0.05f};
                }}),
    [](const auto& info) { return std::string(info.param.name); });

constexpr std::uint64_t seed = 11;

// A model with the gradients of one step on `whole`, accumulated over `micro_steps` micro-steps.
Transformer model_after_step(const ModelConfig& config, const Layout& layout, const Batch& whole,
                             int micro_steps = 1) {
  const Comm& comm = test_world();
  Transformer model(config, layout, comm.rank(), seed, Transformer::Gradients::yes);
  PhaseTimer timer;
  Work work;
  const RowTransport transport(comm, layout);
  StepContext context{comm, transport, layout, seed, 3, Mode::train, timer, work, micro_steps};
  for (const Batch& batch : split_batch(slice(whole, layout.hosted(comm.rank())), micro_steps)) {
    Transformer::Output out = model.forward_backward(context, batch);
  }
  synchronize_gradients(comm, layout, model.parameters());
  return model;
}

// Where the replicas are does not matter mathematically, and the reference has no groups.
TEST(ExpertReplicas, ChangeTheGradientByNoMoreThanRounding) {
  constexpr int V = 4;
  const int processes = test_world().size();
  for (const bool dropless : {true, false}) {
    ModelConfig config = small_model();
    config.moe.dropless = dropless;
    const Batch whole = ragged_batch(config, V, 2);
    const auto reference =
        reference::run_model(config, all_weights(config, seed), whole, {V, seed, 3, true}, true);
    std::map<std::string, std::vector<double>> gradients_of_one;
    for (const int groups : {1, 2, 4}) {
      if (groups > 1 && processes % groups != 0 && groups % processes != 0) continue;
      const Layout layout(V, processes, groups, config.moe.num_experts);
      const Transformer model = model_after_step(config, layout, whole);
      for (const Param& p : model.parameters().params()) {
        const auto [known, first] = gradients_of_one.try_emplace(
            p.name(), p.gradient.flat().begin(), p.gradient.flat().end());
        EXPECT_LT(relative_difference(p.gradient, known->second), 1e-5)
            << p.name() << ", " << groups << " groups";
        EXPECT_LT(relative_difference(p.gradient, reference.gradients.at(p.name())), 1e-5)
            << p.name() << ", " << groups << " groups";
      }
    }
  }
}

// The reference has no micro-steps: two of them on four virtual ranks have the same routing groups
// as eight virtual ranks, with the same drops and balance loss.
TEST(Accumulation, HasTheGradientOfAsManyVirtualRanksAsItHasRoutingGroups) {
  constexpr int V = 4, A = 2;
  const ModelConfig config = small_model();
  Batch whole = ragged_batch(config, V * A, 1);
  const auto reference =
      reference::run_model(config, all_weights(config, seed), whole, {V * A, seed, 3, true}, true);
  EXPECT_GT(reference.dropped_tokens, 0) << "the case is meant to drop tokens";
  whole.rows = A;
  const Layout layout(V, test_world().size(), 1, config.moe.num_experts);
  const Transformer model = model_after_step(config, layout, whole, A);
  for (const Param& p : model.parameters().params()) {
    EXPECT_LT(relative_difference(p.gradient, reference.gradients.at(p.name())), 1e-5) << p.name();
  }
}

// Adafactor would hide a factor V in a gradient; this test does not.
TEST(VirtualRanks, DoNotScaleTheGradients) {
  const Comm& comm = test_world();
  ModelConfig config = small_model();
  config.dropout_rate = config.moe.expert_dropout_rate = 0;
  config.moe.dropless = true;
  config.moe.aux_loss_coef = config.moe.z_loss_coef = config.moe.jitter_eps = 0;
  std::map<std::string, std::vector<double>> gradients_of_one;
  for (const int V : {1, 2, 4}) {
    // With one virtual rank every process computes the whole model alone, so it has every expert.
    const int processes = std::min(V, comm.size());
    const bool takes_part = comm.rank().value < processes;
    const Comm part =
        comm.split(V == 1 ? static_cast<int>(comm.rank().value) : (takes_part ? 0 : 1), 0);
    if (V > 1 && !takes_part) continue;
    Batch whole = ragged_batch(config, 4, 1);
    whole.rows = 4 / V;
    const Layout layout(V, processes, 1, config.moe.num_experts);
    Transformer model(config, layout, part.rank(), 3, Transformer::Gradients::yes);
    PhaseTimer timer;
    Work work;
    const RowTransport transport(part, layout);
    StepContext context{part, transport, layout, 3, 0, Mode::train, timer, work};
    const Batch mine = slice(whole, layout.hosted(part.rank()));
    Transformer::Output out = model.forward_backward(context, mine);
    synchronize_gradients(part, layout, model.parameters());
    for (const Param& p : model.parameters().params()) {
      const auto [known, first] = gradients_of_one.try_emplace(p.name(), p.gradient.flat().begin(),
                                                               p.gradient.flat().end());
      if (!first) {
        EXPECT_LT(relative_difference(p.gradient, known->second), 1e-5)
            << p.name() << " at V = " << V;
      }
    }
  }
}

}  // namespace
}  // namespace switchyard::test
