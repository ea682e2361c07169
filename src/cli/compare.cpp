// `switchyard compare`: several runs in a table, one line per run, and the options in which they
// differ. record/run_summary computes the figures; this file finds the runs and prints the table.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iomanip>
#include <iostream>
#include <limits>
#include <sstream>
#include <vector>

#include "cli/arguments.hpp"
#include "cli/command.hpp"
#include "config/option_fields.hpp"
#include "config/run_config.hpp"
#include "config/settings.hpp"
#include "files/env.hpp"
#include "plan/parameters.hpp"
#include "record/run_directory.hpp"
#include "record/run_summary.hpp"
#include "report/numbers.hpp"
#include "report/start_report.hpp"

namespace switchyard {
namespace {

struct ComparedRun {
  std::string name;  // as given by the user
  RunConfig config;
  RunSummary summary;
};

// The program wrote this file itself, so no error in it is reported as the user's mistake.
RunConfig read_config(const std::string& path) {
  try {
    return load_config(std::vector{path}, {});
  } catch (const Error& error) {
    if (error.code() != ExitCode::usage) throw;
    throw Error(ExitCode::damaged_data, error.what(), "leave this run out, or restore the file");
  }
}

// The records so far; the run may still be in progress.
std::vector<StepRecord> read_steps(const Env& env, const std::string& path) {
  if (!env.exists(path)) return {};  // the run has only just started
  const std::string text = read_file(env, path, std::numeric_limits<std::int64_t>::max());
  return read_records(text, path);
}

RunPaths require_run(const std::string& name) {
  if (name.empty())
    throw Error(ExitCode::usage, "compare: a RUN is empty", "is a shell variable unset?");
  const RunPaths paths{name};
  if (!std::filesystem::is_regular_file(paths.config())) {
    throw Error(ExitCode::missing_input, name + " is not a run: it has no config.textproto",
                "a RUN is a directory that `switchyard train --output RUN` has written");
  }
  return paths;
}

ComparedRun read_run(const Env& env, const std::string& name) {
  const RunPaths paths = require_run(name);
  return {name, read_config(paths.config()), summarize(read_steps(env, paths.metrics()))};
}

using Table = std::vector<std::vector<std::string>>;

// Aligns the first column left and the others right, each as wide as its widest cell.
void print_table(std::ostream& out, const Table& table) {
  std::vector<std::size_t> widths(table.front().size());
  for (const auto& row : table) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : table) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out << (i == 0 ? "" : "  ") << (i == 0 ? std::left : std::right)
          << std::setw(static_cast<int>(widths[i])) << row[i];
    }
    out << "\n";
  }
}

template <class Value, class Text>
std::string or_dash(const std::optional<Value>& value, const Text& text) {
  return value ? text(*value) : "-";
}

std::vector<std::string> figures(const ComparedRun& run) {
  const auto loss = [](const ValidationFigure& figure) { return decimals(4, figure.loss); };
  const auto step = [](const ValidationFigure& figure) { return grouped(figure.step); };
  const auto rate = [](double value) { return grouped(std::llround(value)); };
  const auto share_text = [](double share) { return percent(2, share); };
  const RunSummary& summary = run.summary;
  return {run.name,
          grouped(summary.steps) + "/" + grouped(run.config.train().steps()),
          grouped(summary.tokens),
          decimals(2, summary.seconds / 60),
          or_dash(summary.last, loss),
          or_dash(summary.best, loss),
          or_dash(summary.best, step),
          or_dash(summary.tokens_per_second, rate),
          or_dash(summary.dropped_fraction, share_text)};
}

void print_figures(std::ostream& out, std::span<const ComparedRun> runs) {
  Table table = {
      {"run", "steps", "tokens", "minutes", "eval/loss", "best", "at step", "tokens/s", "dropped"}};
  for (const ComparedRun& run : runs) table.push_back(figures(run));
  print_table(out, table);
  for (const ComparedRun& run : runs) {
    if (run.summary.diverged_at)
      out << run.name << " diverged at step " << grouped(*run.summary.diverged_at) << "\n";
  }
}

// Whether the option is text, that is a path: it says where the data is, not what it is.
bool says_where(const OptionField& option) {
  return option.field().cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_STRING;
}

// Options that are paths come last. They are not omitted, since losses on different data are not
// comparable.
void print_differences(std::ostream& out, std::span<const ComparedRun> runs) {
  Table table = {{"option"}};
  for (const ComparedRun& run : runs) table.front().push_back(run.name);
  std::vector<OptionField> options = option_fields(*RunConfig::descriptor());
  std::ranges::stable_partition(options, std::not_fn(says_where));
  for (const OptionField& option : options) {
    std::vector<std::string> row = {option.path};
    for (const ComparedRun& run : runs) row.push_back(value_text(run.config, option));
    const bool differs = std::any_of(row.begin() + 2, row.end(),
                                     [&](const std::string& value) { return value != row[1]; });
    if (differs) table.push_back(row);
  }
  out << "\n";
  if (table.size() == 1) {
    out << "no option differs\n";
  } else {
    print_table(out, table);
  }
}

// Prints enough digits to read back the same number; "" where there is no value.
template <class Value>
std::string exact(const std::optional<Value>& value) {
  if (!value) return "";
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, *value).ptr};
}

