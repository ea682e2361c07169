#include "data/prepare.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "corpus_files.hpp"
#include "data/span_corruption_source.hpp"
#include "support/errors.hpp"
#include "support/fault_env.hpp"

namespace switchyard {
namespace {

using test::fails_with;
using test::gzipped;
using test::prepare_small;
using test::read_bytes;
using test::synthetic_text;
using test::write_text;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

class Prepare : public testing::Test {
 protected:
  Prepare() {
    options_.input = {write_text(at("corpus.txt"), synthetic_text(250, 40))};
    options_.pieces = 300;
    options_.rules.line_is_document = true;
    options_.output = at("out");
  }
  std::string at(const std::string& name) { return scratch_.path() + "/" + name; }
  PrepareResult run() {
    std::ostringstream console;
    Log log(&console);
    const PrepareResult result = prepare(env_, options_, log);
    said_ = console.str();
    return result;
  }
  // Fails with this code and these words, and leaves no files.
  testing::AssertionResult refuses(ExitCode code, const std::string& words) {
    const bool existed = std::filesystem::exists(options_.output);
    const auto result = fails_with(code, words, [&] { run(); });
    if (std::filesystem::exists(options_.output + ".partial") ||
        std::filesystem::exists(options_.output) != existed)
      return testing::AssertionFailure() << "something half-made stays";
    return result;
  }

