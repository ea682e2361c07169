// Files of examples as a user sees them: evaluation, training, and gradients from two exports. The
// figures are Hugging Face's for one of its models; the bits must be the same on any number of
// processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "oracle/hf_tiny_directory.hpp"
#include "support/program.hpp"
#include "support/synthetic_text.hpp"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

// Safetensors of f32: name -> values.
std::map<std::string, std::vector<float>> read_tensors(const std::string& directory) {
  const std::string bytes = read_text(directory + "/model.safetensors");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  const char* data = bytes.data() + sizeof length + length;
  std::map<std::string, std::vector<float>> tensors;
  const json header = json::parse(bytes.substr(sizeof length, length));
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const std::size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    std::vector<float>& values = tensors[name];
    values.resize((end - begin) / sizeof(float));
    std::memcpy(values.data(), data + begin, end - begin);
  }
  return tensors;
}

// The fixture's batch as a file of examples, without padding.
std::string fixture_lines(const json& expected) {
  std::string lines;
  for (std::size_t r = 0; r < expected["input_ids"].size(); ++r) {
    json inputs, targets;
    for (std::size_t i = 0; i < expected["input_ids"][r].size(); ++i)
      if (expected["attention_mask"][r][i] == 1) inputs.push_back(expected["input_ids"][r][i]);
    for (const json& id : expected["labels"][r])
      if (id >= 0) targets.push_back(id);
    lines += json{{"inputs", inputs}, {"targets", targets}}.dump() + "\n";
  }
  return lines;
}

// Rows of many lengths, with zeros and ones among the ids, also at the end.
std::string made_up_lines(int examples) {
  std::string lines;
  for (int e = 0; e < examples; ++e) {
    json inputs, targets;
    for (int i = 0; i < 1 + e * 5 % 14; ++i) inputs.push_back((e * 37 + i * i * 11) % 7 * 36 % 256);
    for (int i = 0; i < 1 + e * 3 % 8; ++i) targets.push_back((e * 13 + i * 5) % 4);
    lines += json{{"id", e}, {"inputs", inputs}, {"targets", targets}}.dump() + "\n";
  }
  return lines;
}

class ScopedVariable {
 public:
  ScopedVariable(const std::string& name, const char* value) : name_(name) {
    setenv(name_.c_str(), value, 1);
  }
  ~ScopedVariable() { unsetenv(name_.c_str()); }

 private:
  std::string name_;
};

// The working directory contains imported, the run imported from hf-tiny; tiny.jsonl, its batch;
// many.jsonl, random examples; and tokenizer.model with fewer than 256 pieces.
class Examples : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory = std::make_unique<TemporaryDirectory>();
    fs::current_path(directory->path());
    expected = json::parse(read_text(hf_tiny + "/expected.json"));
    write_text("tiny.jsonl", fixture_lines(expected));
    write_text("many.jsonl", made_up_lines(10));
    write_text("text.txt", synthetic_text(300, 30));
    succeed("prepare --lines --input text.txt --vocab-size 150 --output data");
    fs::copy("data/tokenizer.model", "tokenizer.model");
    succeed("import " + hf_tiny + " --output imported");
  }
  static void TearDownTestSuite() {
    fs::current_path("/");
    directory.reset();
  }
  void SetUp() override { fs::create_directory("work"); }
  void TearDown() override { fs::remove_all("work"); }

  static std::string succeed(const std::string& arguments, int processes = 0) {
    const Outcome outcome = run_program(arguments, processes);
    EXPECT_EQ(outcome.exit_code, 0) << arguments << "\n" << outcome.output;
    return outcome.output;
  }
  static void expect_refused(const std::string& arguments, int code, const std::string& words,
                             int processes = 0) {
    const Outcome outcome = run_program(arguments, processes);
    EXPECT_EQ(outcome.exit_code, code) << arguments << "\n" << outcome.output;
    EXPECT_THAT(outcome.output, AllOf(HasSubstr(words), HasSubstr("hint: "))) << arguments;
  }
  // The standard output must be JSON and nothing else.
  static json evaluate(const std::string& arguments, int processes = 0) {
    return json::parse(succeed("evaluate " + arguments + " 2>/dev/null", processes));
  }

  static std::unique_ptr<TemporaryDirectory> directory;
  static json expected;
};