// The values that `figures` shows, and some more, with all digits.
std::vector<std::string> csv_cells(const ComparedRun& run) {
  const RunSummary& summary = run.summary;
  const auto step = [](const auto& figure) {
    return figure ? std::optional(figure->step) : std::nullopt;
  };
  const auto quality = [](const auto& figure) {
    return figure ? std::optional(-figure->loss) : std::nullopt;
  };
  std::optional<std::int64_t> parameters, active;
  if (run.config.model().has_vocab_size()) {
    const ParameterCount count = count_parameters(read_settings(run.config).model);
    parameters = count.total();
    active = count.active();
  }
  return {run.name,
          exact(std::optional(summary.steps)),
          exact(std::optional(run.config.train().steps())),
          exact(std::optional(summary.tokens)),
          exact(std::optional(summary.seconds)),
          exact(step(summary.last)),
          exact(quality(summary.last)),
          exact(step(summary.best)),
          exact(quality(summary.best)),
          exact(summary.late_loss),
          exact(summary.tokens_per_second),
          exact(summary.dropped_fraction),
          exact(summary.load_imbalance),
          exact(summary.peak_memory),
          exact(parameters),
          exact(active),
          exact(summary.diverged_at)};
}

// Quoted by RFC 4180 if it contains a comma, a quote or a line break.
std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == text.npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

void print_csv_row(std::ostream& out, const std::vector<std::string>& cells) {
  const char* separator = "";
  for (const std::string& cell : cells) {
    out << separator << csv_cell(cell);
    separator = ",";
  }
  out << "\n";
}

void print_csv(std::ostream& out, std::span<const ComparedRun> runs) {
  out << "run,steps,planned_steps,tokens,seconds,eval_step,eval_neg_log_perplexity,best_step,"
         "best_neg_log_perplexity,late_train_loss,tokens_per_second,dropped_fraction,"
         "load_imbalance,peak_memory_bytes,parameters,active_parameters,diverged_at\n";
  for (const ComparedRun& run : runs) print_csv_row(out, csv_cells(run));
}

// A field of a record; nullopt where it is unset.
template <class Value>
std::string cell(bool is_set, Value value) {
  return exact(is_set ? std::optional(value) : std::nullopt);
}

std::vector<std::string> step_cells(const std::string& run, const StepRecord& step) {
  return {run,
          cell(step.has_step(), step.step()),
          cell(step.has_samples(), step.samples()),
          cell(step.has_seconds(), step.seconds()),
          cell(step.has_loss(), step.loss()),
          cell(step.has_loss_total(), step.loss_total()),
          cell(step.has_eval_loss(), step.eval_loss()),
          cell(step.has_norm(), step.norm()),
          cell(step.has_lr(), step.lr()),
          cell(step.has_aux(), step.aux()),
          cell(step.has_dropped_fraction(), step.dropped_fraction()),
          cell(step.has_load_imbalance(), step.load_imbalance()),
          cell(step.has_step_ms(), step.step_ms()),
          cell(step.has_tokens_per_second(), step.tokens_per_second())};
}

void print_steps_csv(std::ostream& out, const Env& env, std::span<const std::string> names) {
  out << "run,step,samples,seconds,loss,loss_total,eval_loss,norm,lr,aux,dropped_fraction,"
         "load_imbalance,step_ms,tokens_per_second\n";
  for (const std::string& name : names) {
    for (const StepRecord& step : read_steps(env, require_run(name).metrics()))
      print_csv_row(out, step_cells(name, step));
  }
}

ExitCode run_compare(const Comm&, std::span<const std::string> arguments) {
  namespace po = boost::program_options;
  std::vector<std::string> names;
  po::options_description known;
  known.add_options()             //
      ("run", po::value(&names))  //
      ("csv", po::bool_switch())  //
      ("steps-csv", po::bool_switch());
  po::positional_options_description positional;
  positional.add("run", -1);
  const auto options = parse_arguments(compare_command, arguments, known, positional);
  const bool csv = options["csv"].as<bool>(), steps_csv = options["steps-csv"].as<bool>();
  if (csv && steps_csv)
    throw Error(ExitCode::usage, "compare: --csv and --steps-csv are both given", "leave out one");
  if (names.empty())
    throw Error(ExitCode::usage, "compare: no RUN is given", "try: switchyard compare runs/*");
  const PosixEnv env;
  std::ostringstream out;
  if (steps_csv) {
    print_steps_csv(out, env, names);
    std::cout << out.str();
    return ExitCode::done;
  }
  std::vector<ComparedRun> runs;
  for (const std::string& name : names) runs.push_back(read_run(env, name));
  if (csv) {
    print_csv(out, runs);
  } else {
    print_figures(out, runs);
    if (runs.size() > 1) print_differences(out, runs);
  }
  std::cout << out.str();
  return ExitCode::done;
}

}  // namespace

const Command compare_command{
    .name = "compare",
    .summary = "compares runs: one line per run, and the options in which they differ",
    .help =
        R"help(usage: switchyard compare [--csv | --steps-csv] RUN...

Reads the records of each run, finished or not, and prints

  steps      taken, of train.steps
  tokens     encoder and decoder positions of these steps
  minutes    of training over all starts, without evaluation and saving
  eval/loss  of the newest evaluation: nats per target token, on validation data
  best       the lowest eval/loss, and its step
  tokens/s   median over all steps but the first
  dropped    share of tokens whose expert was full, mean over the steps

then each option in which the runs differ, including defaults; paths come last. Losses are
comparable only if the data are the same.

  --csv  one line per run for other programs, with all digits; also the mean training
         loss over the last fifth of the steps, load imbalance, memory and parameters
  --steps-csv  one line per step of each run, with RUN in the first column: losses,
         gradient norm, learning rate, drops, load, milliseconds, tokens per second

example:
  switchyard compare runs/tiny runs/tiny_dense
)help",
    .run = run_compare,
    .processes = Processes::one};

}  // namespace switchyard
