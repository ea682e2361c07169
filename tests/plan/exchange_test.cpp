// The plan's bytes compared with those that a step records, and these with the arguments of MPI.
// With one expert every routing is uniform, and for uniform routing the plan is exact.
#include <gtest/gtest.h>
#include <mpi.h>

#include <algorithm>
#include <array>

#include "moe/routings.hpp"
#include "moe/row_exchange.hpp"
#include "moe/usable_comm.hpp"
#include "moe/whole_exchange.hpp"
#include "optim/update_share.hpp"
#include "plan/parameters.hpp"
#include "plan/small_plan.hpp"
#include "plan/traffic.hpp"
#include "statistics/exchange_cost.hpp"
#include "statistics/step_statistics.hpp"
#include "support/mpi_main.hpp"

namespace {

// Counts the rows of `row_bytes` bytes that leave this process.
struct Sent {
  int row_bytes = 0;
  std::int64_t bytes = 0;
} sent;

// Counts the messages of single sends and their bytes.
struct Messages {
  std::int64_t count = 0, bytes = 0;
} messages;

}  // namespace

// Replaces MPI's function and calls it.
extern "C" int MPI_Alltoallv(const void* from, const int counts[], const int offsets[],
                             MPI_Datatype type, void* to, const int to_counts[],
                             const int to_offsets[], MPI_Datatype to_type, MPI_Comm comm) {
  int bytes = 0, size = 0, rank = 0;
  PMPI_Type_size(type, &bytes);
  PMPI_Comm_size(comm, &size);
  PMPI_Comm_rank(comm, &rank);
  for (int p = 0; p < size && bytes == sent.row_bytes; ++p) {
    if (p != rank) sent.bytes += std::int64_t{counts[p]} * bytes;
  }
  return PMPI_Alltoallv(from, counts, offsets, type, to, to_counts, to_offsets, to_type, comm);
}

extern "C" int MPI_Isend(const void* data, int count, MPI_Datatype type, int to, int tag,
                         MPI_Comm comm, MPI_Request* request) {
  int bytes = 0;
  PMPI_Type_size(type, &bytes);
  ++messages.count;
  messages.bytes += std::int64_t{count} * bytes;
  return PMPI_Isend(data, count, type, to, tag, comm, request);
}

