#include "data/prepare.hpp"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iomanip>
#include <memory>
#include <sstream>

#include "base/error.hpp"
#include "data/file_patterns.hpp"
#include "data/ordered_pipeline.hpp"
#include "data/shared_documents.hpp"
#include "data/staging_directory.hpp"
#include "data/utf8.hpp"

namespace switchyard {

namespace {

constexpr std::int64_t held_out_one_in = 100;
constexpr std::int64_t largest_model = std::int64_t{256} << 20;
constexpr std::size_t block_size = std::size_t{256} << 10;
constexpr std::int64_t unknown_shown = 5;

// Logs a line every few seconds: progress in bytes of the files on disk, speed in bytes of their
// text, and the remaining time.
class TokenizingProgress {
 public:
  // bytes: of all files on disk.
  TokenizingProgress(Log& log, std::int64_t bytes) : log_(log), bytes_(bytes) {}

  void add(std::int64_t bytes, std::int64_t text_bytes) {
    done_ += bytes;
    text_bytes_ += text_bytes;
    const Clock::time_point now = Clock::now();
    if (now - last_ < std::chrono::seconds(5)) return;
    last_ = now;
    const double part = static_cast<double>(done_) / static_cast<double>(std::max(bytes_, done_));
    const auto left = static_cast<long>(seconds() * (1 - part) / std::max(part, 1e-6));
    std::ostringstream line;
    line << std::fixed << std::setprecision(1) << "tokenized " << 100 * part << " % | " << rate()
         << " MB/s | " << left / 3600 << ":" << std::setfill('0') << std::setw(2) << left / 60 % 60
         << ":" << std::setw(2) << left % 60 << " left";
    log_.info(line.str());
  }

  void end(std::size_t threads) {
    std::ostringstream line;
    line << std::fixed << std::setprecision(1) << "tokenized "
         << static_cast<double>(text_bytes_) / 1e6 << " MB of text in " << seconds()
         << " s: " << rate() << " MB/s on " << threads << (threads == 1 ? " thread" : " threads");
    log_.info(line.str());
  }

 private:
  using Clock = std::chrono::steady_clock;
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  double rate() const { return static_cast<double>(text_bytes_) / 1e6 / seconds(); }

