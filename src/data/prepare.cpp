#include "data/prepare.hpp"

#include <chrono>
#include <exception>
#include <functional>
#include <iomanip>
#include <sstream>

#include "base/error.hpp"
#include "data/staging_directory.hpp"

namespace switchyard {

namespace {

constexpr std::int64_t held_out_one_in = 100;
constexpr std::int64_t largest_model = std::int64_t{256} << 20;
constexpr std::size_t batch_bytes = std::size_t{4} << 20;

// A line every few seconds: how far, how fast, how long still.
class Progress {
 public:
  explicit Progress(Log& log) : log_(log) {}

  void report(std::int64_t done, std::int64_t total) {
    const Clock::time_point now = Clock::now();
    if (now - last_ < std::chrono::seconds(5)) return;
    last_ = now;
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const double rate = static_cast<double>(done) / seconds;
    const auto left = static_cast<long>(static_cast<double>(total - done) / (rate > 1 ? rate : 1));
    std::ostringstream line;
    line << std::fixed << std::setprecision(1) << "tokenized "
         << 100.0 * static_cast<double>(done) / static_cast<double>(total > 0 ? total : 1)
         << " % | " << rate / 1e6 << " MB/s | " << left / 3600 << ":" << std::setfill('0')
         << std::setw(2) << left / 60 % 60 << ":" << std::setw(2) << left % 60 << " left";
    log_.info(line.str());
  }

 private:
  using Clock = std::chrono::steady_clock;
  Log& log_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
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

// The ids of each document, encoded on all threads.
std::vector<std::vector<std::int32_t>> encode_all(const Tokenizer& tokenizer,
                                                  const std::vector<std::string>& documents) {
  std::vector<std::vector<std::int32_t>> ids(documents.size());
  std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < documents.size(); ++i) {
    try {
      ids[i] = tokenizer.encode(documents[i]);
    } catch (...) {
#pragma omp critical(encode_failure)
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
  return ids;
}

using Consumer = std::function<void(std::span<const std::int32_t>)>;

// Hands on every document that has tokens, in reading order.
void tokenize(CorpusReader& reader, const Tokenizer& tokenizer, Log& log, const Consumer& consume) {
  Progress progress(log);
  for (bool more = true; more;) {
    std::vector<std::string> documents;
    for (std::size_t bytes = 0; bytes < batch_bytes;) {
      auto document = reader.next();
      more = document.has_value();
      if (!more) break;
      bytes += document->size();
      documents.push_back(std::move(*document));
    }
    for (const auto& ids : encode_all(tokenizer, documents))
      if (!ids.empty()) consume(ids);
    progress.report(reader.bytes_consumed(), reader.bytes_total());
  }
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
void write_splits(const std::vector<std::string>& files, const PrepareOptions& options,
                  const Tokenizer& tokenizer, TokenFileWriter& writer, TokenFileWriter* held_out,
                  Log& log) {
  CorpusReader reader(files, options.line_is_document);
  std::int64_t documents = 0;
  tokenize(reader, tokenizer, log, [&](std::span<const std::int32_t> ids) {
    const bool hold_out = held_out && documents % held_out_one_in == 0;
    (hold_out ? *held_out : writer).add_document(ids);
    ++documents;
  });
  report_damage(reader.report(), log);
  if (documents == 0 && reader.report().damaged_lines > 0)
    throw Error(ExitCode::damaged_data,
                "no document could be read; the first damage is " + reader.report().damage.front(),
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
  StagingDirectory staging(env, options.output);

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
  write_splits(train_files, options, tokenizer, train, result.held_out ? &validation : nullptr,
               log);
  if (!result.held_out)
    write_splits(validation_files, options, tokenizer, validation, nullptr, log);

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
