// The prediction compared with all memory that a process allocates while it makes a model and takes
// steps. Deterministic: counts allocations, not pages. oneDNN and MPI have allocators of their own.
#include "plan/memory.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "model/transformer.hpp"
#include "optim/gradient_reducer.hpp"
#include "optim/optimizer.hpp"
#include "optim/update_share.hpp"
#include "plan/parameters.hpp"
#include "plan/small_plan.hpp"
#include "support/allocations.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

ModelConfig medium_config(int experts) {
  ModelConfig config = test::small_config(experts);
  config.vocab_size = 1024;
  config.d_model = 64;
  config.d_ff = 192;
  config.d_kv = 16;
  config.num_heads = 4;
  return config;
}

const StepShape shape = test::full_rows(16, 64, 32);
constexpr int virtual_ranks = 4;

// Router kernels of zeros: all probabilities are equal, so all tokens choose expert 0.
void prefer_expert_zero(ParamSet& params) {
  for (Param& param : params.params()) {
    if (param.name().ends_with(".router")) std::ranges::fill(param.value.flat(), 0.0f);
  }
}

struct Measured {
  bool all_to_one = false;
  bool shared = false;  // the update, by AdamW
  int chunks = 1;       // of the exchange
};

std::int64_t measured_peak(const ModelConfig& config, const Layout& layout,
                           const Measured& measured) {
  const Comm& comm = test_world();
  const test::PeakAllocation peak;
  Transformer model(config, layout, comm.rank(), 17, Transformer::Gradients::yes);
  if (measured.all_to_one) prefer_expert_zero(model.parameters());
  GradientReducer reducer(comm, layout, model.parameters());
  std::optional<UpdateShare> share;
  if (measured.shared) share.emplace(comm, model.parameters());
  const std::span<const Param> params = model.parameters().params();
  const auto optimizer = share ? make_adamw({}, params, &*share) : make_adafactor({}, params);
  PhaseTimer timer;
  Work work;
  for (std::int64_t step = 0; step < 2; ++step) {
    const RowTransport transport(comm, layout, {.chunks = measured.chunks});
    StepContext context{comm, transport, layout, 17, step, Mode::train, timer, work};
    const Batch batch =
        test::slice(test::full_batch(config, shape, virtual_ranks), layout.hosted(comm.rank()));
    model.parameters().zero_gradients();
    const Transformer::Output output = model.forward_backward(context, batch);
    reducer.begin();
    reducer.finish();
    if (measured.all_to_one) continue;  // the routers stay as they are
    optimizer->update(model.parameters().params(), step, 0.01);
    if (share) share->gather_values();
  }
  return peak.bytes();
}

void expect_predicted(const ModelConfig& config, Load load, int chunks = 1) {
  const Comm& comm = test_world();
  const Layout layout(virtual_ranks, comm.size(), 1, config.moe.num_experts);
  const ProcessMemory memory = plan_memory({.config = config,
                                            .layout = layout,
                                            .shape = shape,
                                            .optimizer = {.moments = 1, .factor_from = 128},
                                            .threads = omp_get_max_threads(),
                                            .exchange_chunks = chunks},
                                           comm.rank(), load);
  const auto measured = static_cast<double>(
      measured_peak(config, layout, {.all_to_one = load == Load::worst, .chunks = chunks}));
  // The worst case applies to one process, the owner of expert 0.
  if (load == Load::worst && comm.rank() != Rank(0)) return;
  EXPECT_NEAR(static_cast<double>(memory.arrays()) / measured, 1, 0.05)
      << memory.weights << " " << memory.gradients << " " << memory.optimizer << " "
      << memory.activations << " " << memory.buffers << ", measured " << measured;
}

// The configuration in both precisions, recomputing nothing, attention weights, or whole blocks.
std::vector<ModelConfig> variants_of(ModelConfig config) {
  std::vector<ModelConfig> variants;
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    for (const Recompute recompute : {Recompute::none, Recompute::attention, Recompute::block}) {
      config.precision = precision;
      config.recompute = recompute;
      variants.push_back(config);
    }
  }
  return variants;
}

void expect_variants_predicted(const ModelConfig& config, Load load) {
  for (const ModelConfig& variant : variants_of(config)) {
    SCOPED_TRACE(std::string(variant.precision == Precision::bfloat16 ? "BFLOAT16" : "FLOAT32") +
                 ", recompute " + std::to_string(static_cast<int>(variant.recompute)));
    expect_predicted(variant, load);
  }
}

TEST(Memory, OfADenseModelIsWhatItAllocates) {
  expect_predicted(medium_config(0), Load::balanced);
  ModelConfig config = medium_config(0);
  config.activation = Activation::gated_gelu;
  config.tie_word_embeddings = false;
  config.dropout_rate = config.moe.expert_dropout_rate = 0.1f;
  expect_variants_predicted(config, Load::balanced);
}

// On one process the share is everything.
TEST(Memory, OfASharedUpdateIsWhatItAllocates) {
  const Comm& comm = test_world();
  const ModelConfig config = medium_config(4);
  const Layout layout(virtual_ranks, comm.size(), 1, config.moe.num_experts);
  const auto plan = [&](bool shared) {
    return plan_memory({.config = config,
                        .layout = layout,
                        .shape = shape,
                        .optimizer = {.moments = 2, .factor_from = {}, .shared = shared},
                        .threads = omp_get_max_threads()},
                       comm.rank(), Load::balanced);
  };
  const auto measured = static_cast<double>(measured_peak(config, layout, {.shared = true}));
  EXPECT_NEAR(static_cast<double>(plan(true).arrays()) / measured, 1, 0.05);

  const ParameterCount count = count_parameters(config);
  const std::int64_t saved = plan(false).optimizer - plan(true).optimizer;
  const double whole = 8.0 * static_cast<double>(count.dense());
  EXPECT_NEAR(static_cast<double>(saved) / whole, 1 - 1.0 / comm.size(), 0.1);
}

