// Hugging Face's implementation as an independent reference: losses within 3e-6 and gradient norms
// within 1e-5 of its float64 results, with and without drops, on any number of processes.
#include "oracle/hf_tiny.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "checkpoint/load.hpp"
#include "checkpoint/save.hpp"
#include "checkpoint/store.hpp"
#include "cli/command.hpp"
#include "comm/layout.hpp"
#include "config/run_config.hpp"
#include "config/settings.hpp"
#include "interchange/hugging_face.hpp"
#include "model/transformer.hpp"
#include "model/weights.hpp"
#include "optim/gradient_reducer.hpp"
#include "support/batches.hpp"
#include "support/mpi_main.hpp"
#include "support/shared_directory.hpp"

namespace switchyard::test {
namespace {

// The fixture as a run made by `switchyard import`. Collective.
struct Imported {
  Imported() {
    import_command.run(test_world(), std::vector<std::string>{HF_TINY_DIRECTORY, "--output", run});
    const RunState state = CheckpointReader(env, checkpoint).state();
    config = read_settings(parse_config(state.config_text, checkpoint)).model;
  }

  void load_into(Transformer& model) const {
    load_checkpoint(test_world(), open_valid(env, test_world(), checkpoint), weights(model));
  }

  PosixEnv env;
  SharedDirectory directory{test_world()};
  const std::string run = directory.path() + "/run";
  const std::string checkpoint = run + "/checkpoints/" + checkpoint_name(0);
  ModelConfig config;
};

struct Case {
  const char* name;  // in expected.json
  std::int64_t rows;
  int virtual_ranks;
  bool drops;
};

class HfTinyOracle : public testing::TestWithParam<Case> {
 protected:
  const HfTiny fixture = load_hf_tiny(HF_TINY_DIRECTORY);
  Imported imported;

  // The model with the fixture's weights and the case's capacity, on the available processes.
  Transformer model(const Layout& layout, Rank self) {
    MoeConfig& moe = imported.config.moe;
    moe.dropless = moe.eval_dropless = !GetParam().drops;
    moe.capacity_factor = moe.eval_capacity_factor = 0.5;
    moe.min_capacity = 3;
    Transformer result(imported.config, layout, self, 1, Transformer::Gradients::yes);
    imported.load_into(result);
    return result;
  }

  void expect_losses(const Transformer::Output& out, const Batch& whole, const Batch& mine,
                     Interval<VirtualRank> hosted) {
    const auto& expected = fixture.expected[GetParam().name]["per_token_loss"];
    for (std::int64_t r = 0; r < hosted.size() * mine.rows; ++r) {
      const std::int64_t row = hosted.first.value * whole.rows + r;
      for (std::int64_t t = 0; t < mine.target_length; ++t) {
        const double reference =
            expected[static_cast<std::size_t>(row)][static_cast<std::size_t>(t)];
        EXPECT_NEAR(out.token_loss.view()(r, t), reference,
                    3e-6 * std::max(1.0, std::abs(reference)))
            << "row " << row << " target " << t;
      }
    }
  }
};

TEST_P(HfTinyOracle, AgreesOnLossesAndGradientNorms) {
  const Comm& comm = test_world();
  const Case& c = GetParam();
  if (comm.size() > c.virtual_ranks) return;  // the case is one for fewer processes
  const Layout layout(c.virtual_ranks, comm.size(), 1, imported.config.moe.num_experts);
  Transformer transformer = model(layout, comm.rank());
  PhaseTimer timer;
  Work work;
  const Batch whole = first_rows(fixture, c.rows, c.virtual_ranks);
  const Batch mine = slice(whole, layout.hosted(comm.rank()));

  const RowTransport transport(comm, layout);
  StepContext evaluation{comm, transport, layout, 1, 0, Mode::evaluate, timer, work};
  expect_losses(transformer.forward(evaluation, mine), whole, mine, layout.hosted(comm.rank()));

  StepContext training{comm, transport, layout, 1, 0, Mode::train, timer, work};
  Transformer::Output out = transformer.forward_backward(training, mine);
  expect_losses(out, whole, mine, layout.hosted(comm.rank()));
  synchronize_gradients(comm, layout, transformer.parameters());

  const auto& norms = fixture.expected[c.name]["grad_l2"];
  for (const Param& p : transformer.parameters().params()) {
    double squares = 0;
    for (float g : p.gradient.flat()) squares += static_cast<double>(g) * g;
    const double reference =
        norms[hugging_face_name(p.name(), HuggingFaceFamily::switch_transformers)];
    EXPECT_NEAR(std::sqrt(squares), reference, 1e-5 * reference + 1e-9) << p.name();
  }
  const double total = fixture.expected[c.name]["grad_l2_total"];
  EXPECT_NEAR(gradient_norm(comm, layout, transformer.parameters()), total, 1e-5 * total);
}

TEST_P(HfTinyOracle, DropsTheTokensThatTheReferenceDrops) {
  const Comm& comm = test_world();
  const Case& c = GetParam();
  if (comm.size() > c.virtual_ranks) return;
  const Layout layout(c.virtual_ranks, comm.size(), 1, imported.config.moe.num_experts);
  Transformer transformer = model(layout, comm.rank());
  PhaseTimer timer;
  Work work;
  const Batch mine =
      slice(first_rows(fixture, c.rows, c.virtual_ranks), layout.hosted(comm.rank()));
  const RowTransport transport(comm, layout);
  StepContext context{comm, transport, layout, 1, 0, Mode::evaluate, timer, work};
  const Transformer::Output out = transformer.forward(context, mine);
  std::vector<std::int64_t> dropped;
  for (const SparseLayerStats& layer : out.sparse_layers) {
    dropped.push_back(0);
    for (const RoutingStats& group : layer.groups) dropped.back() += group.dropped;
  }
  all_reduce_sum(comm, dropped);
  EXPECT_EQ(
      dropped,
      fixture.expected[c.name]["dropped_per_layer_real_tokens"].get<std::vector<std::int64_t>>());
}

TEST(HfTiny, ComesBackBitForBitThroughAModelOnAnyProcesses) {
  const Comm& comm = test_world();
  Imported imported;
  const Layout layout(4, comm.size(), 1, imported.config.moe.num_experts);
  Transformer model(imported.config, layout, comm.rank(), 1, Transformer::Gradients::no);
  imported.load_into(model);
  const std::string saved =
      save_checkpoint(imported.env, comm, layout, imported.directory.path() + "/again/checkpoints",
                      CheckpointReader(imported.env, imported.checkpoint).state(), weights(model));
  const std::string exported = imported.directory.path() + "/exported";
  export_command.run(comm, std::vector<std::string>{saved, "--output", exported});
  const auto bytes = [&](const std::string& directory) {
    return read_file(imported.env, directory + "/model.safetensors", 1 << 20);
  };
  EXPECT_TRUE(bytes(exported) == bytes(HF_TINY_DIRECTORY));
}

INSTANTIATE_TEST_SUITE_P(Cases, HfTinyOracle,
                         testing::Values(Case{"no_drop", 3, 1, false}, Case{"no_drop", 3, 3, false},
                                         Case{"drop", 3, 3, true},
                                         Case{"row0_alone_no_drop", 1, 1, false},
                                         Case{"row0_alone_drop", 1, 1, true}),
                         [](const auto& info) {
                           return std::string(info.param.name) + "_V" +
                                  std::to_string(info.param.virtual_ranks);
                         });

}  // namespace
}  // namespace switchyard::test