  Log& log_;
  const std::int64_t bytes_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
  std::int64_t done_ = 0, text_bytes_ = 0;
};

std::string joined(const std::vector<std::string>& patterns) {
  std::string text;
  for (const std::string& pattern : patterns) text += (text.empty() ? "" : " ") + pattern;
  return text;
}

// The tokenizer: trained, or read from the given model.
Tokenizer make_tokenizer(const Env& env, const PrepareOptions& options,
                         const std::vector<std::string>& files, Log& log, std::string& model) {
  if (options.tokenizer) {
    model = read_file(env, *options.tokenizer, largest_model);
    try_tokenizer_model(model, *options.tokenizer);
    Tokenizer given(model, *options.tokenizer);
    if (options.pieces && *options.pieces != given.vocabulary().pieces)
      throw Error(ExitCode::usage,
                  "--vocab-size is " + std::to_string(*options.pieces) + ", but " +
                      *options.tokenizer + " has " + std::to_string(given.vocabulary().pieces) +
                      " pieces",
                  "leave --vocab-size out");
    return given;
  }
  if (!options.pieces)
    throw Error(ExitCode::usage, "neither --vocab-size nor --tokenizer is given");
  TokenizerTraining training{.pieces = *options.pieces,
                             .rules = options.rules,
                             .character_coverage = options.character_coverage,
                             .byte_fallback = options.byte_fallback,
                             .threads = static_cast<std::size_t>(omp_get_max_threads())};
  log.info("training a tokenizer of " + std::to_string(training.pieces) + " pieces on up to " +
           std::to_string(training.text_bytes >> 20) + " MiB of the text");
  model = train_tokenizer(files, training);
  return Tokenizer(model, "the trained tokenizer");
}

// What the tokenization of all files shares.
struct Job {
  const Tokenizer& tokenizer;
  const CorpusRules& rules;
  std::size_t threads;
  TokenizingProgress& progress;
  Log& log;
};

struct TokenizedDocument {
  std::vector<std::int32_t> ids;
  std::vector<std::string> unknown;  // some of the characters that the tokenizer does not know
};

// A block reduced to its damage records, and its tokenized documents.
struct TokenizedBlock {
  CorpusBlock block;
  std::vector<TokenizedDocument> documents;
  std::int64_t text_bytes = 0;
};

bool is_unknown(std::int32_t id) { return id == Vocabulary::unknown; }

TokenizedBlock tokenize(CorpusBlock block, const CorpusRules& rules, TextEncoder& encoder) {
  decode(block, rules);
  TokenizedBlock tokenized;
  tokenized.documents.reserve(block.records.size());
  for (CorpusBlock::Record& record : block.records) {
    if (!record.damage.empty()) continue;
    tokenized.text_bytes += std::ssize(record.text);
    TokenizedDocument document{encoder.encode(record.text), {}};
    if (std::any_of(document.ids.begin(), document.ids.end(), is_unknown))
      document.unknown = encoder.unknown_characters(unknown_shown);
    tokenized.documents.push_back(std::move(document));
    record.text = std::string();
  }
  tokenized.block = std::move(block);
  return tokenized;
}

using Consumer = std::function<void(const TokenizedDocument&)>;

// Passes on every document that has tokens, in the order of the files.
CorpusReport tokenize(const std::vector<std::string>& files, const Job& job,
                      const Consumer& consume) {
  CorpusReport report;
  std::vector<std::unique_ptr<CorpusFile>> open(files.size());
  PipelineStages<CorpusBlock, TokenizedBlock> stages;
  stages.read = [&](std::size_t i) {
    if (!open[i]) open[i] = std::make_unique<CorpusFile>(files[i], job.rules);
    auto block = open[i]->next(block_size);
    if (!block) open[i].reset();
    return block;
  };
  std::vector<TextEncoder> encoders;  // one per thread
  for (std::size_t i = 0; i < job.threads; ++i) encoders.emplace_back(job.tokenizer);
  stages.work = [&](CorpusBlock block, std::size_t thread) {
    return tokenize(std::move(block), job.rules, encoders[thread]);
  };
  stages.consume = [&](const TokenizedBlock& tokenized) {
    report.add(tokenized.block);
    for (const TokenizedDocument& document : tokenized.documents)
      if (!document.ids.empty()) consume(document);
    job.progress.add(tokenized.block.bytes, tokenized.text_bytes);
  };
  OrderedPipeline(files.size(), job.threads, stages).run();
  return report;
}

void report_damage(const CorpusReport& report, Log& log) {
  for (const std::string& file : report.repaired)
    log.warning(file + "; they became U+FFFD, a blank to most tokenizers");
  if (const auto more = report.repaired_files - std::ssize(report.repaired); more > 0)
    log.warning("  and so did bytes of " + std::to_string(more) + " other files, " +
                std::to_string(report.replaced_bytes) + " in all");
  if (report.damaged_lines == 0) return;
  log.warning(std::to_string(report.damaged_lines) + " of " + std::to_string(report.lines) +
              " lines were damaged and passed over:");
  for (const std::string& damage : report.damage) log.warning("  " + damage);
}

// A token stream being written, with statistics of what the tokenizer does not know.
class Stream {
 public:
  Stream(Env& env, const std::string& path, std::int64_t rows) : writer_(env, path, rows) {}

  void add(const TokenizedDocument& document) {
    writer_.add_document(document.ids);
    pieces_ += std::ssize(document.ids);
    unknown_ += std::count_if(document.ids.begin(), document.ids.end(), is_unknown);
    for (const std::string& character : document.unknown) {
      if (std::ssize(examples_) == unknown_shown) break;
      if (std::count(examples_.begin(), examples_.end(), character) == 0)
        examples_.push_back(character);
    }
  }
  std::int64_t unknown() const { return unknown_; }
  TokenFileWriter::Summary finish() { return writer_.finish(); }

  // Warns where more than one piece in a thousand is unknown.
  void report_unknown(const std::string& name, Log& log) const {
    if (unknown_ * 1000 <= pieces_) return;
    std::ostringstream text;
    text << std::fixed << std::setprecision(2)
         << 100 * static_cast<double>(unknown_) / static_cast<double>(pieces_)
         << " % of the pieces of " << name
         << " are unknown to the tokenizer: what they stand for is lost. No piece has ";
    for (std::size_t i = 0; i < examples_.size(); ++i)
      text << (i > 0 ? ", " : "") << shown(examples_[i]);
    log.warning(text.str());
    log.warning("  --character-coverage 1 or --byte-fallback trains a tokenizer that knows them");
  }

 private:
  // "β" (U+03B2): with its code, since a terminal may have no glyph for it, or interpret it as a
  // control character.
  static std::string shown(const std::string& character) {
    const char32_t code = utf8_code_point(character);
    const std::string quoted = '"' + character + '"';
    if (code > ' ' && code < 0x7F) return quoted;
    std::ostringstream number;
    number << "U+" << std::hex << std::uppercase << std::setw(4) << std::setfill('0')
           << static_cast<std::uint32_t>(code);
    return code < 0xA0 ? number.str() : quoted + " (" + number.str() + ")";
  }