  PosixEnv env_;
  test::ScratchDirectory scratch_;
  PrepareOptions options_;
  std::string said_;
};

TEST_F(Prepare, WritesADirectoryThatOpens) {
  const PrepareResult result = run();
  EXPECT_THAT(env_.list_directory(at("out")),
              UnorderedElementsAre("dataset.textproto", "tokenizer.model", "train.bin", "train.idx",
                                   "validation.bin", "validation.idx"));
  const Dataset data = Dataset::open(env_, at("out"));
  data.verify(env_);
  EXPECT_EQ(data.vocabulary().pieces, 300);
  EXPECT_EQ(data.vocabulary().rows(), 512);
  EXPECT_EQ(data.train().tokens(), result.manifest.train.summary.tokens);
  EXPECT_FALSE(std::filesystem::exists(at("out.partial")));
  EXPECT_THAT(said_, testing::ContainsRegex("MB of text in .* s: .* MB/s on [0-9]+ thread"));
}

TEST_F(Prepare, TheTokensSpellTheText) {
  run();
  const Dataset data = Dataset::open(env_, at("out"));
  std::istringstream lines(read_bytes(options_.input.front()));
  std::string train, validation, line;
  for (int i = 0; std::getline(lines, line); ++i) {
    std::string& text = i % 100 == 0 ? validation : train;
    text += (text.empty() ? "" : " ") + line;
  }
  EXPECT_EQ(data.tokenizer().decode(data.train().tokens(0, data.train().tokens())), train);
  EXPECT_EQ(data.tokenizer().decode(data.validation().tokens(0, data.validation().tokens())),
            validation);
}

TEST_F(Prepare, HoldsOutEvery100thDocumentAndSaysSo) {
  const PrepareResult result = run();
  EXPECT_TRUE(result.held_out);
  EXPECT_EQ(result.manifest.validation.summary.documents, 3);
  EXPECT_EQ(result.manifest.train.summary.documents, 247);
  EXPECT_THAT(said_, HasSubstr("every 100th document"));
}

TEST_F(Prepare, HoldsOutOneOfFewDocumentsButNotTheOnlyOne) {
  options_.tokenizer = write_text(at("small.model"), test::small_model(scratch_));
  write_text(at("corpus.txt"), "ba du\nbe di\n");
  EXPECT_EQ(run().manifest.validation.summary.documents, 1);
  options_.output = at("other");
  write_text(at("corpus.txt"), "ba du\n");
  EXPECT_TRUE(refuses(ExitCode::missing_input, "one document"));
}

TEST_F(Prepare, GivenValidationTextNothingIsHeldOut) {
  options_.validation = {write_text(at("held.txt"), synthetic_text(7, 40))};
  const PrepareResult result = run();
  EXPECT_FALSE(result.held_out);
  EXPECT_EQ(result.manifest.train.summary.documents, 250);
  EXPECT_EQ(result.manifest.validation.summary.documents, 7);
  EXPECT_THAT(said_, Not(HasSubstr("is held out")));
}

TEST_F(Prepare, AGivenTokenizerIsCopiedAndItsSizeMustAgree) {
  const std::string model = test::small_model(scratch_);
  options_.tokenizer = write_text(at("given.model"), model);
  options_.pieces = 301;
  EXPECT_TRUE(refuses(ExitCode::usage, "300 pieces"));
  options_.pieces.reset();
  run();
  EXPECT_EQ(read_bytes(at("out/tokenizer.model")), model);
  options_.tokenizer = write_text(at("bad.model"), "no model");
  options_.output = at("other");
  EXPECT_TRUE(refuses(ExitCode::damaged_data, "bad.model"));
  options_.tokenizer = at("absent.model");
  EXPECT_TRUE(refuses(ExitCode::missing_input, "absent.model"));
}

// Files of every kind: plain, gzip and JSON, empty, tiny, of many blocks, and one long document.
class PrepareManyFiles : public Prepare {
 protected:
  PrepareManyFiles() {
    std::string json = "broken\n", page = synthetic_text(150, 400), longest = page;
    std::istringstream lines(synthetic_text(1000, 40));
    for (std::string line; std::getline(lines, line);) json += "{\"text\": \"" + line + "\"}\n\n";
    std::replace(longest.begin(), longest.end(), '\n', ' ');
    write_text(at("a.txt"), "");
    write_text(at("b.txt.gz"), gzipped(page + "ba \xFF du\n"));
    write_text(at("c.jsonl"), json + "{\"text\": \" \"}");
    write_text(at("d.txt.gz"), gzipped(""));
    write_text(at("e.json.gz"), gzipped(json) + gzipped("{\"text\": \"be di\"}"));
    write_text(at("f.txt"), longest);
    for (int i = 100; i < 150; ++i)
      write_text(at(std::to_string(i) + ".txt"), i % 3 == 0 ? "\n" : "ba du\nbe di");
    const std::string whole = gzipped(page);
    write_text(at("h.txt.gz"), whole.substr(0, whole.size() / 2));
    options_.tokenizer = write_text(at("small.model"), test::small_model(scratch_));
    options_.pieces.reset();
    options_.input = {at("*.txt"), at("*.gz"), at("*.jsonl")};
  }
  ~PrepareManyFiles() override { omp_set_num_threads(threads_before_); }

  // Runs with this many threads into a directory of its own.
  std::string run_on(int threads) {
    omp_set_num_threads(threads);
    options_.output = at("out" + std::to_string(threads));
    run();
    return options_.output;
  }

