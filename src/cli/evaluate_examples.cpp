#include "cli/evaluate_examples.hpp"

#include <algorithm>
#include <array>
#include <iostream>

#include "base/error.hpp"
#include "checkpoint/load.hpp"
#include "cli/memory.hpp"
#include "cli/run_data.hpp"
#include "cli/startup.hpp"
#include "comm/job.hpp"
#include "config/run_config.hpp"
#include "config/settings.hpp"
#include "config/validate.hpp"
#include "model/weights.hpp"
#include "report/example_report.hpp"
#include "tensor/instruction_set.hpp"
#include "train/evaluator.hpp"

namespace switchyard {
namespace {

// Whether a changed option, as in "moe.num_experts: 4 -> 8", changes the model itself.
bool changes_the_model(const std::string& change) {
  constexpr std::array shapes = {"moe.num_experts", "moe.encoder_sparse_step",
                                 "moe.decoder_sparse_step", "moe.sparse_place"};
  const std::string option = change.substr(0, change.find(':'));
  return option.starts_with("model.") || std::ranges::find(shapes, option) != shapes.end();
}

// The configuration for the evaluation. Files of examples are evaluated dropless and in FLOAT32
// unless the user says otherwise.
RunConfig example_config(const RunConfig& saved, const ExampleEvaluation& job, int processes) {
  RunConfig config = saved;
  config.mutable_moe()->set_eval_dropless(true);
  config.mutable_train()->set_precision(TrainOptions::FLOAT32);
  return changed_for_evaluation(config, job.sets, processes);
}

void require_tokenizer_of_run(const RunState& state, const std::optional<Tokenizer>& tokenizer,
                              const std::string& checkpoint) {
  if (!tokenizer || state.tokenizer_digest.empty() || tokenizer->sha256() == state.tokenizer_digest)
    return;
  throw Error(ExitCode::mismatch,
              "the tokenizer (" + unlike(tokenizer->sha256(), state.tokenizer_digest) +
                  ") is not the one that " + checkpoint + " was trained with",
              "set data.tokenizer to the model's own spiece.model");
}

// One evaluation under `settings`. Collective.
ExampleFigure measure(const Comm& world, const ExampleEvaluation& job, const Settings& settings,
                      const ExampleFileSource& source) {
  const MoeConfig& moe = settings.model.moe;
  const Layout layout(settings.virtual_ranks, world.size(), settings.groups, moe.num_experts);
  Transformer model(settings.model, layout, world.rank(), settings.seed,
                    Transformer::Gradients::no);
  load_checkpoint(world, job.checkpoint, weights(model), Coverage::part);
  model.round_weights();
  PhaseTimer timer;
  Work work;
  const RowTransport transport(world, layout);
  StepContext context{.comm = world,
                      .transport = transport,
                      .layout = layout,
                      .seed = settings.seed,
                      .step = 0,
                      .mode = Mode::evaluate,
                      .timer = timer,
                      .work = work};
  const std::int64_t samples =
      job.samples > 0 ? std::min(job.samples, source.size()) : source.size();
  const ValidationStream stream{.source = source,
                                .vocabulary = {},
                                .samples = samples,
                                .shape = {.rows = settings.rows_at_once()}};
  return {evaluate(context, model, stream, {.rows = job.per_example}),
          moe.eval_dropless ? std::nullopt : std::optional(moe.eval_capacity_factor)};
}

}  // namespace

RunConfig changed_for_evaluation(const RunConfig& config, const std::vector<std::string>& sets,
                                 int processes) {
  RunConfig changed = config;
  for (const std::string& assignment : sets) set_option(changed, assignment);
  for (const std::string& change : changed_fields(config, changed)) {
    if (!changes_the_model(change)) continue;
    throw Error(ExitCode::usage, "evaluate: --set would make another model of it: " + change,
                "what the saved model is cannot change; leave the option out");
  }
  RunConfig checked = changed;
  checked.mutable_data()->clear_tokenizer();  // it is for the examples, not for the run's data
  if (!sets.empty()) validate(checked, processes);
  return changed;
}

void evaluate_examples(const Comm& world, const Env& env, Log& log, const ExampleEvaluation& job) {
  const std::string& checkpoint = job.checkpoint.directory();
  const RunState state = job.checkpoint.state();
  const RunConfig saved = parse_config(state.config_text, checkpoint + ": configuration");
  const RunConfig config = example_config(saved, job, world.size());
  Settings settings = read_settings(config);
  warn_of_slow_precision(settings.model.precision, bfloat16_support(), log);
  const auto tokenizer = find_tokenizer(world, env, run_of(checkpoint), config);
  require_tokenizer_of_run(state, tokenizer, checkpoint);
  const ExampleFile file(env, job.file);
  require_equal_on_all_ranks(world, job.file, file.sha256(), same_files_hint);
  const auto source =
      ExampleFileSource::validation(file, {.vocab_size = config.model().vocab_size(),
                                           .tokenizer = tokenizer ? &*tokenizer : nullptr,
                                           .sentinels_in_text = config.data().sentinels_in_text()});
  const ExampleLengths longest = verify_examples(world, source);
  require_memory_to_evaluate(world, settings, longest.inputs, longest.targets);

  ExampleReport report{.checkpoint = checkpoint,
                       .data = job.file,
                       .precision = TrainOptions::Precision_Name(config.train().precision()),
                       .step = state.step,
                       .figure = measure(world, job, settings, source),
                       .with_capacity = {}};
  if (job.capacity_factor) {
    settings.model.moe.eval_dropless = false;
    settings.model.moe.eval_capacity_factor = *job.capacity_factor;
    report.with_capacity = measure(world, job, settings, source);
  }
  if (world.rank() == Rank(0)) std::cout << example_report_json(report) << "\n";
}

}  // namespace switchyard
