// `switchyard evaluate`: the quality of a checkpoint on validation data, compared with two
// baselines that need no training; what it predicts for the gaps of real passages; and which pieces
// its experts take.
#include <algorithm>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <optional>

#include "checkpoint/load.hpp"
#include "checkpoint/store.hpp"
#include "cli/arguments.hpp"
#include "cli/command.hpp"
#include "cli/evaluate_examples.hpp"
#include "cli/model_vocabulary.hpp"
#include "cli/output_file.hpp"
#include "cli/run_data.hpp"
#include "cli/startup.hpp"
#include "comm/together.hpp"
#include "config/run_config.hpp"
#include "config/settings.hpp"
#include "config/validate.hpp"
#include "data/example_file.hpp"
#include "data/span_corruption_source.hpp"
#include "model/weights.hpp"
#include "report/expert_report.hpp"
#include "report/filled_passage.hpp"
#include "report/numbers.hpp"
#include "report/start_report.hpp"
#include "statistics/unigram.hpp"
#include "tensor/instruction_set.hpp"
#include "train/evaluator.hpp"

namespace switchyard {
namespace {

namespace po = boost::program_options;

struct EvaluateArguments {
  std::string checkpoint, data, experts;
  std::vector<std::string> sets;
  std::int64_t samples = 0;  // 0: the run's train.eval_samples
  std::int64_t show = 0;
  bool untrained = false, unigram = false;
  // Only for a file of examples:
  bool per_example = false;
  std::optional<double> capacity_factor;
};

// Refuses options that the kind of data does not support.
void require_fitting(const EvaluateArguments& arguments) {
  const std::pair<bool, const char*> of_prepared_data[] = {
      {arguments.show > 0, "--show"},
      {!arguments.experts.empty(), "--experts"},
      {arguments.untrained, "--untrained"},
      {arguments.unigram, "--unigram"}};
  const std::pair<bool, const char*> of_examples[] = {
      {arguments.per_example, "--per-example"},
      {arguments.capacity_factor.has_value(), "--capacity-factor"}};
  const auto refuse = [](const char* option, const char* kind) {
    throw Error(ExitCode::usage, std::string("evaluate: ") + option + " is for " + kind,
                std::string("leave ") + option + " out, or give other --data");
  };
  const bool examples = is_example_file(arguments.data);
  for (const auto& [given, option] : of_prepared_data)
    if (given && examples) refuse(option, "prepared data, not for a file of examples");
  for (const auto& [given, option] : of_examples)
    if (given && !examples) refuse(option, "a file of examples, --data FILE.jsonl");
}

EvaluateArguments parse_evaluate(std::span<const std::string> words) {
  EvaluateArguments arguments;
  double capacity_factor = 0;
  po::options_description options;
  options.add_options()                                               //
      ("checkpoint", po::value(&arguments.checkpoint)->required())    //
      ("data", po::value(&arguments.data))                            //
      ("set", po::value(&arguments.sets)->multitoken()->composing())  //
      ("samples", po::value(&arguments.samples))                      //
      ("show", po::value(&arguments.show))                            //
      ("experts", po::value(&arguments.experts))                      //
      ("untrained", po::bool_switch(&arguments.untrained))            //
      ("unigram", po::bool_switch(&arguments.unigram))                //
      ("per-example", po::bool_switch(&arguments.per_example))        //
      ("capacity-factor", po::value(&capacity_factor));
  po::positional_options_description positional;
  positional.add("checkpoint", 1);
  const po::variables_map given = parse_arguments(evaluate_command, words, options, positional);
  if (given.count("capacity-factor")) arguments.capacity_factor = capacity_factor;
  if (arguments.show < 0 || (given.count("samples") && arguments.samples < 1)) {
    throw Error(ExitCode::usage, "evaluate: --samples is at least 1, --show at least 0",
                "leave --samples out to evaluate as many as the run does");
  }
  if (arguments.capacity_factor &&
      !(*arguments.capacity_factor > 0 && std::isfinite(*arguments.capacity_factor))) {
    throw Error(ExitCode::usage, "evaluate: --capacity-factor is not a number above 0",
                "1 gives each expert its fair share of a routing group's positions");
  }
  return arguments;
}

// --data, or else the data with which the run itself is validated.
std::string data_path(const EvaluateArguments& arguments, const RunConfig& config) {
  if (!arguments.data.empty()) return arguments.data;
  if (is_example_file(config.data().validation())) return config.data().validation();
  if (is_example_file(config.data().train())) {
    throw Error(ExitCode::usage, "evaluate: the run has no data.validation, and --data is missing",
                "--data FILE.jsonl, a file of examples");
  }
  if (!config.data().train().empty()) return config.data().train();
  throw Error(ExitCode::usage,
              "evaluate: the run has not been trained on any data, and --data is missing",
              "--data DIR, where DIR is what `switchyard prepare` wrote, or --data FILE.jsonl");
}

void require_data_of_run(const RunState& state, const Dataset& data,
                         const std::string& checkpoint) {
  if (state.tokenizer_digest.empty() || state.tokenizer_digest == data.tokenizer_digest()) return;
  throw Error(ExitCode::mismatch,
              "the tokenizer of " + data.directory() + " (" +
                  unlike(data.tokenizer_digest(), state.tokenizer_digest) +
                  ") is not the one that " + checkpoint + " was trained with",
              "prepare the data with --tokenizer and the run's own tokenizer.model");
}

void require_sparse(const ModelConfig& model, const std::string& checkpoint) {
  if (model.sparse_layers() > 0) return;
  throw Error(ExitCode::usage,
              "evaluate: --experts is given, but " + checkpoint + " is a dense model: it has none",
              "leave --experts out, or give a run with moe.num_experts above 0");
}

// One line of the printed table: means over targets.
struct TableRow {
  std::string model;
  double loss, loss_text;
};

void print_table(std::ostream& out, const Evaluation& counts, std::span<const TableRow> rows) {
  out << grouped(counts.samples) << " validation samples, " << grouped(counts.targets)
      << " targets, " << grouped(counts.text_targets) << " of them text pieces\n"
      << std::left << std::setw(14) << "model" << std::right << std::setw(10) << "eval/loss"
      << std::setw(25) << "eval/neg_log_perplexity" << std::setw(12) << "eval/ppl" << std::setw(16)
      << "eval/loss_text\n"
      << std::fixed;
  for (const TableRow& row : rows) {
    out << std::left << std::setw(14) << row.model << std::right << std::setprecision(4)
        << std::setw(10) << row.loss << std::setw(25) << -row.loss << std::setprecision(2)
        << std::setw(12) << std::exp(row.loss) << std::setprecision(4) << std::setw(15)
        << row.loss_text << "\n";
  }
}

// The unigram model is fitted to at most this many training samples, which suffice for its few
// parameters.
constexpr std::int64_t unigram_training_samples = 16384;

// What the command works on, after its arguments have been checked.
struct Evaluated {
  const Comm& world;
  const Settings& settings;
  const Dataset& data;
  const SpanCorruptionSource& validation;
  std::int64_t samples, show;
};

Evaluation evaluate_model(const Evaluated& job, const Layout& layout, const Transformer& model,
                          const Keep& keep) {
  PhaseTimer timer;
  Work work;
  const RowTransport transport(job.world, layout);
  StepContext context{.comm = job.world,
                      .transport = transport,
                      .layout = layout,
                      .seed = job.settings.seed,
                      .step = 0,
                      .mode = Mode::evaluate,
                      .timer = timer,
                      .work = work};
  const ValidationStream stream{.source = job.validation,
                                .vocabulary = job.data.vocabulary(),
                                .samples = job.samples,
                                .shape = {.rows = job.settings.rows_at_once(),
                                          .input_length = job.settings.spans.input_length,
                                          .target_length = job.validation.target_length()}};
  return evaluate(context, model, stream, keep);
}

TableRow unigram_row(const Evaluated& job) {
  const auto training =
      SpanCorruptionSource::training(job.data, job.settings.spans, job.settings.seed);
  const std::int64_t learnt = std::min(unigram_training_samples, training.segments());
  const UnigramLoss loss =
      unigram_loss(job.data.vocabulary(), training, learnt, job.validation, job.samples);
  return {"unigram", loss.loss, loss.loss_text};
}

void print_passages(std::ostream& out, const Evaluated& job, std::span<const TableRow> names,
                    std::span<const Evaluation> evaluations) {
  if (job.show > 0) {
    out << "\nEach piece is guessed from the passage and the true pieces before it; <extra_id_k> "
           "is "
           "the guess\nthat the gap ends. (Untrained, with tied embeddings, a model echoes the "
           "piece "
           "before.)\n";
  }
  for (std::size_t i = 0; i < evaluations.back().predictions.size(); ++i) {
    std::vector<Filling> fillings;
    for (std::size_t m = 0; m < evaluations.size(); ++m) {
      fillings.push_back({names[m].model, evaluations[m].predictions[i]});
    }
    const Example example = job.validation.example(static_cast<std::int64_t>(i));
    out << "\npassage " << i << ": " << filled_passage(job.data.tokenizer(), example, fillings);
  }
}

void show_experts(std::ostream& out, Env& env, const std::string& path, const Tokenizer& tokenizer,
                  const ExpertTable& table) {
  const auto text = [&](std::int32_t id) { return tokenizer.piece(id); };
  write_file_atomically(env, path, expert_tsv(table, text));
  out << expert_summary(table, text) << "\nevery piece of every expert is in " << path << "\n";
}

struct Saved {
  const CheckpointReader& checkpoint;  // already verified
  RunState state;
  RunConfig config;
};

void evaluate_prepared(const Comm& world, Env& env, Log& log, const Saved& saved,
                       const EvaluateArguments& arguments) {
  const Settings settings = read_settings(saved.config);
  warn_of_slow_precision(settings.model.precision, bfloat16_support(), log);
  if (!arguments.experts.empty()) {
    require_sparse(settings.model, arguments.checkpoint);
    require_writable(world, env, arguments.experts, "--experts");
  }
  const Dataset data = Dataset::open(env, arguments.data);
  require_data_of_run(saved.state, data, saved.checkpoint.directory());
  require_vocabulary(saved.config.model(), model_origin(env, run_of(saved.checkpoint.directory())),
                     data);
  const auto validation = SpanCorruptionSource::validation(data, settings.spans);
  require_same_data(world, data);
  once_per_view(world, data.view(env),
                [&] { arguments.unigram ? data.verify(env) : data.verify_validation(env); });
  const std::int64_t wanted = arguments.samples > 0 ? arguments.samples : settings.eval_samples;
  const Evaluated job{.world = world,
                      .settings = settings,
                      .data = data,
                      .validation = validation,
                      .samples = std::min(wanted, validation.segments()),
                      .show = arguments.show};

  const Layout layout(settings.virtual_ranks, world.size(), settings.groups,
                      settings.model.moe.num_experts);
  Transformer model(settings.model, layout, world.rank(), settings.seed,
                    Transformer::Gradients::no);
  std::vector<TableRow> rows;  // evaluated models first, in the order of `evaluations`
  std::vector<Evaluation> evaluations;
  const auto measure = [&](const std::string& name, const Keep& keep) {
    evaluations.push_back(evaluate_model(job, layout, model, keep));
    rows.push_back({name, evaluations.back().loss, evaluations.back().loss_text});
  };
  if (arguments.untrained) measure("untrained", {.predictions = job.show});
  load_checkpoint(world, saved.checkpoint, weights(model), Coverage::part);
  model.round_weights();
  measure("trained", {.predictions = job.show, .experts = !arguments.experts.empty()});

  on_first(world, [&] {
    const std::vector<TableRow> models = rows;
    if (arguments.unigram) rows.insert(rows.end() - 1, unigram_row(job));
    std::cout << saved.checkpoint.directory() << ", after " << grouped(saved.state.step)
              << " steps\n";
    print_table(std::cout, evaluations.back(), rows);
    print_passages(std::cout, job, models, evaluations);
    if (!arguments.experts.empty())
      show_experts(std::cout, env, arguments.experts, data.tokenizer(), evaluations.back().experts);
    return std::string();
  });
}

ExitCode run_evaluate(const Comm& world, std::span<const std::string> words) {
  EvaluateArguments arguments = parse_evaluate(words);
  PosixEnv env;
  Log log(world.rank() == Rank(0) ? &std::cerr : nullptr);
  const CheckpointReader checkpoint = open_checkpoint(env, world, arguments.checkpoint, log);
  const RunState state = checkpoint.state();
  const RunConfig config = changed_for_evaluation(
      parse_config(state.config_text, checkpoint.directory() + ": configuration"), arguments.sets,
      world.size());
  arguments.data = data_path(arguments, config);
  require_fitting(arguments);
  if (is_example_file(arguments.data)) {
    evaluate_examples(world, env, log,
                      {.checkpoint = checkpoint,
                       .file = arguments.data,
                       .sets = arguments.sets,
                       .capacity_factor = arguments.capacity_factor,
                       .samples = arguments.samples,
                       .per_example = arguments.per_example});
  } else {
    evaluate_prepared(world, env, log, {checkpoint, state, config}, arguments);
  }
  return ExitCode::done;
}

}  // namespace

const Command evaluate_command{
    .name = "evaluate",
    .summary = "measures a checkpoint on prepared data or examples: cross-entropy, filled passages",
    .help =
        R"help(usage: switchyard evaluate [--checkpoint] DIR|RUN [--data DIR|FILE.jsonl] [OPTION]...

  --checkpoint DIR  a checkpoint, or a run: its newest valid one
  --data DIR        prepared data, whose validation stream is used; default: the run's own
  --set PATH=VALUE  one option of the run, such as train.batch_size=8, but none that changes
                    the model itself
  --samples N       validation samples, the first N; default: train.eval_samples of the run
  --show N          prints N passages with their gaps, the true text and the model's: its most
                    likely token at each position, given the true ones before it
  --experts FILE    writes which pieces are routed to which expert in each layer; prints each
                    expert's load and most typical pieces
  --untrained       also measures the same model before training
  --unigram         also measures a unigram model, which knows only each token's frequency

Losses are nats per target token. eval/loss is over all targets, eval/loss_text over text pieces
only, since sentinels and the end of a sequence are nearly free. Runs on any number of processes
up to the run's parallel.virtual_ranks.

FILE has a header, then one line per sparse layer, expert and piece that occurred together:

  layer, expert
  piece, id      what the layer reads (▁ begins a word); in the decoder the piece
                 before the target, and <pad> before the first
  count          how often the piece chose the expert, before capacity
  share          of the piece's occurrences in this layer, those that chose this expert

Its fields are separated by tabs and never quoted. An existing FILE is replaced.

--data FILE.jsonl is a file of examples, one line {"inputs": X, "targets": Y} each, where X and
Y are texts or arrays of ids; other keys are ignored. All of them are measured, or the first
--samples, one example per row, in rows as long as the longest of their batch. There is no
capacity limit and the precision is FLOAT32, whatever the run has, unless --set
moe.eval_dropless=false or --set train.precision=BFLOAT16. Prints JSON: cross_entropy, in nats
per target token, and tokens, the number of target tokens.

  --per-example        also each example's sum and count
  --capacity-factor F  with_capacity: the same again with capacity factor F

example:
  switchyard evaluate --checkpoint runs/tiny --untrained --unigram --show 2
  switchyard evaluate --checkpoint runs/tiny --experts experts.tsv
  switchyard evaluate runs/base8 --data examples.jsonl --per-example
)help",
    .run = run_evaluate,
    .processes = Processes::all};

}  // namespace switchyard