std::unique_ptr<TemporaryDirectory> Examples::directory;
json Examples::expected;

const std::string one_row_a_group =
    " --set train.batch_size=3 parallel.virtual_ranks=3 moe.min_capacity=3";

TEST_F(Examples, HaveTheCrossEntropyThatHuggingFaceComputes) {
  const json report = evaluate("imported --data tiny.jsonl --per-example");
  EXPECT_NEAR(report["cross_entropy"], expected["no_drop"]["loss"], 1e-5);
  EXPECT_EQ(report["tokens"], expected["no_drop"]["real_labels"]);
  EXPECT_EQ(report["dropless"], true);
  EXPECT_EQ(report["precision"], "FLOAT32");
  ASSERT_EQ(report["per_example"].size(), 3u);
  double sum = 0;
  for (std::size_t r = 0; r < 3; ++r) {
    double reference = 0;
    for (const json& loss : expected["no_drop"]["per_token_loss"][r])
      reference += loss.get<double>();
    const json& row = report["per_example"][r];
    EXPECT_NEAR(row["sum"], reference, 1e-5 * reference) << r;
    sum += row["sum"].get<double>();
  }
  EXPECT_DOUBLE_EQ(sum / report["tokens"].get<double>(), report["cross_entropy"]);
}

// Output of libraries is redirected: oneDNN's lines would not be JSON.
TEST_F(Examples, AreReportedInJsonWhateverALibraryHasToSay) {
  for (const int processes : {0, 2}) {
    for (const std::string variable : {"ONEDNN_VERBOSE", "DNNL_VERBOSE"}) {
      const ScopedVariable chatter(variable, "2");
      EXPECT_THAT(succeed("evaluate imported --data tiny.jsonl", processes),
                  HasSubstr("_verbose,"));
      EXPECT_GT(evaluate("imported --data tiny.jsonl", processes)["tokens"], 0);
    }
  }
}

TEST_F(Examples, HaveTheDropsThatHuggingFaceHasWhereARowIsAGroup) {
  const std::string tiny = "imported --data tiny.jsonl --per-example" + one_row_a_group;
  const json report = evaluate(tiny + " --capacity-factor 0.5");
  EXPECT_NEAR(report["cross_entropy"], expected["no_drop"]["loss"], 1e-5);
  EXPECT_NEAR(report["with_capacity"]["cross_entropy"], expected["drop"]["loss"], 1e-5);
  EXPECT_EQ(report["with_capacity"]["dropless"], false);
  EXPECT_GT(report["with_capacity"]["dropped_fraction"], 0.1);
  for (const int processes : {1, 2, 3})
    EXPECT_EQ(evaluate(tiny + " --capacity-factor 0.5", processes), report) << processes;
  // The same figure, requested as the only one.
  const json asked_for = evaluate(tiny + " moe.eval_dropless=false moe.eval_capacity_factor=0.5");
  EXPECT_EQ(asked_for["cross_entropy"], report["with_capacity"]["cross_entropy"]);
  EXPECT_EQ(asked_for["per_example"], report["with_capacity"]["per_example"]);
}

TEST_F(Examples, AreEvaluatedAlikeOnAnyProcessesWhateverTheBatchLeavesOver) {
  const std::string many =
      "--checkpoint imported --data many.jsonl --per-example --set "
      "parallel.virtual_ranks=4 --set train.batch_size=";
  const json reference = evaluate(many + "8 --capacity-factor 0.7");
  EXPECT_EQ(reference["examples"], 10);
  ASSERT_EQ(reference["per_example"].size(), 10u);
  for (std::size_t e = 0; e < 10; ++e)
    EXPECT_EQ(reference["per_example"][e]["count"], 1 + e * 3 % 8) << "ids 0 and 1 count";
  for (const int processes : {1, 2, 3, 4})
    EXPECT_EQ(evaluate(many + "8 --capacity-factor 0.7", processes), reference) << processes;
  // Other batches pad to other lengths, which changes only the last bits.
  const json other = evaluate(many + "4");
  for (std::size_t e = 0; e < 10; ++e) {
    const double sum = reference["per_example"][e]["sum"];
    EXPECT_NEAR(other["per_example"][e]["sum"], sum, 1e-6 * sum);
  }
  const json few = evaluate(many + "8 --samples 3");
  EXPECT_EQ(few["examples"], 3);
  EXPECT_EQ(few["per_example"].size(), 3u);
}

