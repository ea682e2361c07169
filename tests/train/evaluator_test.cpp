#include "train/evaluator.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <optional>

#include "statistics/step_statistics.hpp"
#include "support/mpi_main.hpp"
#include "tiny_run.hpp"

namespace switchyard {
namespace {

using test::ReversalTask;

constexpr std::uint64_t seed = 3;
constexpr std::int64_t samples = 11;

BatchShape shape_of(std::int64_t rows) {
  return {.rows = rows,
          .input_length = ReversalTask::input_length,
          .target_length = ReversalTask::target_length};
}

Evaluation evaluate_on(const Comm& comm, int virtual_ranks, std::int64_t rows,
                       const Keep& keep = {}, std::optional<std::int64_t> length = {}) {
  const ModelConfig config = test::tiny_model();
  const Layout layout(virtual_ranks, comm.size(), 1, config.moe.num_experts);
  const Transformer model(config, layout, comm.rank(), seed, Transformer::Gradients::no);
  const ReversalTask task(5);
  PhaseTimer timer;
  Work work;
  const RowTransport transport(comm, layout);
  StepContext context{.comm = comm,
                      .transport = transport,
                      .layout = layout,
                      .seed = seed,
                      .step = 0,
                      .mode = Mode::evaluate,
                      .timer = timer,
                      .work = work};
  const ValidationStream stream{
      .source = task,
      .vocabulary = ReversalTask::vocabulary,
      .samples = samples,
      .shape = length ? BatchShape{rows, *length, *length} : shape_of(rows)};
  return evaluate(context, model, stream, keep);
}

Comm alone() { return test_world().split(static_cast<int>(test_world().rank().value), 0); }

TEST(Evaluator, GivesTheSameBitsOnAnyNumberOfProcesses) {
  const Evaluation together = evaluate_on(test_world(), 4, 8),
                   reference = evaluate_on(alone(), 4, 8);
  EXPECT_EQ(together.loss, reference.loss);
  EXPECT_EQ(together.loss_text, reference.loss_text);
  ASSERT_EQ(together.layers.size(), 2U);
  for (std::size_t i = 0; i < together.layers.size(); ++i) {
    const LayerStatistics &a = together.layers[i], &b = reference.layers[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.tokens_per_expert, b.tokens_per_expert);
    EXPECT_EQ(a.confidence_sum, b.confidence_sum);
    EXPECT_EQ(a.entropy_sum, b.entropy_sum);
  }
}

// The products of a row then have different shapes, so the last bits may differ on some instruction
// sets.
TEST(Evaluator, DependsNeitherOnVirtualRanksNorOnTheBatchSize) {
  const Evaluation reference = evaluate_on(alone(), 4, 8);
  for (const auto& [virtual_ranks, rows] : {std::pair{1, 1}, {1, 11}, {2, 6}, {4, 4}, {4, 20}}) {
    const Evaluation other = evaluate_on(alone(), virtual_ranks, rows);
    EXPECT_NEAR(other.loss, reference.loss, 1e-6 * reference.loss) << virtual_ranks << ", " << rows;
    EXPECT_NEAR(other.loss_text, reference.loss_text, 1e-6 * reference.loss_text);
    EXPECT_EQ(other.targets, reference.targets);
    const RoutingFigures routing = routing_figures(other.layers),
                         expected = routing_figures(reference.layers);
    EXPECT_EQ(routing.load_imbalance, expected.load_imbalance);
    EXPECT_EQ(routing.dead_experts, expected.dead_experts);
    EXPECT_NEAR(routing.router_confidence, expected.router_confidence, 1e-6);
    EXPECT_NEAR(routing.router_entropy, expected.router_entropy, 1e-6);
  }
}

TEST(Evaluator, CountsEveryTargetAndTextApart) {
  const ReversalTask task(5);
  std::int64_t targets = 0;
  for (std::int64_t i = 0; i < samples; ++i) {
    targets += static_cast<std::int64_t>(task.example(i).targets.size());
  }
  const Evaluation evaluation = evaluate_on(test_world(), 4, 8);
  EXPECT_EQ(evaluation.samples, samples);
  EXPECT_EQ(evaluation.targets, targets);
  EXPECT_EQ(evaluation.text_targets, targets - 2 * samples);  // without sentinel and EOS
  EXPECT_NE(evaluation.loss, evaluation.loss_text);
}

TEST(Evaluator, RoutesEveryRealPositionAndDropsNone) {
  const ReversalTask task(5);
  std::int64_t inputs = 0, targets = 0;
  for (std::int64_t i = 0; i < samples; ++i) {
    inputs += static_cast<std::int64_t>(task.example(i).inputs.size());
    targets += static_cast<std::int64_t>(task.example(i).targets.size());
  }
  const auto layers = evaluate_on(test_world(), 4, 8).layers;
  ASSERT_EQ(layers.size(), 2U);
  EXPECT_EQ(layers[0].real_tokens, inputs);
  EXPECT_EQ(layers[1].real_tokens, targets);
  for (const LayerStatistics& layer : layers) {
    EXPECT_EQ(std::accumulate(layer.tokens_per_expert.begin(), layer.tokens_per_expert.end(), 0),
              layer.real_tokens);
    EXPECT_EQ(layer.dropped, 0);
  }
}

TEST(Evaluator, KeepsPredictionsInSampleOrder) {
  const Evaluation together = evaluate_on(test_world(), 4, 8, {.predictions = 10});
  const Evaluation reference = evaluate_on(alone(), 1, 1, {.predictions = 10});
  EXPECT_EQ(together.predictions, reference.predictions);
  ASSERT_EQ(together.predictions.size(), 10U);
  EXPECT_EQ(together.predictions[9].size(), ReversalTask(5).example(9).targets.size());
}

TEST(Evaluator, KeepsTheLossOfEachSample) {
  const Evaluation together = evaluate_on(test_world(), 4, 8, {.rows = true});
  ASSERT_EQ(together.rows.size(), static_cast<std::size_t>(samples)) << "empty rows are left out";
  RowLoss total;
  for (std::int64_t i = 0; i < samples; ++i) {
    const RowLoss& row = together.rows[static_cast<std::size_t>(i)];
    EXPECT_EQ(row.targets, static_cast<double>(ReversalTask(5).example(i).targets.size()));
    total.add(row);
  }
  EXPECT_EQ(total.sum / total.targets, together.loss);
  EXPECT_TRUE(evaluate_on(alone(), 4, 8).rows.empty()) << "nobody asked";
}

// Padding changes a row's loss only through the shapes of products.
TEST(Evaluator, GivesTheSameWhereRowsAreAsLongAsTheLongestOfTheirBatch) {
  const Evaluation fixed = evaluate_on(alone(), 4, 8), fitted = evaluate_on(alone(), 4, 8, {}, 0);
  EXPECT_NEAR(fitted.loss, fixed.loss, 1e-6 * fixed.loss);
  EXPECT_EQ(fitted.targets, fixed.targets);
  EXPECT_EQ(evaluate_on(test_world(), 4, 8, {}, 0).loss, fitted.loss);
}

std::int64_t count_of(const ExpertLayer& layer, const auto& wanted) {
  std::int64_t tokens = 0;
  for (const auto& [key, count] : layer.tokens) tokens += wanted(key) ? count : 0;
  return tokens;
}

TEST(Evaluator, CountsPiecesOfExpertsAlikeOnAnyNumberOfProcesses) {
  const ExpertTable together = evaluate_on(test_world(), 4, 8, {.experts = true}).experts;
  const ExpertTable reference = evaluate_on(alone(), 4, 8, {.experts = true}).experts;
  if (test_world().rank() == Rank(0)) {
    EXPECT_EQ(together, reference);
  } else {
    for (const ExpertLayer& layer : together.layers) EXPECT_TRUE(layer.tokens.empty());
  }
  EXPECT_TRUE(evaluate_on(alone(), 4, 8).experts.layers.empty()) << "nobody asked";
}

// What a layer reads: the inputs; in the decoder, the targets shifted right by one.
TEST(Evaluator, CountsEachRealPositionOfALayerOnceUnderWhatItReads) {
  std::map<std::int32_t, std::int64_t> read[2];  // [decoder]: piece -> positions
  for (std::int64_t i = 0; i < samples; ++i) {
    const Example example = ReversalTask(5).example(i);
    for (const std::int32_t id : example.inputs) ++read[0][id];
    ++read[1][Vocabulary::pad];
    for (const std::int32_t id : std::span(example.targets).first(example.targets.size() - 1))
      ++read[1][id];
  }
  const ExpertTable table = evaluate_on(alone(), 4, 8, {.experts = true}).experts;
  ASSERT_EQ(table.layers.size(), 2U);
  EXPECT_EQ(table.layers[0].name, "encoder.block.1");
  EXPECT_EQ(table.layers[1].name, "decoder.block.1");
  for (const int decoder : {0, 1}) {
    std::map<std::int32_t, std::int64_t> counted;
    for (const auto& [key, count] : table.layers[decoder].tokens) counted[key.piece] += count;
    EXPECT_EQ(counted, read[decoder]) << table.layers[decoder].name;
  }
}

TEST(Evaluator, CountsAsManyPiecesOfAnExpertAsTheRoutingStatisticsSay) {
  const ModelConfig config = test::tiny_model();
  const Layout layout(4, test_world().size(), 1, config.moe.num_experts);
  const Transformer model(config, layout, test_world().rank(), seed, Transformer::Gradients::no);
  PhaseTimer timer;
  Work work;
  const RowTransport transport(test_world(), layout);
  StepContext context{.comm = test_world(),
                      .transport = transport,
                      .layout = layout,
                      .seed = seed,
                      .step = 0,
                      .mode = Mode::evaluate,
                      .timer = timer,
                      .work = work};
  const Batch batch = build_batch(test_world(), layout, ReversalTask(5), shape_of(12), 0, samples);
  const Transformer::Output output = model.forward(context, batch);
  const StepStatistics statistics =
      gather_statistics(test_world(), layout, {&batch, 1}, {&output, 1});

  const ExpertTable table = evaluate_on(test_world(), 4, 12, {.experts = true}).experts;
  ASSERT_EQ(table.layers.size(), statistics.layers.size());
  if (test_world().rank() != Rank(0)) return;
  for (std::size_t i = 0; i < table.layers.size(); ++i) {
    EXPECT_EQ(table.layers[i].name, std::string_view(statistics.layers[i].name));
    for (std::int32_t e = 0; e < table.num_experts; ++e) {
      const auto of_expert = [e](const ExpertPiece& key) { return key.expert == e; };
      EXPECT_EQ(count_of(table.layers[i], of_expert),
                statistics.layers[i].tokens_per_expert[static_cast<std::size_t>(e)])
          << table.layers[i].name << ", expert " << e;
    }
  }
}

}  // namespace
}  // namespace switchyard