 private:
  const int threads_before_ = omp_get_max_threads();
};

TEST_F(PrepareManyFiles, WritesTheSameBytesOnAnyNumberOfThreads) {
  for (const bool line_is_document : {true, false}) {
    options_.rules.line_is_document = line_is_document;
    const std::string one = run_on(1), said = said_.substr(0, said_.find("tokenized"));
    EXPECT_THAT(said_, HasSubstr("c.jsonl:1: "));
    EXPECT_THAT(said_, HasSubstr("h.txt.gz:"));
    for (const int threads : line_is_document ? std::vector{2, 3, 7} : std::vector{7}) {
      const std::string many = run_on(threads);
      EXPECT_EQ(said_.substr(0, said_.find("tokenized")), said);
      EXPECT_EQ(env_.list_directory(many), env_.list_directory(one));
      for (const std::string& name : env_.list_directory(one))
        EXPECT_EQ(read_bytes(many + "/" + name), read_bytes(one + "/" + name)) << name;
      env_.remove_tree(many);
    }
    env_.remove_tree(one);
  }
}

TEST_F(PrepareManyFiles, WritesWhatReadingAndEncodingOneByOneGives) {
  const Dataset data = Dataset::open(env_, run_on(3));
  std::vector<std::int32_t> train, validation;
  CorpusReader reader(expand_patterns(options_.input), options_.rules);
  for (int i = 0; const auto document = reader.next(); ++i) {
    const auto ids = data.tokenizer().encode(*document);
    auto& split = i % 100 == 0 ? validation : train;
    split.insert(split.end(), ids.begin(), ids.end());
  }
  EXPECT_GT(train.size(), 300000U);
  EXPECT_TRUE(data.train().tokens(0, data.train().tokens()) == train);
  EXPECT_TRUE(data.validation().tokens(0, data.validation().tokens()) == validation);
}

TEST_F(PrepareManyFiles, TheFirstErrorInTheirOrderIsTheOneThatIsSaid) {
  std::filesystem::create_directory(at("not"));
  std::string broken;
  for (int i = 0; i < 300; ++i) broken += "broken\n";
  write_text(at("e2.jsonl"), broken);
  write_text(at("g.jsonl"), broken);
  write_text(at("not/e3.txt.gz"), "not gzip");
  write_text(at("not/f.txt.gz"), "not gzip either");
  const std::vector<std::string> at_e3 = {at("[a-d]*"), at("not/*")};
  for (const auto& [input, named] : {std::pair(options_.input, "e2.jsonl:"), {at_e3, "e3.txt.gz"}})
    for (const int threads : {1, 2, 7}) {
      CorpusReader reader(expand_patterns(input), {.line_is_document = true});
      const std::string one_by_one = test::error_of([&] { test::documents_of(reader); });
      EXPECT_THAT(one_by_one, HasSubstr(named));
      options_.input = input;
      omp_set_num_threads(threads);
      EXPECT_TRUE(refuses(ExitCode::damaged_data, one_by_one.substr(one_by_one.find(": ") + 2)));
    }
}

TEST_F(PrepareManyFiles, AFullDiskIsSaidAndLeavesNothing) {
  omp_set_num_threads(3);
  test::FaultEnv sound;
  Log silent(nullptr);
  prepare(sound, options_, silent);
  env_.remove_tree(options_.output);
  for (std::size_t n = 0; n < sound.operations().size(); ++n) {
    if (!sound.operations()[n].starts_with("append")) continue;
    test::FaultEnv full(static_cast<int>(n));
    EXPECT_TRUE(fails_with(ExitCode::io_error, "injected fault: append",
                           [&] { prepare(full, options_, silent); }));
    EXPECT_FALSE(env_.exists(options_.output) || env_.exists(options_.output + ".partial"));
  }
}

TEST_F(Prepare, RefusesAnOutputThatIsTaken) {
  std::filesystem::create_directory(at("out"));
  run();  // an empty directory may be used
  EXPECT_TRUE(
      fails_with(ExitCode::output_not_writable, "already holds prepared data", [&] { run(); }));
  std::filesystem::create_directory(at("full"));
  write_text(at("full/letter"), "x");
  options_.output = at("full");
  EXPECT_TRUE(refuses(ExitCode::output_not_writable, "not empty"));
  EXPECT_EQ(read_bytes(at("full/letter")), "x");
  options_.output = at("corpus.txt");
  EXPECT_TRUE(refuses(ExitCode::output_not_writable, "not a directory"));
  options_.output = at("corpus.txt/out");
  EXPECT_TRUE(refuses(ExitCode::output_not_writable, "corpus.txt"));
  options_.output = "/proc/out";
  EXPECT_TRUE(refuses(ExitCode::output_not_writable, "/proc/out"));
}

TEST_F(Prepare, RemovesWhatAKilledOneLeftButNotWhatALivingOneWrites) {
  std::filesystem::create_directories(at("out.partial"));
  write_text(at("out.partial/train.bin"), "half");
  const int other = open(at("out.partial").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(flock(other, LOCK_EX), 0);
  EXPECT_TRUE(fails_with(ExitCode::output_not_writable, "another process", [&] { run(); }));
  EXPECT_EQ(read_bytes(at("out.partial/train.bin")), "half");
  close(other);
  options_.output = at("out") + "/";
  run();
  Dataset::open(env_, at("out"));
}

TEST_F(Prepare, RefusesTextWithoutADocument) {
  write_text(at("corpus.txt"), "\n \n");
  EXPECT_TRUE(refuses(ExitCode::missing_input, "text"));
  options_.input = {write_text(at("broken.jsonl"), "broken\n")};
  options_.tokenizer = write_text(at("small.model"), test::small_model(scratch_));
  EXPECT_TRUE(refuses(ExitCode::damaged_data, "broken.jsonl:1"));
}

TEST_F(Prepare, ReportsDamagedLines) {
  write_text(at("corpus.txt"), synthetic_text(250, 40) + "ba \xFF du\n");
  options_.input.push_back(write_text(at("more.jsonl"), "broken\n{\"text\": \"ba du\"}\n"));
  EXPECT_EQ(run().manifest.train.summary.documents, 249);
  EXPECT_THAT(said_, HasSubstr("more.jsonl:1: "));
  EXPECT_THAT(said_,
              HasSubstr("corpus.txt: 1 byte in 1 line was not UTF-8, the first 0xFF in line 251"));
}

TEST_F(Prepare, ValidationFilesAreLeftOutOfTheTrainingText) {
  std::filesystem::create_directory(at("d"));
  const std::string held = synthetic_text(7, 40);
  write_text(at("d/0.txt"), synthetic_text(250, 41));
  write_text(at("d/1.txt"), held);
  std::filesystem::create_symlink("d", at("same"));
  options_.input = {at("d/*.txt")};
  options_.validation = {at("same/1.txt")};
  const PrepareResult result = run();
  EXPECT_EQ(result.manifest.train.summary.documents, 250);
  EXPECT_EQ(result.manifest.validation.summary.documents, 7);
  EXPECT_THAT(said_, HasSubstr("d/1.txt is a validation file, and left out of the training text"));
  options_.input = options_.validation = {at("d/1.txt")};
  options_.output = at("other");
  EXPECT_TRUE(refuses(ExitCode::usage, "all that --input names is among the validation files"));
}

TEST_F(Prepare, CountsTheHeldOutDocumentsThatOccurInTheTrainingText) {
  const std::string text = synthetic_text(250, 40), held = synthetic_text(7, 40);
  EXPECT_EQ(run().shared_documents, 0);
  EXPECT_THAT(said_, Not(HasSubstr("held out occur")));
  options_.validation = {write_text(at("copy.txt"), held + held + "ba be du\n")};
  options_.output = at("copied");
  EXPECT_EQ(run().shared_documents, 14);  // synthetic_text() begins alike
  EXPECT_THAT(said_, HasSubstr("14 of the 15 documents held out occur in the training text too"));
  options_.validation.clear();
  write_text(at("corpus.txt"), text + text.substr(0, text.find('\n') + 1));
  options_.output = at("twice");
  EXPECT_EQ(run().shared_documents, 1);
}

TEST_F(Prepare, CountsUnknownPiecesAndWarnsOfMany) {
  options_.tokenizer = write_text(at("small.model"), test::small_model(scratch_));
  options_.pieces.reset();
  EXPECT_EQ(run().unknown_train, 0);
  EXPECT_THAT(said_, Not(HasSubstr("unknown")));
  options_.validation = {write_text(at("greek.txt"), "\xCE\xB2\xCE\xB3 be\nQ \xCE\xB2\n")};
  options_.output = at("greek");
  const PrepareResult result = run();
  EXPECT_EQ(result.unknown_train, 0);
  EXPECT_EQ(result.unknown_validation, 3);
  options_.input = {at("greek.txt")};  // all alike to this tokenizer
  write_text(at("greek2.txt"), "\xCE\xB3\xCE\xB2 be\n");
  options_.validation = {at("greek2.txt")};
  options_.output = at("alike");
  const std::string said = said_;
  EXPECT_EQ(run().shared_documents, 0);
  said_ = said;
  EXPECT_THAT(said_, HasSubstr("of the pieces of validation are unknown to the tokenizer"));
  EXPECT_THAT(said_, HasSubstr("\"\xCE\xB2\" (U+03B2), \"\xCE\xB3\" (U+03B3), \"Q\""));
  EXPECT_THAT(said_, Not(HasSubstr("pieces of train")));
}

TEST_F(Prepare, TellsTheFilesThatItReads) {
  std::filesystem::create_directories(at("t/1"));
  for (const char* name : {"t/a.txt", "t/1/b.txt", "t/1/c.txt"})
    write_text(at(name), synthetic_text(100, 40));
  options_.input = {at("t/**/*.txt")};
  run();
  EXPECT_THAT(said_,
              HasSubstr("tokenizing 3 files, from " + at("t/1/b.txt") + " to " + at("t/a.txt")));
}

TEST_F(Prepare, ATextThatIsNoneIsRefusedBeforeATokenizerIsTrained) {
  options_.input.push_back(write_text(at("zip.txt"), gzipped("ba du\n")));
  EXPECT_TRUE(refuses(ExitCode::damaged_data, "zip.txt is gzip data"));
  EXPECT_THAT(said_, Not(HasSubstr("training a tokenizer")));
  options_.input = {write_text(
      at("pointer.txt"), "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")};
  EXPECT_TRUE(refuses(ExitCode::damaged_data, "pointer.txt is a Git LFS pointer, not the file"));
}

TEST_F(Prepare, RefusesMorePiecesThanTheTextSupports) {
  options_.pieces = 1000000;
  EXPECT_TRUE(refuses(ExitCode::usage, "at most"));
}

class Datasets : public testing::Test {
 protected:
  std::string at(const std::string& name) { return data_ + "/" + name; }
  void flip(const std::string& name, std::size_t byte) {
    std::string bytes = read_bytes(at(name));
    bytes[byte] = static_cast<char>(bytes[byte] ^ 1);
    write_text(at(name), bytes);
  }

  PosixEnv env_;
  test::ScratchDirectory scratch_;
  std::string data_ = prepare_small(scratch_, 250);
};

TEST_F(Datasets, MissingOnesSayHowToMakeThem) {
  EXPECT_TRUE(fails_with(ExitCode::missing_input, "absent does not exist",
                         [&] { Dataset::open(env_, "absent"); }));
  EXPECT_TRUE(fails_with(ExitCode::missing_input, "no dataset.textproto",
                         [&] { Dataset::open(env_, scratch_.path()); }));
  std::filesystem::remove(at("train.bin"));
  EXPECT_TRUE(
      fails_with(ExitCode::missing_input, "train.bin", [&] { Dataset::open(env_, data_); }));
}

TEST_F(Datasets, AnotherTokenizerIsAMismatch) {
  flip("tokenizer.model", 1000);
  EXPECT_TRUE(
      fails_with(ExitCode::mismatch, "tokenizer.model", [&] { Dataset::open(env_, data_); }));
}

TEST_F(Datasets, DamagedManifestsAreNamedWithTheirLine) {
  const std::string good = read_bytes(at("dataset.textproto"));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    write_text(at("dataset.textproto"), text);
    return [&] { Dataset::open(env_, data_); };
  };
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "textproto:4:", with("pieces:", "pizzas:")));
  EXPECT_TRUE(
      fails_with(ExitCode::damaged_data, "vocabulary", with("vocab_size: 512", "vocab_size: 511")));
  EXPECT_TRUE(
      fails_with(ExitCode::damaged_data, "vocabulary", with("pieces: 300", "pieces: -300")));
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "tokens", with("tokens: ", "tokens: 9")));
  EXPECT_TRUE(
      fails_with(ExitCode::mismatch, "version 2", with("format_version: 1", "format_version: 2")));
  write_text(at("dataset.textproto"), "");
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "textproto", [&] { Dataset::open(env_, data_); }));
}

