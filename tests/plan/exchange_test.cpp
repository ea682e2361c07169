// The plan's bytes against those that a step records. With one expert every routing is uniform.
#include <gtest/gtest.h>

#include "plan/parameters.hpp"
#include "plan/small_plan.hpp"
#include "plan/traffic.hpp"
#include "support/mpi_main.hpp"
#include "train/step_statistics.hpp"

namespace switchyard {
namespace {

StepRecord record_of_step(const ModelConfig& config, const StepShape& shape, const Layout& layout) {
  const Comm& comm = test_world();
  const Transformer model(config, layout, comm.rank(), 17, Transformer::Gradients::no);
  PhaseTimer timer;
  Work work;
  StepContext context{comm, layout, 17, 3, Mode::train, timer, work};
  const Batch batch = test::slice(test::full_batch(config, shape, layout.virtual_ranks()),
                                  layout.hosted(comm.rank()));
  const Transformer::Output output = model.forward(context, batch);
  StepRecord record;
  record_statistics(gather_statistics(comm, layout, {&batch, 1}, {&output, 1}), config, record);
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

TEST(ExchangeTraffic, IsWhatAStepRecords) {
  const StepShape shape = test::full_rows(8, 11, 7);
  const ModelConfig config = test::small_config(1);
  const Layout layout(4, test_world().size(), 1, 1);
  EXPECT_EQ(record_of_step(config, shape, layout).a2a_bytes(),
            planned_bytes(config, shape, layout));
}

TEST(ExchangeTraffic, IsNearWhatAStepWithManyExpertsRecords) {
  const StepShape shape = test::full_rows(64, 32, 16);
  const ModelConfig config = test::small_config(8);
  const Layout layout(4, test_world().size(), 1, 8);
  const auto planned = static_cast<double>(planned_bytes(config, shape, layout));
  EXPECT_NEAR(static_cast<double>(record_of_step(config, shape, layout).a2a_bytes()), planned,
              0.3 * planned);
}

}  // namespace
}  // namespace switchyard