// A zero at the end of the inputs is a token: without it, the example is a different one.
TEST_F(Examples, WithIdsZeroAndOneAreNotPadded) {
  write_text("work/zeros.jsonl",
             "{\"inputs\": [7, 9, 0, 1, 0], \"targets\": [5, 0, 1]}\n"
             "{\"inputs\": [7, 9, 0, 1], \"targets\": [5, 0, 1]}\n"
             "{\"inputs\": [7, 9, 0, 1, 0], \"targets\": [5, 0]}\n");
  const json rows = evaluate("imported --data work/zeros.jsonl --per-example")["per_example"];
  EXPECT_NE(rows[0]["sum"], rows[1]["sum"]);
  EXPECT_EQ(rows[0]["count"], 3);
  EXPECT_EQ(rows[2]["count"], 2);
  EXPECT_LT(rows[2]["sum"], rows[0]["sum"]) << "the last target is not among its targets";
}

TEST_F(Examples, OfTextAreWhatTheirPiecesAndEndAre) {
  write_text("work/text.jsonl", "{\"inputs\": \"\", \"targets\": \"\"}\n");
  write_text("work/ids.jsonl", "{\"inputs\": [1], \"targets\": [1]}\n");
  const std::string tokenizer = " --set data.tokenizer=tokenizer.model";
  EXPECT_EQ(evaluate("imported --data work/text.jsonl" + tokenizer)["cross_entropy"],
            evaluate("imported --data work/ids.jsonl")["cross_entropy"]);
  expect_refused("evaluate imported --data work/text.jsonl", 64,
                 "work/text.jsonl:1: a text, and there is no tokenizer", 2);
  // The tokenizer that came with the weights may be used too, but no other.
  fs::copy(hf_tiny, "work/hf");
  fs::copy("tokenizer.model", "work/hf/spiece.model");
  succeed("import work/hf --output work/run");
  EXPECT_EQ(evaluate("work/run --data work/text.jsonl", 2)["tokens"], 1);
  succeed("prepare --lines --input text.txt --vocab-size 151 --output work/other");
  const std::string other = " --set data.tokenizer=work/other/tokenizer.model";
  expect_refused("evaluate work/run --data work/text.jsonl" + other, 78, "not the one that");
  const std::string train =
      "train --output work/run --set data.train=work/text.jsonl data.target_length=4 train.steps=1";
  expect_refused(train + " data.tokenizer=work/other/tokenizer.model", 78, "another tokenizer");
  EXPECT_THAT(succeed(train), HasSubstr("1 examples; held out: none"));
  succeed("export work/run --output work/out");
  EXPECT_EQ(read_text("work/out/spiece.model"), read_text("tokenizer.model"));
}

// Plain gradient descent, one step with rate 1024: the difference of two exports is the gradient.
class ExamplesGradient : public Examples, public testing::WithParamInterface<const char*> {};

TEST_P(ExamplesGradient, ComesOffTwoExports) {
  const std::string name = GetParam();
  const bool drops = name == "drop";
  fs::copy("imported", "work/run", fs::copy_options::recursive);
  succeed(
      "train --output work/run --set data.train=tiny.jsonl data.input_length=24 "
      "data.target_length=16 optimizer.name=SGD optimizer.schedule=CONSTANT "
      "optimizer.learning_rate=1024 train.steps=1 model.dropout_rate=0 moe.jitter_eps=0 "
      "moe.aux_loss_coef=0 moe.z_loss_coef=0 moe.capacity_factor=0.5 moe.dropless=" +
          std::string(drops ? "false" : "true") + one_row_a_group.substr(6),
      drops ? 3 : 2);
  succeed("export work/run --output work/out");
  const auto before = read_tensors(hf_tiny), after = read_tensors("work/out");
  const json& norms = expected[name]["grad_l2"];
  EXPECT_EQ(before.size(), norms.size());
  ASSERT_EQ(before.size(), after.size());
  for (const auto& [tensor, values] : before) {
    double squares = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double gradient = (double{values[i]} - after.at(tensor)[i]) / 1024;
      squares += gradient * gradient;
    }
    const double reference = norms[tensor];
    EXPECT_NEAR(std::sqrt(squares), reference, 1e-4 * reference) << tensor;
  }
  EXPECT_EQ(json::parse(read_text("work/out/config.json"))["vocab_size"], 256) << "unpadded";
}