namespace switchyard {
namespace {

struct Step {
  StepStatistics statistics;
  ExchangeCost exchange;
  std::int64_t sent = 0;  // bytes
};

Step take_step(const ModelConfig& config, const StepShape& shape, const Layout& layout) {
  const Comm& comm = test_world();
  Transformer model(config, layout, comm.rank(), 17, Transformer::Gradients::yes);
  PhaseTimer timer;
  Work work;
  const RowTransport transport(comm, layout);
  StepContext context{comm, transport, layout, 17, 3, Mode::train, timer, work};
  const Batch batch = test::slice(test::full_batch(config, shape, layout.virtual_ranks()),
                                  layout.hosted(comm.rank()));
  sent = {.row_bytes = static_cast<int>(config.d_model * config.input_bytes()), .bytes = 0};
  Transformer::Output output = model.forward_backward(context, batch);
  std::array<std::int64_t, 1> sum = {sent.bytes};
  sent = {};
  all_reduce_sum(comm, sum);
  StepStatistics statistics = gather_statistics(comm, layout, {&batch, 1}, {&output, 1});
  const std::size_t layers = statistics.layers.size();
  return {std::move(statistics), gather_exchange(comm, timer.transfers(), layers), sum[0]};
}

std::int64_t planned_bytes(const ModelConfig& config, const StepShape& shape,
                           const Layout& layout) {
  std::int64_t bytes = 0;
  for (const bool decoder : {false, true}) {
    bytes += config.sparse_layers(decoder) *
             plan_exchange(config, layout, shape, decoder).bytes_of_step();
  }
  return bytes;
}

// One step for each precision and recomputation, with and without drops.
void expect_recorded_sent_and_planned(const ModelConfig& config) {
  const StepShape shape = test::full_rows(8, 11, 7);
  const Layout layout(4, test_world().size(), 1, 1);
  const Step step = take_step(config, shape, layout);
  EXPECT_EQ(routing_figures(step.statistics.layers).dropped_fraction > 0, !config.moe.dropless);
  EXPECT_EQ(step.exchange.total.bytes, planned_bytes(config, shape, layout));
  EXPECT_EQ(step.exchange.total.bytes, step.sent);
  for (std::size_t i = 0; i < step.statistics.layers.size(); ++i) {
    const bool decoder = step.statistics.layers[i].name.starts_with("decoder");
    EXPECT_EQ(step.exchange.layers[i].bytes,
              plan_exchange(config, layout, shape, decoder).bytes_of_step());
  }
}

TEST(ExchangeTraffic, IsWhatAStepRecordsAndSends) {
  ModelConfig config = test::small_config(1);
  config.moe.capacity_factor = 0.5;
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    for (const Recompute recompute : {Recompute::none, Recompute::attention, Recompute::block}) {
      for (const bool dropless : {true, false}) {
        config.precision = precision;
        config.recompute = recompute;
        config.moe.dropless = dropless;
        expect_recorded_sent_and_planned(config);
      }
    }
  }
}

TEST(ExchangeTraffic, IsNearWhatAStepWithManyExpertsSends) {
  const StepShape shape = test::full_rows(64, 32, 16);
  const ModelConfig config = test::small_config(8);
  const Layout layout(4, test_world().size(), 1, 8);
  const auto planned = static_cast<double>(planned_bytes(config, shape, layout));
  const Step step = take_step(config, shape, layout);
  EXPECT_NEAR(static_cast<double>(step.exchange.total.bytes), planned, 0.3 * planned);
  EXPECT_EQ(step.exchange.total.bytes, step.sent);
}

// Every expert is chosen by equally many tokens of each virtual rank.
TEST(ExchangeTraffic, IsWhatEachTransferSendsUnderUniformRouting) {
  struct {
    int V, G, E;
  } const cases[] = {{4, 1, 8}, {4, 1, 3}, {5, 1, 2}, {4, 2, 3}, {4, 4, 2}};
  for (const auto& [V, G, E] : cases) {
    const Comm comm = usable_comm(test_world(), V, G);
    const Layout layout(V, comm.size(), G, E);
    const std::int64_t N = 6 * E;
    Buffer<std::int32_t> experts;
    for (std::int64_t t = 0; t < N; ++t) experts.push_back(static_cast<std::int32_t>(t % E));
    const std::vector<Selection> selections(layout.hosted(comm.rank()).size(),
                                            selection_of(experts, N));

    const ModelConfig config = test::small_config(E);
    PhaseTimer timer;
    Work work;
    const RowTransport transport(comm, layout);
    StepContext context{comm, transport, layout, 1, 0, Mode::train, timer, work};
    const DispatchPlan plan = plan_dispatch(layout, comm.rank(), pointers(selections));
    const RowExchange exchange(context, plan);
    auto rows = Tensor<float>::zeros(std::ssize(plan.rows), config.d_model);
    rows = to_experts(context, exchange, std::move(rows));
    rows = from_experts(context, exchange, rows);

    std::int64_t sent = 0;
    for (const Transfer& transfer : timer.transfers()) sent += transfer.bytes;
    all_reduce_sum(comm, {&sent, 1});
    const StepShape shape = test::full_rows(V, N, N);
    EXPECT_EQ(sent, 2 * plan_exchange(config, layout, shape, false).bytes_of_transfer())
        << "V " << V << ", G " << G << ", E " << E;
  }
}

TEST(Weights, AreSentInTheMessagesThatThePlanCounts) {
  const Comm& comm = test_world();
  ModelConfig config = test::small_config(4);
  config.vocab_size = 5000;
  config.d_model = 128;
  const Layout layout(4, comm.size(), 1, 4);
  Transformer model(config, layout, comm.rank(), 17, Transformer::Gradients::yes);
  UpdateShare share(comm, model.parameters());
  messages = {};
  share.gather_values();
  const SumTraffic planned = plan_weights(config, layout, comm.rank());
  EXPECT_EQ(messages.count, planned.messages);
  EXPECT_EQ(messages.bytes, planned.elements * 4);
  EXPECT_EQ(messages.bytes > count_parameters(config).dense(), comm.size() > 1);
}

}  // namespace
}  // namespace switchyard
