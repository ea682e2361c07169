// Work and memory are really divided: a process holds the weights, gradients and optimizer state of
// its own experts only, and computes its own virtual ranks only.
#include <gtest/gtest.h>

#include <numeric>

#include "comm/layout.hpp"
#include "model/transformer.hpp"
#include "optim/optimizer.hpp"
#include "support/batches.hpp"
#include "support/mpi_main.hpp"

namespace switchyard::test {
namespace {

constexpr int V = 4;

ModelConfig model_config(int experts) {
  ModelConfig c;
  c.vocab_size = 128;
  c.d_model = 32;
  c.d_ff = 64;
  c.d_kv = 16;
  c.num_heads = 2;
  c.num_layers = c.num_decoder_layers = 2;
  c.moe.num_experts = experts;
  c.moe.dropless = true;  // every token is computed, so that work can be counted exactly
  return c;
}

Batch full_batch() {
  Batch batch;
  batch.rows = 2;
  batch.input_length = 12;
  batch.target_length = 6;
  for (std::int32_t r = 0; r < V * 2; ++r) {
    for (std::int32_t i = 0; i < 12; ++i) batch.inputs.push_back((r * 31 + i * 7) % 128);
    for (std::int32_t i = 0; i < 6; ++i) batch.targets.push_back((r * 17 + i * 5) % 128);
    batch.input_lengths.push_back(12);
    batch.target_lengths.push_back(6);
    batch.samples.push_back(r);
  }
  count_tokens(batch);
  return batch;
}

std::int64_t elements(const std::vector<ParamSpec>& specs, bool expert) {
  return std::accumulate(specs.begin(), specs.end(), std::int64_t{0},
                         [&](std::int64_t sum, const ParamSpec& s) {
                           return s.expert.has_value() == expert ? sum + s.rows * s.cols : sum;
                         });
}

// Multiply-adds of one forward and backward pass of the hosted virtual ranks.
std::int64_t step_work(const Comm& comm, const ModelConfig& config) {
  const Layout layout(V, comm.size(), 1, config.moe.num_experts);
  Transformer model(config, layout, comm.rank(), 1, Transformer::Gradients::yes);
  PhaseTimer timer;
  Work work;
  const RowTransport transport(comm, layout);
  StepContext context{comm, transport, layout, 1, 0, Mode::train, timer, work};
  const Batch mine = slice(full_batch(), layout.hosted(comm.rank()));
  const Transformer::Output out = model.forward_backward(context, mine);
  return work.multiply_adds;
}

TEST(Division, GivesAProcessTheTensorsOfItsOwnExpertsOnly) {
  const Comm& comm = test_world();
  const ModelConfig config = model_config(8);
  const Layout layout(V, comm.size(), 1, 8);
  Transformer model(config, layout, comm.rank(), 1, Transformer::Gradients::yes);
  const Interval<ExpertId> owned = layout.owned_experts(comm.rank());
  const auto all = parameter_specs(config, {ExpertId(0), ExpertId(8)});
  const std::int64_t dense = elements(all, false), experts = elements(all, true);
  ASSERT_EQ(experts % 8, 0);
  const std::int64_t mine = experts / 8 * owned.size();
  EXPECT_EQ(model.parameters().elements(), dense + mine);

  std::int64_t values = 0, expert_leaves = 0, dense_leaves = 0;
  for (const Param& p : model.parameters().params()) {
    if (p.is_expert()) {
      EXPECT_TRUE(owned.contains(*p.spec.expert)) << p.name();
    }
    values += p.value.size();
    for (const auto& leaf : p.leaves)
      (p.is_expert() ? expert_leaves : dense_leaves) += leaf.view().size();
  }
  EXPECT_EQ(values, dense + mine);
  EXPECT_EQ(expert_leaves, mine);
  EXPECT_EQ(dense_leaves, dense * layout.hosted(comm.rank()).size());

  struct Rule {
    OptimizerConfig config;
    int floats_an_element;
  };
  for (const Rule& rule : {Rule{AdafactorConfig{}, 1},  // unfactored at this size
                           Rule{AdamWConfig{}, 2}, Rule{SgdConfig{}, 0}, Rule{SgdConfig{0.9}, 1}}) {
    const auto optimizer = make_optimizer(rule.config, model.parameters().params());
    std::int64_t expert_state = 0;
    for (const NamedTensor& t : optimizer->state()) {
      if (!t.expert) continue;
      EXPECT_TRUE(owned.contains(*t.expert)) << t.name;
      expert_state += t.rows * t.cols;
    }
    EXPECT_EQ(expert_state, rule.floats_an_element * mine);
  }
}

TEST(Division, ComputesEachVirtualRankOnce) {
  const Comm& comm = test_world();
  for (const int experts : {0, 8, 3}) {
    const Comm alone = comm.split(static_cast<int>(comm.rank().value), 0);
    const std::int64_t whole = step_work(alone, model_config(experts));
    std::vector<std::int64_t> mine = {step_work(comm, model_config(experts))};
    if (experts == 0) {
      const Layout layout(V, comm.size(), 1, 0);
      EXPECT_EQ(mine[0], whole / V * layout.hosted(comm.rank()).size());
    }
    all_reduce_sum(comm, mine);
    EXPECT_EQ(mine[0], whole) << experts << " experts";
  }
}

}  // namespace
}  // namespace switchyard::test
