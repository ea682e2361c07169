// After its kernels have been created, a step makes no heap allocation: its temporary data are in
// storage (base/storage.hpp), whose blocks the next step reuses. One thread per process, so that
// each has met every product shape before counting begins.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/philox.hpp"
#include "support/heap_calls.hpp"
#include "support/mpi_main.hpp"
#include "tensor/gemm.hpp"
#include "train/learner.hpp"

namespace switchyard::test {
namespace {

constexpr std::int64_t vocabulary = 64, input_length = 48, target_length = 48;

// Rows of 24 … 48 ids, so that there is padding, with new rows in each step.
class DrawnIds final : public ExampleSource {
 public:
  Example example(std::int64_t sample) const override {
    return {.inputs = row(sample, 0), .targets = row(sample, 1)};
  }

 private:
  static decltype(Example::inputs) row(std::int64_t sample, std::uint32_t side) {
    const RandomStream stream(1, Purpose::data_order, side, 0);
    const auto item = static_cast<std::uint64_t>(sample);
    decltype(Example::inputs) ids(24 + stream.block(item, 0)[0] % 25);
    for (std::size_t i = 0; i < ids.size(); ++i)
      ids[i] = static_cast<std::int32_t>(1 + stream.block(item, 1 + i)[0] % (vocabulary - 1));
    return ids;
  }
};

// Large enough for the fixed bf16 kernels (tensor/gemm.cpp), and small enough for experts to have
// fewer rows than these require; the numbers of rows differ in each step.
Settings small_settings() {
  Settings settings;
  settings.virtual_ranks = 2;
  settings.batch_size = 8;
  settings.spans.input_length = input_length;
  settings.optimizer = AdafactorConfig{.min_dim_size_to_factor = 16};
  settings.schedule = {.learning_rate = 0.1, .warmup_steps = 10};
  settings.gradient_clipping = 1e-3;
  ModelConfig& model = settings.model;
  model.vocab_size = vocabulary;
  model.d_model = model.d_ff = 64;
  model.d_kv = 48;
  model.num_heads = 2;
  model.input_length = input_length;
  model.num_layers = model.num_decoder_layers = 2;
  model.dropout_rate = model.moe.expert_dropout_rate = 0.1f;
  model.moe.num_experts = 16;
  model.moe.min_capacity = 1;
  model.moe.capacity_factor = 1.0;
  return settings;
}

struct Case {
  std::string name;
  std::function<void(Settings&)> change;
};

void choose(Settings& settings, RoutingMethod method) {
  settings.model.moe.encoder_routing = settings.model.moe.decoder_routing = method;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"Switch", [](Settings&) {}},
      {"Dense", [](Settings& s) { s.model.moe.num_experts = 0; }},
      {"Top2", [](Settings& s) { choose(s, RoutingMethod::top2); }},
      {"TopK",
       [](Settings& s) {
         choose(s, RoutingMethod::topk);
         s.model.moe.router_topk = 3;
         s.model.moe.drop_policy = DropPolicy::probs;
         s.model.moe.load_balancing = LoadBalancing::bias;
       }},
      {"ExpertChoice", [](Settings& s) { choose(s, RoutingMethod::expert_choice); }},
      {"Soft", [](Settings& s) { choose(s, RoutingMethod::soft); }},
      {"Hash", [](Settings& s) { choose(s, RoutingMethod::hash); }},
      {"NoTokenLeftBehind",
       [](Settings& s) {
         choose(s, RoutingMethod::ntlb);
         s.model.moe.drop_policy = DropPolicy::random;
         s.model.moe.exploration = Exploration::sample;
         s.model.moe.aux_loss_scope = AuxLossScope::global;
       }},
      {"Accumulation", [](Settings& s) { s.accumulation_steps = 2; }},
      {"AdamW", [](Settings& s) { s.optimizer = AdamWConfig(); }},
      {"Sgd", [](Settings& s) { s.optimizer = SgdConfig{.momentum = 0.9}; }},
      {"SharedAdafactor", [](Settings& s) { s.shard_optimizer = Settings::ShardOptimizer::on; }},
      {"Window",
       [](Settings& s) {
         s.model.encoder_window = AttentionWindow{8, 1};
       }},
      {"Groups", [](Settings& s) { s.groups = 2; }},
      {"Chunks", [](Settings& s) { s.exchange_chunks = 3; }},
      {"Recomputation", [](Settings& s) { s.model.recompute = Recompute::block; }},
      // The names of its layers are too long for std::string's internal buffer.
      {"Deep",
       [](Settings& s) {
         s.model.num_decoder_layers = 12;
         s.model.activation = Activation::gated_gelu;
         s.model.tie_word_embeddings = false;
         s.model.extra_loss = {.label_smoothing = 0.1f, .z_loss = 1e-4f};
       }},
  };
  return all;
}

class StepAllocation : public testing::TestWithParam<std::size_t> {};

void expect_no_allocation(const Settings& settings) {
  const DrawnIds source;
  Learner learner(test_world(), settings, target_length);
  for (int warm_up = 0; warm_up < 2; ++warm_up) learner.take_step(source);
  HeapCalls calls;
  for (int step = 0; step < 2; ++step) learner.take_step(source);
  calls.stop();
  EXPECT_EQ(calls.count(), 0) << "in two steps, called from\n" << calls.places();
  EXPECT_EQ(learner.steps(), 4);
}

TEST_P(StepAllocation, NeedsNoHeap) {
  Settings settings = small_settings();
  cases()[GetParam()].change(settings);
  expect_no_allocation(settings);
}

TEST_P(StepAllocation, NeedsNoHeapInBfloat16) {
  Settings settings = small_settings();
  cases()[GetParam()].change(settings);
  settings.model.precision = Precision::bfloat16;
  expect_no_allocation(settings);
}

INSTANTIATE_TEST_SUITE_P(All, StepAllocation, testing::Range<std::size_t>(0, cases().size()),
                         [](const auto& info) { return cases()[info.param].name; });

TEST(HeapCalls, SeesOurOwnAndTheLibrarysForUs) {
  HeapCalls calls;
  const std::vector<int> vector(3);
  EXPECT_EQ(calls.count(), 1);
  std::string text = "x";
  text.append(100, 'y');  // grows inside the C++ library
  calls.stop();
  EXPECT_EQ(calls.count(), 2);
  EXPECT_NE(calls.places().find("addr2line"), std::string::npos);
}

}  // namespace
}  // namespace switchyard::test