INSTANTIATE_TEST_SUITE_P(Cases, ExamplesGradient, testing::Values("no_drop", "drop"));

const std::string training =
    "--set data.train=many.jsonl data.validation=tiny.jsonl data.input_length=24 "
    "data.target_length=16 parallel.virtual_ranks=4 train.batch_size=8 train.eval_interval=2 "
    "checkpoint.interval=2 moe.jitter_eps=0.1 moe.capacity_factor=0.6 optimizer.warmup_steps=100 "
    "train.steps=";

json figures(const std::string& run) {
  json kept;
  for (const json& record : read_metrics(run)) {
    json step;
    for (const char* key : {"step", "loss", "loss/total", "norm", "eval/loss", "eval/targets",
                            "moe/dropped_fraction", "moe/tokens_per_expert"})
      if (record.contains(key)) step[key] = record[key];
    EXPECT_FALSE(record.contains("eval/loss_text")) << "nobody knows which ids are text";
    kept.push_back(step);
  }
  return kept;
}

TEST_F(Examples, TrainToTheSameBitsOnAnyProcessesAndAfterAnyStop) {
  fs::copy("imported", "work/run", fs::copy_options::recursive);
  fs::copy("imported", "work/moved", fs::copy_options::recursive);
  succeed("train --output work/run " + training + "6");
  const json reference = figures("work/run");
  ASSERT_EQ(reference.size(), 6u);
  EXPECT_GT(reference[0]["moe/dropped_fraction"], 0);
  EXPECT_EQ(reference[5]["eval/targets"], 33);
  succeed("train --output work/moved " + training + "2", 1);
  succeed("train --output work/moved --set train.steps=3", 2);
  succeed("train --output work/moved --set train.steps=5", 3);
  succeed("train --output work/moved --set train.steps=6", 4);
  json moved = figures("work/moved");
  // Each start evaluates at its end; the run that never stopped evaluates at every second step.
  for (const std::size_t step : {2, 4})
    moved[step].erase("eval/loss"), moved[step].erase("eval/targets");
  EXPECT_EQ(moved, reference);
  EXPECT_EQ(tensor_hashes("work/moved"), tensor_hashes("work/run"));
}

TEST_F(Examples, AreTheRunsDataAndNoOthers) {
  write_text("work/a.jsonl", made_up_lines(10));
  const std::string train = "train --output work/run " + training + "2 data.train=work/a.jsonl";
  succeed(train + " model.vocab_size=256");
  succeed("evaluate work/run");
  fs::rename("work/a.jsonl", "work/b.jsonl");
  const std::string go_on = "train --output work/run --set train.steps=3 data.train=work/";
  expect_refused(go_on + "a.jsonl", 66, "a.jsonl");
  write_text("work/a.jsonl", made_up_lines(11));
  expect_refused(go_on + "a.jsonl", 78, "trained on other data");
  succeed(go_on + "b.jsonl");
}

