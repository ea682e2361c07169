// `switchyard prepare`: text in, a data directory out. The work is data/prepare.hpp's.
#include "data/prepare.hpp"

#include <iomanip>
#include <iostream>

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
  add("lines", po::bool_switch());
  add("output", po::value<std::string>()->required());
  return known;
}

PrepareOptions read_options(std::span<const std::string> arguments) {
  const auto values = parse_arguments(prepare_command, arguments, known_options());
  PrepareOptions options;
  options.input = values["input"].as<std::vector<std::string>>();
  if (values.count("validation"))
    options.validation = values["validation"].as<std::vector<std::string>>();
  if (values.count("vocab-size")) options.pieces = values["vocab-size"].as<std::int32_t>();
  if (values.count("tokenizer")) options.tokenizer = values["tokenizer"].as<std::string>();
  options.line_is_document = values["lines"].as<bool>();
  options.output = values["output"].as<std::string>();
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

void print_result(const PrepareResult& result, const std::string& output) {
  const auto row = [](const char* name, const SplitInfo& split) {
    std::cout << std::left << std::setw(12) << name << std::right << std::setw(12)
              << split.summary.documents << " documents" << std::setw(16) << split.summary.tokens
              << " tokens   " << split.source << "\n";
  };
  const Vocabulary& vocabulary = result.manifest.vocabulary;
  row("train", result.manifest.train);
  row("validation", result.manifest.validation);
  std::cout << "vocabulary  " << std::setw(12) << vocabulary.pieces << " pieces + "
            << Vocabulary::sentinels << " sentinels, padded to " << vocabulary.rows() << " rows\n"
            << "written to  " << output << "   (train with --set data.train=" << output << ")\n";
}

ExitCode run(const Comm&, std::span<const std::string> arguments) {
  const PrepareOptions options = read_options(arguments);
  PosixEnv env;
  Log log(&std::cerr);
  print_result(prepare(env, options, log), options.output);
  return ExitCode::done;
}

}  // namespace

const Command prepare_command = {
    "prepare", "turns text into a tokenizer and token files",
    "usage: switchyard prepare --input PATTERN... --vocab-size N --output DIR [option...]\n"
    "\n"
    "  --input PATTERN...       files to train on: .txt (a blank line ends a document), .jsonl or\n"
    "                           .json (one object a line, its text under \"text\"), each also "
    ".gz;\n"
    "                           patterns such as 'c4/*.json.gz'\n"
    "  --validation PATTERN...  files to validate on; otherwise every 100th document is held out\n"
    "  --vocab-size N           pieces of the SentencePiece tokenizer that is trained\n"
    "  --tokenizer FILE         a SentencePiece model to use instead, such as T5's spiece.model\n"
    "  --lines                  in .txt files each line is a document\n"
    "  --output DIR             a new directory: train.{bin,idx}, validation.{bin,idx},\n"
    "                           tokenizer.model, dataset.textproto\n"
    "\n"
    "Damaged lines are counted and passed over, up to 100 or 1 % of the lines.\n"
    "\n"
    "example: switchyard prepare --input 'books/*.txt' --vocab-size 8000 --output data/books\n",
    run, Processes::one};

}  // namespace switchyard
