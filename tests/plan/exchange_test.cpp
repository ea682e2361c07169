// The plan's bytes against those that processes send in a step. With one expert every routing is
// uniform, and where routing is uniform the plan is exact.
#include <gtest/gtest.h>

#include <algorithm>

#include "moe/dispatcher.hpp"
#include "moe/routings.hpp"
#include "moe/usable_comm.hpp"
#include "plan/parameters.hpp"
#include "plan/small_plan.hpp"
#include "plan/traffic.hpp"
#include "support/mpi_main.hpp"
#include "train/exchange_record.hpp"
#include "train/step_statistics.hpp"

namespace switchyard {
namespace {

StepRecord record_of_step(const ModelConfig& config, const StepShape& shape, const Comm& comm,
                          const Layout& layout) {
  Transformer model(config, layout, comm.rank(), 17, Transformer::Gradients::yes);
  PhaseTimer timer;
  Work work;
  StepContext context{comm, layout, 17, 3, Mode::train, timer, work};
  const Batch batch = test::slice(test::full_batch(config, shape, layout.virtual_ranks()),
                                  layout.hosted(comm.rank()));
  Transformer::Output output = model.forward(context, batch);
  model.backward(context, batch, output);
  StepRecord record;
  record_statistics(gather_statistics(comm, layout, {&batch, 1}, {&output, 1}), config, record);
  record_exchange(comm, timer.transfers(), record);
  return record;
}

std::int64_t planned_bytes(const ModelConfig& config, const StepShape& shape,
                           const Layout& layout) {
  std::int64_t bytes = 0;
  for (const bool decoder : {false, true}) {
    bytes += sparse_block_count(config, decoder) *
             plan_exchange(config, layout, shape, decoder).bytes_of_step();
  }
  return bytes;
}

TEST(ExchangeTraffic, IsWhatAStepSends) {
  const StepShape shape = test::full_rows(8, 11, 7);
  const Layout layout(4, test_world().size(), 1, 1);
  for (const bool dropless : {true, false}) {
    ModelConfig config = test::small_config(1);
    config.moe.dropless = dropless;
    config.moe.capacity_factor = 0.5;
    const StepRecord record = record_of_step(config, shape, test_world(), layout);
    EXPECT_EQ(record.dropped_fraction() > 0, !dropless);
    EXPECT_EQ(record.a2a_bytes(), planned_bytes(config, shape, layout));
    for (const StepRecord::LayerExchange& layer : record.layer_exchanges()) {
      const bool decoder = layer.layer().starts_with("decoder");
      EXPECT_EQ(layer.a2a_bytes(), plan_exchange(config, layout, shape, decoder).bytes_of_step());
    }
  }
}

TEST(ExchangeTraffic, IsNearWhatAStepWithManyExpertsSends) {
  const StepShape shape = test::full_rows(64, 32, 16);
  const ModelConfig config = test::small_config(8);
  const Layout layout(4, test_world().size(), 1, 8);
  const auto planned = static_cast<double>(planned_bytes(config, shape, layout));
  const StepRecord record = record_of_step(config, shape, test_world(), layout);
  EXPECT_NEAR(static_cast<double>(record.a2a_bytes()), planned, 0.3 * planned);
}

// Every expert is wanted by as many tokens of each virtual rank.
TEST(ExchangeTraffic, IsWhatEachTransferSendsUnderUniformRouting) {
  struct {
    int V, G, E;
  } const cases[] = {{4, 1, 8}, {4, 1, 3}, {5, 1, 2}, {4, 2, 3}, {4, 4, 2}};
  for (const auto& [V, G, E] : cases) {
    const Comm comm = usable_comm(test_world(), V, G);
    const Layout layout(V, comm.size(), G, E);
    const std::int64_t N = 6 * E;
    std::vector<std::int32_t> experts;
    for (std::int64_t t = 0; t < N; ++t) experts.push_back(static_cast<std::int32_t>(t % E));
    std::vector<Routing> routings(layout.hosted(comm.rank()).size());
    std::ranges::generate(routings, [&] { return routing_of(experts, E); });

    const ModelConfig config = test::small_config(E);
    PhaseTimer timer;
    Work work;
    StepContext context{comm, layout, 1, 0, Mode::train, timer, work};
    const DispatchPlan plan = plan_dispatch(layout, comm.rank(), routings, N);
    const Exchange exchange = exchange_counts(context, plan);
    auto rows = Tensor<float>::zeros(std::ssize(plan.rows), config.d_model);
    rows = dispatch(context, exchange, std::move(rows));
    rows = return_rows(context, exchange, std::move(rows));

    std::int64_t sent = 0;
    for (const Transfer& transfer : timer.transfers()) sent += transfer.bytes;
    all_reduce_sum(comm, {&sent, 1});
    const StepShape shape = test::full_rows(V, N, N);
    EXPECT_EQ(sent, 2 * plan_exchange(config, layout, shape, false).bytes_of_transfer())
        << "V " << V << ", G " << G << ", E " << E;
  }
}

}  // namespace
}  // namespace switchyard