TEST_F(Examples, ThatCannotBeTrainedOnAreRefusedByLine) {
  const std::string train =
      "train --output work/run --set model.vocab_size=256 parallel.virtual_ranks=2 "
      "train.batch_size=2 data.input_length=5 data.target_length=3 train.steps=1 "
      "data.train=work/bad.jsonl";
  const std::string good = "{\"inputs\": [1, 2], \"targets\": [3]}\n";
  const struct {
    std::string line;
    int code;
    const char* words;
  } bad[] = {
      {"{\"inputs\": [1, 2], \"targets\": [256]}", 65, "bad.jsonl:2: targets[0] is 256"},
      {"{\"inputs\": [1, 2]", 65, "bad.jsonl:2: not JSON"},
      {"{\"inputs\": [], \"targets\": [3]}", 65, "bad.jsonl:2: inputs is empty"},
      {"{\"inputs\": [1,2,3,4,5,6], \"targets\": [3]}", 64,
       "bad.jsonl:2: the example has 6 inputs, but data.input_length is 5"},
      {"{\"inputs\": [1], \"targets\": [1,2,3,4]}", 64,
       "bad.jsonl:2: the example has 4 targets, but data.target_length is 3"},
      {"{\"inputs\": \"a\", \"targets\": [3]}", 64, "bad.jsonl:2: a text"},
      {std::string(1'000'000, '['), 65, "bad.jsonl:2: no JSON object"},
  };
  for (const auto& [line, code, words] : bad) {
    write_text("work/bad.jsonl", good + line + "\n" + good);
    expect_refused(train, code, words);
    if (code == 65) expect_refused("evaluate imported --data work/bad.jsonl", 65, words, 3);
    EXPECT_FALSE(fs::exists("work/run"));
  }
  write_text("work/bad.jsonl", "\n");
  expect_refused(train, 66, "holds no example");
  expect_refused(train + " model.vocab_size=100 data.tokenizer=tokenizer.model", 64,
                 "tokenizer.model has 150 pieces, but model.vocab_size is 100");
  expect_refused(train + " data.tokenizer=text.txt", 65, "text.txt is not a SentencePiece model");
  expect_refused(train + " data.tokenizer=nowhere", 66, "nowhere");
  expect_refused(train + " data.validation=data", 64, "are of two kinds");
  write_text("work/bad.jsonl", good);
  expect_refused("train --output work/run --set data.train=work/bad.jsonl data.target_length=3", 64,
                 "neither model.vocab_size nor data.tokenizer is set");
  expect_refused("train --output work/run --set data.train=work/none.jsonl data.target_length=3",
                 66, "work/none.jsonl");
}

// 80 TB of attention weights.
TEST_F(Examples, LongerThanMemoryAreRefusedBeforeItIsTaken) {
  json ids = json::array();
  for (int i = 0; i < 3'000'000; ++i) ids.push_back(i % 256);
  write_text("work/long.jsonl", json{{"inputs", ids}, {"targets", {3}}}.dump() + "\n");
  expect_refused("evaluate imported --data work/long.jsonl", 69,
                 "the longest example, of 3000000 inputs or 1 targets, needs ", 2);
}

TEST_F(Examples, TakeTheVocabularyOfTheirTokenizer) {
  write_text("work/a.jsonl", "{\"inputs\": \"some words\", \"targets\": \"others\"}\n");
  const std::string options =
      "--set data.train=work/a.jsonl data.tokenizer=tokenizer.model "
      "data.input_length=40 data.target_length=40 train.steps=1 "
      "data.validation=work/a.jsonl";
  EXPECT_THAT(succeed("train --config tiny --output work/run " + options), HasSubstr("256 words"));
  EXPECT_TRUE(read_metrics("work/run")[0].contains("eval/loss_text"));
  EXPECT_THAT(succeed("describe --config tiny " + options),
              AllOf(HasSubstr("256 rows (the tokenizer's"), HasSubstr("40 + 40 positions, taken")));
  EXPECT_EQ(evaluate("work/run")["examples"], 1) << "on its own data.validation";
  succeed("train --output work/run --set train.steps=2");
}

TEST_F(Examples, AreEvaluatedUnderNoOtherModel) {
  const std::string evaluate = "evaluate imported --data tiny.jsonl ";
  for (const char* change : {"model.d_model=64", "model.vocab_size=300", "moe.num_experts=8",
                             "moe.encoder_sparse_step=1", "model.activation=GATED_GELU"}) {
    expect_refused(evaluate + "--set " + change, 64, "would make another model of it: ");
  }
  succeed(evaluate + "--set moe.num_experts=4");
  expect_refused(evaluate + "--set moe.eval_capacity_factor=0", 64, "moe.eval_capacity_factor");
  expect_refused(evaluate + "--set moe.evaldropless=0", 64, "did you mean moe.eval_dropless?");
  expect_refused(evaluate + "--set train.batch_size=3", 64, "parallel.virtual_ranks (8)");
  for (const char* factor : {"0", "-1", "nan", "inf", "many"})
    expect_refused(evaluate + "--capacity-factor " + factor, 64, "capacity-factor");
  for (const char* option : {"--show 2", "--unigram", "--untrained", "--experts a.tsv"})
    expect_refused(evaluate + option, 64, "is for prepared data");
  expect_refused("evaluate imported --data data --per-example", 64, "is for a file of examples");
  expect_refused("evaluate imported --data none.jsonl", 66, "none.jsonl");
}

}  // namespace
}  // namespace switchyard::test
