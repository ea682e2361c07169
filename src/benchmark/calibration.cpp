#include "benchmark/calibration.hpp"

#include <omp.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "benchmark/link_rates.hpp"
#include "benchmark/machine_rates.hpp"
#include "comm/job.hpp"
#include "data/zipf_source.hpp"
#include "plan/step_time.hpp"
#include "statistics/median.hpp"
#include "train/learner.hpp"

namespace switchyard {
namespace {

ProductTable measure_table(const Comm& comm, Precision precision) {
  ProductTable table{{16, 64, 256, 1024}, {32, 128, 512, 2048}, {32, 128, 512, 2048}, {}};
  for (const std::int64_t m : table.rows)
    for (const std::int64_t n : table.outputs)
      for (const std::int64_t k : table.inputs)
        table.rates.push_back(measure_layer(comm, precision, {m, n, k}) / comm.size());
  return table;
}

struct Model {
  std::int64_t width = 0, heads = 0, length = 0, rows = 0, vocabulary = 0;
  int experts = 0;
  Rule rule = Rule::adafactor;
};

// They differ in what weighs against what: long rows against short ones, many experts against few.
// None is a shipped configuration.
constexpr std::array<Model, 3> models = {Model{192, 3, 64, 8, 4096, 16, Rule::adafactor},
                                         Model{320, 5, 320, 2, 8192, 64, Rule::adamw},
                                         Model{448, 7, 128, 4, 16384, 4, Rule::adafactor}};

Settings settings_of(const Model& model, int processes) {
  Settings s;
  s.model = {.vocab_size = model.vocabulary,
             .d_model = model.width,
             .d_ff = 4 * model.width,
             .d_kv = 64,
             .num_heads = model.heads,
             .input_length = model.length,
             .num_layers = 2,
             .num_decoder_layers = 2};
  s.model.moe.num_experts = model.experts;
  s.model.moe.capacity_factor = 2;
  s.model.moe.exploration = Exploration::argmax;
  s.model.moe.force_load_balancing = true;
  s.virtual_ranks = processes;
  s.overlap_reduction = false;  // each phase by itself
  s.spans.input_length = model.length;
  if (model.rule == Rule::adamw)
    s.optimizer = AdamWConfig{};
  else
    s.optimizer = AdafactorConfig{};
  s.schedule = {.shape = ScheduleConfig::Shape::constant, .learning_rate = 1e-3};
  s.batch_size = model.rows * processes;
  s.steps = 1;
  return s;
}

// Seconds of the phases of a step, and what the plan counts in it.
struct Sample {
  Rule rule = Rule::adafactor;
  StepWork work;
  std::array<double, static_cast<std::size_t>(Phase::count)> phase{};
  double besides = 0;