  TokenFileWriter writer_;
  std::int64_t pieces_ = 0, unknown_ = 0;
  std::vector<std::string> examples_;
};

// Writes the tokens of one set of files to `stream`. If `held_out` is given, every 100th document,
// beginning with the first, goes there instead.
void write_splits(const std::vector<std::string>& files, const Job& job, Stream& stream,
                  Stream* held_out) {
  std::int64_t documents = 0;
  const CorpusReport report = tokenize(files, job, [&](const TokenizedDocument& document) {
    const bool hold_out = held_out && documents % held_out_one_in == 0;
    (hold_out ? *held_out : stream).add(document);
    ++documents;
  });
  report_damage(report, job.log);
  if (documents == 0) refuse_empty_corpus(files, report);
  if (held_out && documents == 1)
    throw Error(
        ExitCode::missing_input,
        files.front() + " holds one document: held out for validation, it leaves none to train on",
        std::string("give --validation, or ") +
            (job.rules.line_is_document ? "more text"
                                        : "--lines if each line is a document of its own"));
}

// Warns about validation documents that also occur in the training text, because they turn
// validation into a test of memorisation. A few short lines often occur twice; only more than one
// document in a hundred is reported as a warning.
void report_shared(const PrepareResult& result, Log& log) {
  const std::int64_t held_out = result.manifest.validation.summary.documents;
  if (result.shared_documents * 100 <= held_out) return;
  log.warning(
      std::to_string(result.shared_documents) + " of the " + std::to_string(held_out) +
      " documents held out occur in the training text too: on them validation measures what "
      "was learnt by heart");
}

// Removes validation files from the training files.
void leave_out_validation(std::vector<std::string>& files,
                          const std::vector<std::string>& validation, Log& log) {
  const auto removed = remove_files(files, validation);
  if (removed.empty()) return;
  if (files.empty())
    throw Error(ExitCode::usage,
                "all that --input names is among the validation files, such as " + removed.front(),
                "give other text to train on, or leave --validation out: every 100th document is "
                "then held out");
  log.warning(removed.front() +
              (removed.size() == 1
                   ? " is a validation file, and left out of the training text"
                   : " and " + std::to_string(removed.size() - 1) +
                         " other files are validation files, and left out of the training text"));
}

// Finds files that are not text before hours of work.
void require_texts(const std::vector<std::string>& files, const CorpusRules& rules) {
  for (const std::string& file : files) CorpusFile(file, rules);
}

// Logs "tokenizing 3 files, from t/1.txt to t/9.txt".
void report_files(const std::vector<std::string>& train, const std::vector<std::string>& validation,
                  Log& log) {
  const auto describe = [](const std::vector<std::string>& files) {
    if (files.size() == 1) return "1 file, " + files.front();
    return std::to_string(files.size()) + " files, from " + files.front() + " to " + files.back();
  };
  log.info("tokenizing " + describe(train));
  if (!validation.empty()) log.info("for validation " + describe(validation));
}

}  // namespace

PrepareResult prepare(Env& env, const PrepareOptions& options, Log& log) {
  auto train_files = expand_patterns(options.input);
  const auto validation_files = expand_patterns(options.validation);
  leave_out_validation(train_files, validation_files, log);
  StagingDirectory staging(env, options.output, dataset_files::manifest);
  require_texts(train_files, options.rules);
  require_texts(validation_files, options.rules);

  PrepareResult result;
  result.held_out = validation_files.empty();
  std::string model;
  const Tokenizer tokenizer = make_tokenizer(env, options, train_files, log, model);
  result.manifest.vocabulary = tokenizer.vocabulary();
  result.manifest.tokenizer_sha256 = tokenizer.sha256();

  const std::int64_t rows = tokenizer.vocabulary().rows();
  Stream train(env, staging.path(dataset_files::train), rows);
  Stream validation(env, staging.path(dataset_files::validation), rows);
  if (result.held_out) log.info("no --validation: every 100th document is held out for validation");
  report_files(train_files, validation_files, log);
  TokenizingProgress progress(log, bytes_on_disk(train_files) + bytes_on_disk(validation_files));
  const Job job{tokenizer, options.rules, static_cast<std::size_t>(omp_get_max_threads()), progress,
                log};
  write_splits(train_files, job, train, result.held_out ? &validation : nullptr);
  if (!result.held_out) write_splits(validation_files, job, validation, nullptr);
  progress.end(job.threads);

  result.manifest.train = {train.finish(), joined(options.input)};
  result.manifest.validation = {validation.finish(),
                                result.held_out ? "every 100th document of " + joined(options.input)
                                                : joined(options.validation)};
  result.unknown_train = train.unknown();
  result.unknown_validation = validation.unknown();
  train.report_unknown("train", log);
  validation.report_unknown("validation", log);
  result.shared_documents = count_shared_documents(env, staging.path(dataset_files::validation),
                                                   staging.path(dataset_files::train));
  report_shared(result, log);
  write_file_atomically(env, staging.path(dataset_files::tokenizer), model);
  write_file_atomically(env, staging.path(dataset_files::manifest), to_text(result.manifest));
  staging.commit();
  return result;
}

}  // namespace switchyard