TEST_F(Datasets, AFlippedBitOfTheIndexIsFoundByVerify) {
  flip("train.idx", 40);
  const Dataset data = Dataset::open(env_, data_);
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "train.idx", [&] { data.verify(env_); }));
}

TEST_F(Datasets, ATruncatedStreamIsDamage) {
  const std::string whole = read_bytes(at("train.bin"));
  write_text(at("train.bin"), whole.substr(0, whole.size() - 2));
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "tokens", [&] { Dataset::open(env_, data_); }));
}

TEST_F(Datasets, AFlippedTokenIsFoundByVerify) {
  flip("train.bin", 100);
  const Dataset data = Dataset::open(env_, data_);
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "train.bin", [&] { data.verify(env_); }));
}

TEST_F(Datasets, GiveExamplesThatArePureFunctionsOfTheSample) {
  const Dataset data = Dataset::open(env_, data_), again = Dataset::open(env_, data_);
  SpanCorruptionConfig config;
  config.input_length = 64;
  const auto source = SpanCorruptionSource::training(data, config, 5);
  const auto other = SpanCorruptionSource::training(again, config, 5);
  for (const std::int64_t sample : {0L, 7L, source.segments() * 3 + 1, 1L << 40}) {
    const Example example = source.example(sample);
    EXPECT_EQ(example.inputs, other.example(sample).inputs);
    EXPECT_EQ(example.targets, other.example(sample).targets);
    EXPECT_EQ(example.targets.size(), 14U);
  }
  EXPECT_EQ(data.data_digest(), again.data_digest());
}

