// The plan's messages compared, to the last one, with those that processes really send: the calls
// of MPI are counted on their way. Tokens go to experts in turn, so that no message is empty.
#include <gtest/gtest.h>
#include <mpi.h>

#include "model/transformer.hpp"
#include "optim/gradient_reducer.hpp"
#include "plan/job_traffic.hpp"
#include "plan/small_plan.hpp"
#include "support/mpi_main.hpp"

namespace {

// What left this process.
struct Counted {
  double messages = 0, bytes = 0;

  void add(int elements, MPI_Datatype type) {
    int size = 0;
    PMPI_Type_size(type, &size);
    messages += elements > 0;
    bytes += static_cast<double>(elements) * size;
  }
} counted;

}  // namespace

extern "C" int MPI_Alltoallv(const void* from, const int counts[], const int offsets[],
                             MPI_Datatype type, void* to, const int to_counts[],
                             const int to_offsets[], MPI_Datatype to_type, MPI_Comm comm) {
  int size = 0, rank = 0;
  PMPI_Comm_size(comm, &size);
  PMPI_Comm_rank(comm, &rank);
  for (int p = 0; p < size; ++p)
    if (p != rank) counted.add(counts[p], type);
  return PMPI_Alltoallv(from, counts, offsets, type, to, to_counts, to_offsets, to_type, comm);
}

extern "C" int MPI_Isend(const void* data, int elements, MPI_Datatype type, int to, int tag,
                         MPI_Comm comm, MPI_Request* request) {
  counted.add(elements, type);
  return PMPI_Isend(data, elements, type, to, tag, comm, request);
}

namespace switchyard {
namespace {

struct Messages {
  Counted exchange, sums;
};

Messages count_step(const ModelConfig& config, const StepShape& shape, const Layout& layout,
                    const HostLayout& placement, RowTransport::Way way) {
  const Comm& comm = test_world();
  Transformer model(config, layout, comm.rank(), 17, Transformer::Gradients::yes);
  PhaseTimer timer;
  Work work;
  const RowTransport transport(comm, layout,
                               {.way = way, .chunks = 1, .host = placement.host_of(comm.rank())});
  StepContext context{comm, transport, layout, 17, 3, Mode::train, timer, work};
  const Batch batch = test::slice(test::full_batch(config, shape, layout.virtual_ranks()),
                                  layout.hosted(comm.rank()));
  model.parameters().zero_gradients();
  counted = {};
  model.forward_backward(context, batch);
  Messages messages{.exchange = counted, .sums = {}};
  counted = {};
  synchronize_gradients(comm, layout, model.parameters());
  messages.sums = counted;
  return messages;
}

void expect_planned(const ModelConfig& config, int groups, int hosts, bool two_level) {
  const int R = test_world().size();
  if (groups > R || R % groups != 0 || hosts > R) return;
  const StepShape shape = test::full_rows(24, 12, 12);
  const Layout layout(12, R, groups, config.moe.num_experts);
  const HostLayout placement{R, hosts};
  const Messages sent =
      count_step(config, shape, layout, placement,
                 two_level ? RowTransport::Way::two_level : RowTransport::Way::direct);
  const StepTraffic planned =
      plan_step_traffic({config, layout, shape, placement, two_level}, test_world().rank());
  const std::string what = std::to_string(groups) + " groups on " + std::to_string(hosts) +
                           " hosts, " + (two_level ? "two levels" : "directly");
  EXPECT_EQ(sent.exchange.messages, planned.exchange().messages) << what;
  EXPECT_NEAR(sent.exchange.bytes, planned.exchange().bytes, 0.01 * sent.exchange.bytes) << what;
  EXPECT_EQ(sent.sums.messages, planned.gradients().messages) << what;
  // Tensors are padded, which the plan leaves out.
  EXPECT_NEAR(sent.sums.bytes, planned.gradients().bytes, 0.01 * sent.sums.bytes) << what;
}

TEST(Messages, AreThoseThatProcessesSend) {
  for (const int experts : {6, 2}) {
    ModelConfig config = test::small_config(experts);
    config.moe.force_load_balancing = true;
    for (const int groups : {1, 2})
      for (const int hosts : {1, 2, 3})
        for (const bool two_level : {false, true}) expect_planned(config, groups, hosts, two_level);
    config.recompute = Recompute::block;
    config.moe.expert_dropout_rate = 0.1f;
    expect_planned(config, 1, 2, true);
    expect_planned(config, 1, 1, false);
  }
}

}  // namespace
}  // namespace switchyard