  double of(Phase p) const { return phase[static_cast<std::size_t>(p)]; }
};

Sample take_sample(const Comm& comm, const Model& model) {
  constexpr int warm_up = 2, steps = 7;
  const Settings settings = settings_of(model, comm.size());
  const std::int64_t targets = model.length / 4;
  const ZipfSource text(
      {.vocab_size = model.vocabulary, .input_length = model.length, .target_length = targets},
      settings.seed);
  Learner learner(comm, settings, targets);
  std::array<std::vector<double>, static_cast<std::size_t>(Phase::count)> phases;
  std::vector<double> besides;
  for (int i = 0; i < warm_up + steps; ++i) {
    const StepFigures& step = learner.take_step(text);
    if (!step.was_taken())
      throw Error(ExitCode::diverged, "a model of the calibration diverged", "run it again");
    if (i < warm_up) continue;
    double rest = step.cost->step_ms - step.cost->exchange.total.all_ms;
    for (std::size_t p = 0; p < phases.size(); ++p) {
      phases[p].push_back(step.cost->phase_ms[p] / 1000);
      rest -= step.cost->phase_ms[p];
    }
    besides.push_back(std::max(rest, 0.0) / 1000);
  }
  const StepShape shape{.rows = settings.batch_size,
                        .input_length = model.length,
                        .target_length = targets,
                        .real_inputs = model.length,
                        .real_targets = targets};
  Sample sample{.rule = model.rule,
                .work = plan_step_work(settings.model, learner.layout(), shape)};
  for (std::size_t p = 0; p < phases.size(); ++p)
    sample.phase[p] = median(std::move(phases[p])).value();
  sample.besides = median(std::move(besides)).value();
  return sample;
}

using Element = double StepWork::*;

// Seconds per element of each kind, from what a phase takes beyond its products.
std::vector<double> fit_phase(std::span<const Sample> samples, Phase phase,
                              std::vector<Products> StepWork::*products, const ProductTable& table,
                              std::span<const Element> elements) {
  std::vector<double> rest;
  std::vector<std::vector<double>> columns(elements.size());
  for (const Sample& sample : samples) {
    const double computed = products ? product_seconds(sample.work.*products, table) : 0;
    rest.push_back(std::max(sample.of(phase) - computed, 0.0));
    for (std::size_t j = 0; j < elements.size(); ++j)
      columns[j].push_back(sample.work.*elements[j]);
  }
  return fit_nonnegative(columns, rest);
}

SweepTimes fit_sweeps(std::span<const Sample> samples, const ProductTable& table) {
  const auto one = [&](Phase phase, std::vector<Products> StepWork::*products, Element element) {
    return fit_phase(samples, phase, products, table, std::array{element})[0];
  };
  const auto two = [&](Phase phase, std::vector<Products> StepWork::*products, Element first,
                       Element second) {
    return fit_phase(samples, phase, products, table, std::array{first, second});
  };
  SweepTimes times;
  const auto attention =
      two(Phase::attention, &StepWork::attention, &StepWork::attention_elements, &StepWork::scores);
  times.attention = attention[0], times.scores = attention[1];
  const auto routing =
      two(Phase::routing, &StepWork::routing, &StepWork::choices, &StepWork::row_elements);
  times.choices = routing[0], times.rows = routing[1];
  times.feed_forward =
      one(Phase::feed_forward, &StepWork::feed_forward, &StepWork::feed_forward_elements);
  times.experts = one(Phase::experts, &StepWork::experts, &StepWork::expert_elements);
  times.logits = one(Phase::logits, &StepWork::logits, &StepWork::logit_elements);
  times.embedding = one(Phase::embedding, nullptr, &StepWork::embedding_elements);
  std::vector<double> besides;
  for (const Sample& sample : samples) besides.push_back(sample.besides + sample.of(Phase::input));
  times.step = median(std::move(besides)).value();
  for (const Rule rule : {Rule::adafactor, Rule::adamw}) {
    double seconds = 0, parameters = 0;
    for (const Sample& sample : samples) {
      if (sample.rule != rule) continue;
      seconds += sample.of(Phase::optimizer);
      parameters += sample.work.parameters;
    }
    (rule == Rule::adamw ? times.adamw : times.adafactor) = seconds / parameters;
  }
  return times;
}

}  // namespace

std::vector<double> fit_nonnegative(std::span<const std::vector<double>> columns,
                                    std::span<const double> values) {
  // Sums over the samples, each divided by its value, so that errors are relative.
  const auto weight = [&](std::size_t i) {
    return values[i] > 0 ? 1 / (values[i] * values[i]) : 0;
  };
  const auto product = [&](std::size_t a, std::size_t b) {
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i)
      sum += weight(i) * columns[a][i] * columns[b][i];
    return sum;
  };
  const auto target = [&](std::size_t a) {
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) sum += weight(i) * columns[a][i] * values[i];
    return sum;
  };
  const auto alone = [&](std::size_t a) {
    return product(a, a) > 0 ? std::max(target(a) / product(a, a), 0.0) : 0.0;
  };
  if (columns.size() == 1) return {alone(0)};
  const double determinant = product(0, 0) * product(1, 1) - product(0, 1) * product(0, 1);
  if (determinant > 1e-9 * product(0, 0) * product(1, 1)) {
    const double first = (target(0) * product(1, 1) - target(1) * product(0, 1)) / determinant;
    const double second = (target(1) * product(0, 0) - target(0) * product(0, 1)) / determinant;
    if (first >= 0 && second >= 0) return {first, second};
  }
  // At an edge: the column that explains more by itself.
  const auto gain = [&](std::size_t a) { return alone(a) * target(a); };
  if (gain(0) >= gain(1)) return {alone(0), 0};
  return {0, alone(1)};
}

Machine calibrate(const Comm& comm, Log& log) {
  Machine machine;
  machine.threads = omp_get_max_threads();
  std::array<std::int64_t, 1> here = {within_host(comm).size()};
  all_reduce_max(comm, here);
  machine.processes_per_host = here[0];
  log.info("measuring products");
  machine.float32 = measure_table(comm, Precision::float32);
  machine.bfloat16 = measure_table(comm, Precision::bfloat16);
  machine.memory_rate = measure_memory(comm) / comm.size();
  if (comm.size() > 1) {
    log.info("measuring messages");
    machine.inside_host = measure_inside_host(comm);
    machine.between_hosts = measure_between_hosts(comm);
  }
  log.info("taking steps of three small models");
  std::vector<Sample> samples;
  for (const Model& model : models) samples.push_back(take_sample(comm, model));
  machine.sweeps = fit_sweeps(samples, machine.float32);
  return machine;
}

}  // namespace switchyard