TEST(Memory, OfASwitchTransformerIsWhatItAllocates) {
  for (const int experts : {1, 4, 16}) expect_predicted(medium_config(experts), Load::balanced);
  ModelConfig config = medium_config(4);
  config.encoder_sparse_step = config.decoder_sparse_step = 1;
  config.activation = Activation::gated_gelu;
  config.dropout_rate = config.moe.expert_dropout_rate = 0.1f;
  expect_variants_predicted(config, Load::balanced);
}

TEST(Memory, OfAnExchangeInChunksIsWhatItAllocates) {
  if (test_world().size() == 1) GTEST_SKIP() << "no rows leave the process";
  ModelConfig config = medium_config(16);
  config.encoder_sparse_step = config.decoder_sparse_step = 1;
  for (const ModelConfig& variant : variants_of(config))
    for (const int chunks : {2, 4}) expect_predicted(variant, Load::balanced, chunks);
}

TEST(Memory, OfAWindowedEncoderIsWhatItAllocates) {
  for (const AttentionWindow& window : {AttentionWindow{2, 0}, AttentionWindow{5, 3}}) {
    ModelConfig config = medium_config(0);
    config.num_layers = 8;
    config.encoder_window = window;
    config.dropout_rate = config.moe.expert_dropout_rate = 0.1f;
    expect_variants_predicted(config, Load::balanced);
  }
}

TEST(Memory, OfAWindowedEncoderGrowsInProportionToTheRow) {
  ModelConfig config = medium_config(0);
  config.encoder_window = AttentionWindow{128, 8};
  const Layout layout(virtual_ranks, 1, 1, 0);
  const auto arrays = [&](std::int64_t length) {
    const StepShape shape = test::full_rows(16, length, 32);
    return plan_memory({config, layout, shape, {}, 1}, Rank(0), Load::balanced).arrays();
  };
  const auto first = static_cast<double>(arrays(8192) - arrays(4096));
  EXPECT_NEAR(static_cast<double>(arrays(16384) - arrays(8192)) / first, 2, 0.01);
}

TEST(Memory, WhenOneExpertIsAskedForEverythingIsTheWorstCase) {
  ModelConfig config = medium_config(4);
  config.encoder_sparse_step = config.decoder_sparse_step = 1;
  expect_variants_predicted(config, Load::worst);
  config.moe.dropless = false;
  config.moe.capacity_factor = 4.0;
  expect_predicted(config, Load::worst);
}

TEST(Memory, OfEveryRoutingIsWhatItAllocates) {
  using enum RoutingMethod;
  for (const RoutingMethod method : {top2, topk, expert_choice, soft, hash, ntlb}) {
    SCOPED_TRACE("routing " + std::to_string(static_cast<int>(method)));
    ModelConfig config = medium_config(4);
    config.input_length = shape.input_length;
    config.encoder_sparse_step = 1;
    config.moe.encoder_routing = method;
    config.moe.second_policy = SecondPolicy::all;
    config.moe.router_topk = 3;
    config.moe.load_balancing = LoadBalancing::bias;
    expect_predicted(config, Load::balanced);
    config.recompute = Recompute::block;
    config.moe.expert_dropout_rate = 0.1f;
    expect_predicted(config, Load::balanced);
  }
}

TEST(Memory, IsNoLessAtWorst) {
  const ModelConfig config = medium_config(4);
  const Layout layout(virtual_ranks, 2, 1, 4);
  const MemoryInput input{config, layout, shape, {}, 1};
  EXPECT_GT(plan_memory(input, Rank(0), Load::worst).total(),
            plan_memory(input, Rank(0), Load::balanced).total());
}

TEST(Memory, IsLessTheMoreIsComputedAgain) {
  const Layout layout(virtual_ranks, 1, 1, 4);
  std::int64_t before = std::numeric_limits<std::int64_t>::max();
  for (const Recompute recompute : {Recompute::none, Recompute::attention, Recompute::block}) {
    ModelConfig config = medium_config(4);
    config.recompute = recompute;
    const ProcessMemory memory =
        plan_memory({config, layout, shape, {}, 1}, Rank(0), Load::balanced);
    EXPECT_LT(memory.arrays(), before);
    before = memory.arrays();
  }
}

TEST(Memory, HasACopyOfTheWeightsInBfloat16) {
  const Layout layout(virtual_ranks, 1, 1, 4);
  ModelConfig config = medium_config(4);
  EXPECT_EQ(plan_memory({config, layout, shape, {}, 1}, Rank(0), Load::balanced).copies, 0);
  config.precision = Precision::bfloat16;
  const ProcessMemory memory = plan_memory({config, layout, shape, {}, 1}, Rank(0), Load::balanced);
  EXPECT_EQ(2 * memory.copies, memory.weights);
}

TEST(Memory, OfAnOptimizerFollowsItsShape) {
  const ModelConfig config = medium_config(0);
  const Layout layout(virtual_ranks, 1, 1, 0);
  const auto state = [&](OptimizerShape optimizer) {
    return plan_memory({config, layout, shape, optimizer, 1}, Rank(0), Load::balanced).optimizer;
  };
  EXPECT_EQ(state({.moments = 0, .factor_from = std::nullopt}), 0);
  EXPECT_EQ(state({.moments = 2, .factor_from = std::nullopt}),
            2 * state({.moments = 1, .factor_from = std::nullopt}));
  EXPECT_LT(state({.moments = 1, .factor_from = 8}), state({.moments = 1, .factor_from = 128}));
}

}  // namespace
}  // namespace switchyard