TEST_F(Datasets, HideSpansByTheSampleSoThatEachEpochHidesAnew) {
  const Dataset data = Dataset::open(env_, data_);
  SpanCorruptionConfig config;
  config.input_length = 64;
  const auto source = SpanCorruptionSource::training(data, config, 5);
  const SpanCorruption corruption(config, data.vocabulary());
  const std::int64_t length = corruption.lengths().raw;
  const auto order = SampleOrder::training(data.train().tokens(), length, 5);
  for (const std::int64_t sample : {0L, 7L, source.segments(), source.segments() * 3 + 1}) {
    const auto segment = data.train().tokens(order.first_token(sample), length);
    const Example expected = corruption.corrupt(segment, 5, static_cast<std::uint64_t>(sample));
    EXPECT_EQ(source.example(sample).inputs, expected.inputs) << "sample " << sample;
  }
}

TEST_F(Datasets, ValidateOnEverySegmentWhateverTheSeed) {
  const Dataset data = Dataset::open(env_, data_);
  SpanCorruptionConfig config;
  config.input_length = 16;
  const auto source = SpanCorruptionSource::validation(data, config);
  EXPECT_EQ(source.segments(), data.validation().tokens() / source.lengths().raw);
  const auto first = data.validation().tokens(0, 1);
  EXPECT_EQ(source.example(0).inputs.front(), first.front());
  source.example(source.segments() - 1);
}

TEST_F(Datasets, TooShortAStreamIsMissingInput) {
  const Dataset data = Dataset::open(env_, data_);
  SpanCorruptionConfig config;
  config.input_length = 1024;
  config.mean_noise_span_length = 4;
  EXPECT_TRUE(fails_with(ExitCode::missing_input, "validation holds",
                         [&] { SpanCorruptionSource::validation(data, config); }));
}

}  // namespace
}  // namespace switchyard
