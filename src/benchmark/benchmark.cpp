#include "benchmark/benchmark.hpp"

#include <omp.h>

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "data/zipf_source.hpp"
#include "plan/operations.hpp"
#include "statistics/median.hpp"
#include "tensor/gemm.hpp"
#include "train/learner.hpp"

namespace switchyard {
namespace {

constexpr int steps_left_out = 2;  // warm-up steps, which include one-time costs
constexpr ProductShape large{2048, 2048, 2048};

// Disables dropout and jitter, whose random draws cost time that depends on their options.
Settings without_noise(Settings settings) {
  MoeConfig& moe = settings.model.moe;
  settings.model.dropout_rate = moe.expert_dropout_rate = 0;
  moe.jitter_eps = 0;
  moe.exploration = Exploration::argmax;
  return settings;
}

StepShape full_rows(const Settings& settings) {
  const std::int64_t inputs = settings.spans.input_length;
  const std::int64_t targets =
      settings.spans.target_length.value_or(fit_segment(settings.spans).targets);
  return {.rows = settings.batch_size,
          .input_length = inputs,
          .target_length = targets,
          .real_inputs = inputs,
          .real_targets = targets,
          .micro_steps = settings.accumulation_steps};
}

struct NamedProduct {
  std::string name;
  ProductShape shape;
  Call call = Call::as_issued;
};

// The yardstick, then the encoder's forward products and one chunk of the logits.
std::vector<NamedProduct> main_products(const ModelConfig& model, const Layout& layout,
                                        const StepShape& shape) {
  constexpr std::int64_t most_logits = 512;  // positions at a time
  const std::int64_t rows = shape.rows_of_rank(layout);
  const std::int64_t N = rows * shape.input_length, S = shape.input_length;
  const std::int64_t D = model.d_model, F = model.d_ff, width = model.num_heads * model.d_kv;
  std::vector<NamedProduct> products = {{"yardstick, oneDNN alone", large, Call::whole},
                                        {"the same, cut for threads", large},
                                        {"attention projection", {N, width, D}}};
  if (!model.encoder_window) products.push_back({"attention scores per head", {S, S, model.d_kv}});
  products.push_back({"feed-forward, in", {N, F, D}});
  products.push_back({"feed-forward, out", {N, D, F}});
  if (model.sparse_layers(false) > 0) {
    const std::int64_t share =
        std::max<std::int64_t>(1, N * layout.virtual_ranks() / layout.groups() / layout.experts());
    products.push_back({"expert, in", {share, F, D}});
    products.push_back({"expert, out", {share, D, F}});
  }
  products.push_back(
      {"logits", {std::min(most_logits, rows * shape.target_length), model.vocab_size, D}});
  return products;
}

ProductRate measure(const Comm& comm, const NamedProduct& product) {
  const auto in = [&](Precision precision) {
    return measure_products(comm, precision, product.shape, product.call);
  };
  return {product.name, product.shape, in(Precision::float32), in(Precision::bfloat16)};
}

// The median of `figure` over the steps.
template <class Figure>
double median_of(const std::vector<StepFigures>& steps, const Figure& figure) {
  std::vector<double> values;
  for (const StepFigures& step : steps) values.push_back(figure(step));
  return median(std::move(values)).value();
}

void summarize(const std::vector<StepFigures>& steps, Benchmark& result) {
  constexpr std::pair<const char*, Phase> phases[] = {
      {"input", Phase::input},         {"embedding", Phase::embedding},
      {"attention", Phase::attention}, {"feed_forward", Phase::feed_forward},
      {"routing", Phase::routing},     {"experts", Phase::experts},
      {"logits", Phase::logits},       {"reduction", Phase::reduction},
      {"optimizer", Phase::optimizer}};
  for (const auto& [name, phase] : phases) {
    if (phase == Phase::experts) {
      result.phases.push_back({"exchange", median_of(steps, [](const StepFigures& step) {
                                 return step.cost->exchange.total.all_ms;
                               })});
    }
    result.phases.push_back(
        {name, median_of(steps, [&](const StepFigures& step) { return step.cost->ms(phase); })});
  }
  result.step_seconds =
      median_of(steps, [](const StepFigures& step) { return step.cost->step_ms; }) / 1000;
  result.forward_backward_seconds =
      median_of(steps, [](const StepFigures& step) { return step.cost->forward_backward_ms; }) /
      1000;
  result.peak_bytes = steps.back().cost->peak_memory;
  if (result.settings.model.sparse_layers() == 0) return;
  const auto routing = [](const StepFigures& step) {
    return routing_figures(step.statistics.layers);
  };
  result.bytes_exchanged = steps.back().cost->exchange.total.bytes;
  result.dropped_fraction =
      median_of(steps, [&](const StepFigures& step) { return routing(step).dropped_fraction; });
  result.load_imbalance =
      median_of(steps, [&](const StepFigures& step) { return routing(step).load_imbalance; });
}

std::vector<StepFigures> take_steps(const Comm& comm, const Benchmark& benchmark) {
  const Settings& settings = benchmark.settings;
  const ZipfSource text({.vocab_size = settings.model.vocab_size,
                         .input_length = benchmark.shape.input_length,
                         .target_length = benchmark.shape.target_length},
                        settings.seed);
  Learner learner(comm, settings, benchmark.shape.target_length);
  std::vector<StepFigures> steps;
  for (std::int64_t i = 0; i < steps_left_out + benchmark.steps; ++i) {
    const StepFigures& step = learner.take_step(text);
    if (!step.was_taken()) {
      throw Error(ExitCode::diverged, "the model diverged at step " + std::to_string(i + 1),
                  "set a smaller optimizer.learning_rate");
    }
    if (i >= steps_left_out) steps.push_back(step);
  }
  return steps;
}

}  // namespace

double Benchmark::yardstick() const { return std::max(yardstick_before(), yardstick_after); }

Benchmark run_benchmark(const Comm& comm, Log& log, const Settings& settings, std::int64_t steps) {
  const Layout layout(settings.virtual_ranks, comm.size(), settings.groups,
                      settings.model.moe.num_experts);
  Benchmark result{.settings = without_noise(settings),
                   .shape = full_rows(settings),
                   .processes = comm.size(),
                   .threads = omp_get_max_threads(),
                   .steps = steps};
  const ModelConfig& model = result.settings.model;
  result.operations = count_operations(model, layout, result.shape).total();
  log.info("measuring the machine");
  for (const NamedProduct& product : main_products(model, layout, result.shape))
    result.products.push_back(measure(comm, product));
  result.memory_rate = measure_memory(comm);
  const std::int64_t positions = result.shape.rows * result.shape.input_length;
  result.exchange_rate =
      measure_exchange(comm, model.precision, positions / comm.size(), model.d_model);
  result.reduction_rate = measure_reduction(comm, layout);
  log.info("measuring " + std::to_string(steps) + " steps, after " +
           std::to_string(steps_left_out) + " that are left out");
  summarize(take_steps(comm, result), result);
  result.yardstick_after = measure_products(comm, model.precision, large, Call::whole);
  return result;
}

}  // namespace switchyard
