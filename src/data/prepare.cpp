#include "data/prepare.hpp"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iomanip>
#include <memory>
#include <sstream>

#include "base/error.hpp"
#include "data/ordered_pipeline.hpp"
#include "data/staging_directory.hpp"

namespace switchyard {

namespace {

constexpr std::int64_t held_out_one_in = 100;
constexpr std::int64_t largest_model = std::int64_t{256} << 20;
constexpr std::size_t block_size = std::size_t{256} << 10;

// A line every few seconds: how far, how fast, how long still. How far is told by the bytes of the
// files, how fast by those of the text in them.
class Progress {
 public:
  // bytes: of all files as they lie on disk.
  Progress(Log& log, std::int64_t bytes) : log_(log), bytes_(bytes) {}

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

// The model's bytes and the name to call it by.
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
  TokenizerTraining training;
  training.pieces = *options.pieces;
  training.line_is_document = options.line_is_document;
  log.info("training a tokenizer of " + std::to_string(training.pieces) + " pieces on up to " +
           std::to_string(training.text_bytes >> 20) + " MiB of the text");
  model = train_tokenizer(files, training);
  return Tokenizer(model, "the trained tokenizer");
}

// What all files are tokenized with.
struct Job {
  const Tokenizer& tokenizer;
  bool line_is_document;
  std::size_t threads;
  Progress& progress;
  Log& log;
};

// A block of which only the damage is left, and the ids of its documents.
struct TokenizedBlock {
  CorpusBlock block;
  std::vector<std::vector<std::int32_t>> documents;
  std::int64_t text_bytes = 0;
};

TokenizedBlock tokenize(CorpusBlock block, TextEncoder& encoder) {
  decode(block);
  TokenizedBlock tokenized;
  tokenized.documents.reserve(block.records.size());
  for (CorpusBlock::Record& record : block.records) {
    if (!record.damage.empty()) continue;
    tokenized.text_bytes += std::ssize(record.text);
    tokenized.documents.push_back(encoder.encode(record.text));
    record.text = std::string();
  }
  tokenized.block = std::move(block);
  return tokenized;
}

using Consumer = std::function<void(std::span<const std::int32_t>)>;

// Hands on every document that has tokens, in the files' order.
CorpusReport tokenize(const std::vector<std::string>& files, const Job& job,
                      const Consumer& consume) {
  CorpusReport report;
  std::vector<std::unique_ptr<CorpusFile>> open(files.size());
  PipelineStages<CorpusBlock, TokenizedBlock> stages;
  stages.read = [&](std::size_t i) {
    if (!open[i]) open[i] = std::make_unique<CorpusFile>(files[i], job.line_is_document);
    auto block = open[i]->next(block_size);
    if (!block) open[i].reset();
    return block;
  };
  std::vector<TextEncoder> encoders;  // one a thread
  for (std::size_t i = 0; i < job.threads; ++i) encoders.emplace_back(job.tokenizer);
  stages.work = [&](CorpusBlock block, std::size_t thread) {
    return tokenize(std::move(block), encoders[thread]);
  };
  stages.consume = [&](const TokenizedBlock& tokenized) {
    report.add(tokenized.block);
    for (const auto& ids : tokenized.documents)
      if (!ids.empty()) consume(ids);
    job.progress.add(tokenized.block.bytes, tokenized.text_bytes);
  };
  OrderedPipeline(files.size(), job.threads, stages).run();
  return report;
}

void report_damage(const CorpusReport& report, Log& log) {
  if (report.replaced_bytes > 0)
    log.warning(std::to_string(report.replaced_bytes) +
                " bytes were not UTF-8 and became replacement characters");
  if (report.damaged_lines == 0) return;
  log.warning(std::to_string(report.damaged_lines) + " of " + std::to_string(report.lines) +
              " lines were damaged and passed over:");
  for (const std::string& damage : report.damage) log.warning("  " + damage);
}

// The tokens of one set of files; where `held_out` is given, every 100th document, the first one
// beginning, goes there instead.
void write_splits(const std::vector<std::string>& files, const Job& job, TokenFileWriter& writer,
                  TokenFileWriter* held_out) {
  std::int64_t documents = 0;
  const CorpusReport report = tokenize(files, job, [&](std::span<const std::int32_t> ids) {
    const bool hold_out = held_out && documents % held_out_one_in == 0;
    (hold_out ? *held_out : writer).add_document(ids);
    ++documents;
  });
  report_damage(report, job.log);
  if (documents == 0 && report.damaged_lines > 0)
    throw Error(ExitCode::damaged_data,
                "no document could be read; the first damage is " + report.damage.front(),
                "JSON lines hold one object each, its text under \"text\"");
  if (documents == 0)
    throw Error(
        ExitCode::missing_input,
        "there is no text in " + files.front() + (files.size() > 1 ? " and the other files" : ""),
        "check the files' contents");
  if (held_out && documents == 1)
    throw Error(
        ExitCode::missing_input,
        files.front() + " holds one document: held out for validation, it leaves none to train on",
        "give --validation, or --lines if each line is a document of its own");
}

}  // namespace

PrepareResult prepare(Env& env, const PrepareOptions& options, Log& log) {
  const auto train_files = expand_patterns(options.input);
  const auto validation_files = expand_patterns(options.validation);
  StagingDirectory staging(env, options.output, dataset_files::manifest);

  PrepareResult result;
  result.held_out = validation_files.empty();
  std::string model;
  const Tokenizer tokenizer = make_tokenizer(env, options, train_files, log, model);
  result.manifest.vocabulary = tokenizer.vocabulary();
  result.manifest.tokenizer_sha256 = tokenizer.sha256();

  const std::int64_t rows = tokenizer.vocabulary().rows();
  TokenFileWriter train(env, staging.path(dataset_files::train), rows);
  TokenFileWriter validation(env, staging.path(dataset_files::validation), rows);
  if (result.held_out) log.info("no --validation: every 100th document is held out for validation");
  const std::size_t files = train_files.size() + validation_files.size();
  log.info("tokenizing " + std::to_string(files) + (files == 1 ? " file" : " files"));
  Progress progress(log, bytes_on_disk(train_files) + bytes_on_disk(validation_files));
  const Job job{tokenizer, options.line_is_document,
                static_cast<std::size_t>(omp_get_max_threads()), progress, log};
  write_splits(train_files, job, train, result.held_out ? &validation : nullptr);
  if (!result.held_out) write_splits(validation_files, job, validation, nullptr);
  progress.end(job.threads);

  result.manifest.train = {train.finish(), joined(options.input)};
  result.manifest.validation = {validation.finish(),
                                result.held_out ? "every 100th document of " + joined(options.input)
                                                : joined(options.validation)};
  write_file_atomically(env, staging.path(dataset_files::tokenizer), model);
  write_file_atomically(env, staging.path(dataset_files::manifest), to_text(result.manifest));
  staging.commit();
  return result;
}

}  // namespace switchyard
