// The plan's bytes against those that a step records, and those against what MPI is really given.
// With one expert every routing is uniform.
#include <gtest/gtest.h>
#include <mpi.h>

#include <array>

#include "plan/parameters.hpp"
#include "plan/small_plan.hpp"
#include "plan/traffic.hpp"
#include "support/mpi_main.hpp"
#include "train/step_statistics.hpp"

namespace {

// Rows that left this process, whose datatype has `row_bytes`.
struct Sent {
  int row_bytes = 0;
  std::int64_t bytes = 0;
} sent;

}  // namespace

// In place of MPI's own, which it calls.
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

namespace switchyard {
namespace {

struct StepBytes {
  std::int64_t recorded = 0, sent = 0;
};

StepBytes bytes_of_step(const ModelConfig& config, const StepShape& shape, const Layout& layout) {
  const Comm& comm = test_world();
  Transformer model(config, layout, comm.rank(), 17, Transformer::Gradients::yes);
  PhaseTimer timer;
  Work work;
  StepContext context{comm, layout, 17, 3, Mode::train, timer, work};
  const Batch batch = test::slice(test::full_batch(config, shape, layout.virtual_ranks()),
                                  layout.hosted(comm.rank()));
  sent = {.row_bytes = static_cast<int>(config.d_model * config.input_bytes()), .bytes = 0};
  Transformer::Output output = model.forward(context, batch);
  model.backward(context, batch, output);
  std::array<std::int64_t, 1> sum = {sent.bytes};
  sent = {};
  all_reduce_sum(comm, sum);
  StepRecord record;
  record_statistics(gather_statistics(comm, layout, {&batch, 1}, {&output, 1}), config, record);
  return {record.a2a_bytes(), sum[0]};
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

TEST(ExchangeTraffic, IsWhatAStepRecordsAndSends) {
  const StepShape shape = test::full_rows(8, 11, 7);
  const Layout layout(4, test_world().size(), 1, 1);
  ModelConfig config = test::small_config(1);
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    if (precision == Precision::bfloat16 && bfloat16_support() == Bfloat16Support::none) break;
    for (const Recompute recompute : {Recompute::none, Recompute::attention, Recompute::block}) {
      config.precision = precision;
      config.recompute = recompute;
      const StepBytes step = bytes_of_step(config, shape, layout);
      EXPECT_EQ(step.recorded, planned_bytes(config, shape, layout));
      EXPECT_EQ(step.recorded, step.sent);
    }
  }
}

TEST(ExchangeTraffic, IsNearWhatAStepWithManyExpertsRecords) {
  const StepShape shape = test::full_rows(64, 32, 16);
  const ModelConfig config = test::small_config(8);
  const Layout layout(4, test_world().size(), 1, 8);
  const auto planned = static_cast<double>(planned_bytes(config, shape, layout));
  const StepBytes step = bytes_of_step(config, shape, layout);
  EXPECT_NEAR(static_cast<double>(step.recorded), planned, 0.3 * planned);
  EXPECT_EQ(step.recorded, step.sent);
}

}  // namespace
}  // namespace switchyard
