// `switchyard prepare`: makes a data directory from text. data/prepare.hpp does the work.
#include "data/prepare.hpp"

#include <algorithm>
#include <iomanip>
#include <iostream>
#include <sstream>

#include "base/log.hpp"
#include "cli/arguments.hpp"
#include "cli/command.hpp"

namespace switchyard {
namespace {

namespace po = boost::program_options;

po::options_description known_options() {
  using Words = std::vector<std::string>;
  po::options_description known;
  auto add = known.add_options();
  add("input", po::value<Words>()->multitoken()->composing()->required());
  add("validation", po::value<Words>()->multitoken()->composing());
  add("vocab-size", po::value<std::int32_t>());
  add("tokenizer", po::value<std::string>());
  add("character-coverage", po::value<double>());
  add("byte-fallback", po::bool_switch());
  add("lines", po::bool_switch());
  add("text-key", po::value<std::string>()->default_value("text"));
  add("output", po::value<std::string>()->required());
  return known;
}

// Reads the options that only apply where a tokenizer is trained.
void read_training_options(const po::variables_map& values, PrepareOptions& options) {
  if (values.count("character-coverage"))
    options.character_coverage = values["character-coverage"].as<double>();
  options.byte_fallback = values["byte-fallback"].as<bool>();
  if (options.tokenizer && (options.character_coverage || options.byte_fallback))
    throw Error(ExitCode::usage,
                std::string("prepare: ") +
                    (options.byte_fallback ? "--byte-fallback" : "--character-coverage") +
                    " is for a tokenizer that is trained, but --tokenizer gives one",
                "leave one of the two out");
  constexpr double least = 0.98;  // SentencePiece's own limit
  if (const auto coverage = options.character_coverage;
      coverage && !(*coverage >= least && *coverage <= 1))
    throw Error(ExitCode::usage, "prepare: --character-coverage is not between 0.98 and 1",
                "1 gives every character a piece, 0.9995 leaves the rarest out");
}

PrepareOptions read_options(std::span<const std::string> arguments) {
  const auto values = parse_arguments(prepare_command, arguments, known_options());
  PrepareOptions options;
  options.input = values["input"].as<std::vector<std::string>>();
  if (values.count("validation"))
    options.validation = values["validation"].as<std::vector<std::string>>();
  if (values.count("vocab-size")) options.pieces = values["vocab-size"].as<std::int32_t>();
  if (values.count("tokenizer")) options.tokenizer = values["tokenizer"].as<std::string>();
  options.rules.line_is_document = values["lines"].as<bool>();
  options.rules.text_key = values["text-key"].as<std::string>();
  options.output = values["output"].as<std::string>();
  read_training_options(values, options);
  if (!options.pieces && !options.tokenizer)
    throw Error(ExitCode::usage, "prepare: --vocab-size is missing",
                "give it, or a --tokenizer to use");
  if (options.pieces && *options.pieces < 4)
    throw Error(ExitCode::usage,
                "prepare: --vocab-size is " + std::to_string(*options.pieces) +
                    "; a vocabulary has padding, EOS, unknown and at least one piece of text",
                "8000 suits a few megabytes of one language, 32000 is T5's");
  return options;
}

std::string share(std::int64_t part, std::int64_t all) {
  std::ostringstream text;
  text << part << " (" << std::fixed << std::setprecision(2)
       << 100 * static_cast<double>(part) / static_cast<double>(std::max<std::int64_t>(all, 1))
       << " %)";
  return text.str();
}

void print_result(const PrepareResult& result, const std::string& output) {
  const auto row = [](const char* name, const SplitInfo& split, std::int64_t unknown) {
    std::cout << std::left << std::setw(12) << name << std::right << std::setw(12)
              << split.summary.documents << " documents" << std::setw(16) << split.summary.tokens
              << " tokens   " << share(unknown, split.summary.tokens) << " unknown   "
              << split.source << "\n";
  };
  const Vocabulary& vocabulary = result.manifest.vocabulary;
  const SplitInfo& validation = result.manifest.validation;
  row("train", result.manifest.train, result.unknown_train);
  row("validation", validation, result.unknown_validation);
  std::cout << "in both     " << std::setw(12)
            << share(result.shared_documents, validation.summary.documents)
            << " of the documents held out occur in the training text too\n"
            << "vocabulary  " << std::setw(12) << vocabulary.pieces << " pieces + "
            << Vocabulary::sentinels << " sentinels, padded to " << vocabulary.rows() << " rows\n"
            << "written to  " << output << "   (train with --set data.train=" << output << ")\n";
}

ExitCode run_prepare(const Comm&, std::span<const std::string> arguments) {
  const PrepareOptions options = read_options(arguments);
  PosixEnv env;
  Log log(&std::cerr);
  print_result(prepare(env, options, log), options.output);
  return ExitCode::done;
}

}  // namespace

const Command prepare_command = {
    "prepare", "turns text into a tokenizer and token files",
    R"help(usage: switchyard prepare --input PATTERN... --vocab-size N --output DIR [option...]

  --input PATTERN...       files to train on: .txt (a blank line ends a document), .jsonl or
                           .json (one object per line, its text under "text"), each also
                           .gz; patterns such as 'c4/*.json.gz'; ** matches directories of
                           any depth
  --validation PATTERN...  files to validate on, removed from those to train on; otherwise
                           every 100th document is held out
  --vocab-size N           pieces of the SentencePiece tokenizer that is trained
  --character-coverage C   share of the characters that get pieces, 0.98 to 1; otherwise 1
                           where up to 1,000 are distinct, else 0.9995
  --byte-fallback          256 pieces are bytes, which spell characters without a piece
  --tokenizer FILE         a SentencePiece model to use instead, such as T5's spiece.model
  --lines                  in .txt files each line is a document
  --text-key NAME          the key of the text in a JSON line
  --output DIR             a new directory: train.{bin,idx}, validation.{bin,idx},
                           tokenizer.model, dataset.textproto

Damaged lines are counted and skipped, up to 100 or 1 % of the lines; bytes that are not UTF-8
are counted and replaced. Characters that no piece spells are counted as unknown.

example: switchyard prepare --input 'books/*.txt' --vocab-size 8000 --output data/books
)help",
    run_prepare, Processes::one};

}  // namespace switchyard
