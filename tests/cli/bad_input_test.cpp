// Users' mistakes, on the whole program: each gives one clear sentence and the right exit code, and
// leaves every stored file unchanged. Then the ways in which a job ends early.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <regex>

#include "support/program.hpp"
#include "support/synthetic_text.hpp"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using Phrases = std::vector<std::string>;
using namespace std::string_literals;

constexpr const char* configuration = R"(
model { d_model: 32 d_ff: 64 num_heads: 2 num_layers: 2 }
moe { num_experts: 4 }
parallel { virtual_ranks: 4 }
data { input_length: 32 }
train { batch_size: 8 steps: 4 log_interval: 2 eval_interval: 0 eval_samples: 5 }
checkpoint { interval: 2 }
)";

// Every file below the working directory with its contents, except the lock and the log, which may
// change.
std::map<std::string, std::string> stored_files() {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(".")) {
    const std::string name = entry.path().filename();
    if (name == "lock" || name == "log.txt") continue;
    files[entry.path()] = entry.is_regular_file() ? read_text(entry.path()) : "";
  }
  return files;
}

struct Mistake {
  std::string arguments;
  int code;
  Phrases phrases;
  int processes = 0;
};

// The working directory contains, before and after each test: text.txt, data (prepared from it),
// other (data with another tokenizer), same (other data with the same tokenizer), run.textproto,
// run (four steps of it), empty (a directory).
class BadInput : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory = std::make_unique<TemporaryDirectory>();
    fs::current_path(directory->path());
    write_text("text.txt", synthetic_text(300, 30));
    write_text("half.txt", synthetic_text(150, 30));
    write_text("run.textproto", configuration);
    fs::create_directory("empty");
    succeed("prepare --lines --input text.txt --vocab-size 300 --output data");
    succeed("prepare --lines --input half.txt --vocab-size 280 --output other");
    succeed("prepare --lines --input half.txt --tokenizer data/tokenizer.model --output same");
    succeed("train --config run.textproto --set data.train=data --output run");
  }
  static void TearDownTestSuite() {
    fs::current_path("/");
    directory.reset();
  }

  static void succeed(const std::string& arguments) {
    const Outcome outcome = run_program(arguments);
    ASSERT_EQ(outcome.exit_code, 0) << arguments << "\n" << outcome.output;
  }

  // The command is refused with this exit code and these words, and changes no file.
  static void expect_refused(const std::string& command, int code, const Phrases& phrases) {
    SCOPED_TRACE(command);
    const auto before = stored_files();
    const Outcome outcome = run_shell(command);
    EXPECT_EQ(outcome.exit_code, code) << outcome.output;
    for (const std::string& phrase : phrases) EXPECT_THAT(outcome.output, HasSubstr(phrase));
    EXPECT_THAT(outcome.output, HasSubstr("hint: ")) << "it does not say what to do";
    EXPECT_TRUE(stored_files() == before) << "it wrote or harmed something";
  }

  static void expect_refused(const Mistake& mistake) {
    const std::string start = mistake.processes == 0
                                  ? alone()
                                  : mpirun() + "-n " + std::to_string(mistake.processes) + " ";
    expect_refused(start + SWITCHYARD_PROGRAM + " " + mistake.arguments, mistake.code,
                   mistake.phrases);
  }

  static std::unique_ptr<TemporaryDirectory> directory;
};

std::unique_ptr<TemporaryDirectory> BadInput::directory;

const std::string train = "train --config run.textproto --set data.train=data --output new ";

const std::string prepare = "prepare --lines --input text.txt --vocab-size 300 --output new ";

TEST_F(BadInput, OnTheCommandLineIs64) {
  const Mistake mistakes[] = {
      {"trian --output new", 64, {"no command 'trian'", "did you mean train?"}},
      {"train --ouput new", 64, {"no option --ouput", "did you mean --output?"}},
      {"train --config run.textproto", 64, {"--output is missing"}},
      {"train --config run.textproto --output ''", 64, {"--output is empty"}},
      {"train run.textproto --output new", 64, {"'run.textproto' is one word too many"}},
      {"train --config run.textproto --output new", 64, {"data.train is not set"}},
      {"train --output nowhere", 64, {"there is no run in nowhere to go on with"}},
      {"train --output run --set data.train=other",
       64,
       {"the run in run does not fit the data: model.vocab_size is ", "/other has "}},
      {"evaluate --checkpoint run --samples 0", 64, {"--samples"}},
      {"evaluate --checkpoint run --show three", 64, {"three", "--show"}},
      {"evaluate --checkpoint run --experts ''", 64, {"--experts is empty"}},
      {"evaluate --checkpoint run", 64, {"4 virtual ranks", "5 processes"}, 5},
      {"inspect ''", 64, {"--checkpoint is empty"}},
      {"inspect run", 64, {"one process, not 2"}, 2},
      {"options model.d_modle", 64, {"d_modle", "model.d_model"}},
      {"prepare --lines --input text.txt --output new", 64, {"--vocab-size is missing"}},
      {"prepare --lines --input text.txt --vocab-size 9 --output new", 64, {"9 is too few"}},
      {"prepare --lines --input text.txt --vocab-size 90000 --output new", 64, {"at most"}},
      {"prepare --input run.textproto --vocab-size 90 --output new", 64, {"tell its format"}},
      {"describe --processes 0", 64, {"--processes is 0"}},
      {"benchmark --config run.textproto --steps 0", 64, {"--steps is 0"}},
      {"version", 64, {"did you mean --version?"}},
      {"prepare --input '**.txt' --vocab-size 90 --output new", 64, {"** beside other signs"}},
      {prepare + "--character-coverage 0.5", 64, {"--character-coverage is not between"}},
      {prepare + "--validation ./text.txt", 64, {"all that --input names", "text.txt"}},
      {"prepare --lines --input text.txt --tokenizer data/tokenizer.model --byte-fallback --output "
       "new",
       64,
       {"--byte-fallback is for a tokenizer that is trained"}},
  };
  for (const Mistake& mistake : mistakes) expect_refused(mistake);
}

TEST_F(BadInput, InAnAssignmentIs64WithTheNearestName) {
  const std::pair<std::string, Phrases> assignments[] = {
      {"train.stpes=3", {"train.stpes", "did you mean train.steps?"}},
      {"trian.steps=3", {"did you mean train?"}},
      {"train=3", {"block of options"}},
      {"train.steps", {"no '='"}},
      {"=3", {"no option before '='"}},
      {"train.steps=", {"there is no value", "a whole number"}},
      {"train.tensorboard=yes", {"\"yes\"", "true or false"}},
      {"optimizer.learning_rate=0,1", {"more than one value", "such as 0.5"}},
      {"train.steps=many", {"many", "a whole number"}},
      {"train.steps=99999999999999999999", {"out of range"}},
      {"train.batch_size=4294967296", {"out of range"}},
      {"model.activation=tanh", {"TANH", "GATED_GELU"}},
      {"optimizer.learning_rate=nan", {"optimizer.learning_rate is nan", "finite"}},
      {"moe.capacity_factor=1e999", {"moe.capacity_factor is inf"}},
      {"moe.capacity_factor=-1", {"moe.capacity_factor is -1", "above 0"}},
      {"moe.routing=expert_choice", {"the future", "set moe.decoder_routing=SWITCH"}},
      {"moe.routing=TOPK moe.router_topk=0", {"moe.router_topk is 0", "1 to"}},
      {"moe.routing=SOFTEST", {"SOFTEST", "EXPERT_CHOICE"}},
      {"model.num_heads=3", {"model.d_model (32)", "model.num_heads (3)"}},
      {"model.vocab_size=1000", {"model.vocab_size is 1000", "/data has "}},
      {"train.batch_size=6", {"train.batch_size (6)", "parallel.virtual_ranks (4)"}},
      {"data.input_length=4096", {"hidden spans", "100 sentinels"}},
      {"data.input_length=2", {"data.input_length is 2"}},
      {"data.target_length=3", {"data.target_length is 3", "raise data.target_length to 8"}},
  };
  for (const auto& [assignment, phrases] : assignments)
    expect_refused({train + "--set " + assignment, 64, phrases});
  expect_refused({train, 64, {"more processes (5)", "parallel.virtual_ranks (4)"}, 5});
}

TEST_F(BadInput, InAConfigurationFileIs64WithItsPlace) {
  const std::string binary(
      "\x7f"
      "ELF\0\1",
      6);
  const std::pair<std::string, Phrases> files[] = {
      {"model {\n  d_modle: 4\n}\n", {"bad:2:3: ", "d_modle", "did you mean model.d_model?"}},
      {"train {}\nmodle { d_model: 4 }", {"bad:2:1: ", "did you mean model?"}},
      {"train { steps: 99999999999999999999 }", {"bad:1:16: ", "out of range"}},
      {"train { steps: 3", {"bad:1:17: ", "the end of the file", "} that closes"}},
      {"train { steps = 3 }", {"bad:1:15: ", "`option: value`"}},
      {"{\"train\": {\"steps\": 3}}", {"bad:1:1: ", "`block { option: value }`"}},
      {"train { steps: 3 steps: 4 }", {"bad:1:23: ", "leave one of them"}},
      {"train { tensorboard: yes }", {"bad:1:", "true or false"}},
      {"train { precision: “FLOAT32” }", {"bad:1:20: ", "other characters than ASCII"}},
      {"model { activation: TANH }", {"bad:1:", "TANH", "GATED_GELU"}},
      {"optimizer { learning_rate: nan }", {"optimizer.learning_rate is nan"}},
      {"", {"bad is empty"}},
      {binary, {"bad is not a text file"}},
  };
  for (const auto& [text, phrases] : files) {
    write_text("bad", text);
    expect_refused({"train --config bad --set data.train=data --output new", 64, phrases});
  }
  fs::remove("bad");
}

TEST_F(BadInput, ThatIsMissingIs66) {
  const Mistake mistakes[] = {
      {"train --config tinny --set data.train=data --output new", 66, {"did you mean tiny?"}},
      {"train --config a/tiny.textproto --output new", 66, {"no such file", "did you mean tiny?"}},
      {"train --config empty --set data.train=data --output new",
       66,
       {"empty: a directory and no file"}},
      {train + "--set data.train=nowhere", 66, {"nowhere does not exist"}, 2},
      {train + "--set data.train=empty", 66, {"empty is not prepared data"}},
      {train + "--set data.train=text.txt", 66, {"text.txt is not prepared data"}},
      {train + "--set data.validation=nowhere", 66, {"nowhere does not exist"}},
      {"train --output run --set data.train=nowhere",
       66,
       {"the run in run cannot go on: ", "nowhere does not exist", "where the run's data is now"}},
      {"evaluate --checkpoint nowhere", 66, {"nowhere"}},
      {"evaluate --checkpoint empty", 66, {"empty holds no checkpoint"}},
      {"evaluate --checkpoint run --data nowhere", 66, {"nowhere does not exist"}},
      {"inspect nowhere", 66, {"nowhere"}},
      {"prepare --input nowhere.txt --vocab-size 90 --output new", 66, {"nowhere.txt"}},
      {"prepare --input text.txt --tokenizer nowhere --output new", 66, {"nowhere"}},
  };
  for (const Mistake& mistake : mistakes) expect_refused(mistake);
  fs::create_directory("folder.txt");
  expect_refused({"prepare --input folder.txt --vocab-size 90 --output new", 66, {"directory"}});
  fs::remove("folder.txt");
  expect_refused({"prepare --input empty --vocab-size 90 --output new", 66, {"is a directory"}});
  fs::create_symlink("nowhere", "link.txt");
  expect_refused(
      {"prepare --input 'l*.txt' --vocab-size 90 --output new", 66, {"link to nowhere"}});
  fs::remove("link.txt");
}

TEST_F(BadInput, AGitLfsPointerIsCalledThatWhateverItStandsFor) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab\nsize 990345061\n";
  fs::copy("data", "bad", fs::copy_options::recursive);
  for (const char* file : {"bad/train.bin", "bad/tokenizer.model", "bad.jsonl", "bad.txt"})
    write_text(file, pointer);
  const std::string words = "is a Git LFS pointer, not the file";
  const Mistake mistakes[] = {
      {train + "--set data.train=bad", 65, {words, "git lfs pull"}},
      {train + "--set data.train=bad.jsonl data.target_length=8", 65, {"bad.jsonl " + words}},
      {"train --config bad.txt --set data.train=data --output new", 65, {"bad.txt " + words}},
      {"prepare --input text.txt bad.txt --vocab-size 90 --output new", 65, {"bad.txt " + words}},
      {"prepare --input text.txt --tokenizer bad.txt --output new", 65, {"bad.txt " + words}},
  };
  for (const Mistake& mistake : mistakes) expect_refused(mistake);
  for (const char* name : {"bad", "bad.jsonl", "bad.txt"}) fs::remove_all(name);
}

TEST_F(BadInput, ADenseModelHasNoTableOfExperts) {
  succeed("train --config run.textproto --set data.train=data moe.num_experts=0 --output dense");
  for (const int processes : {0, 2}) {
    expect_refused({"evaluate --checkpoint dense --experts new.tsv",
                    64,
                    {"dense is a dense model"},
                    processes});
  }
  fs::remove_all("dense");
}

TEST_F(BadInput, AsDamagedDataIs65) {
  for (const std::string file : {"train.bin", "train.idx", "validation.bin", "validation.idx",
                                 "dataset.textproto", "tokenizer.model"}) {
    std::string flipped = read_text("data/" + file);
    flipped[flipped.size() / 2] ^= 1;
    for (const std::string& content : {std::string(), read_text("other/" + file), flipped}) {
      fs::remove_all("bad");
      fs::copy("data", "bad", fs::copy_options::recursive);
      write_text("bad/" + file, content);
      // If tokenizer and manifest contradict each other, the tokenizer is reported as the one that
      // does not fit.
      const bool foreign = file == "dataset.textproto" && content == read_text("other/" + file);
      const int code = file == "tokenizer.model" || foreign ? 78 : 65;
      expect_refused({train + "--set data.train=bad", code, {"/bad/"}});
    }
    fs::remove("bad/" + file);
    fs::create_directory("bad/" + file);
    expect_refused({train + "--set data.train=bad", 65, {"/bad/" + file, "directory"}});
  }
  fs::remove_all("bad");
}

TEST_F(BadInput, IsNotWhatEvaluateMeasures) {
  fs::copy("data", "bad", fs::copy_options::recursive);
  std::string tokens = read_text("bad/validation.bin");
  std::reverse(tokens.begin(), tokens.end());
  write_text("bad/validation.bin", tokens);
  expect_refused({"evaluate --checkpoint run --data bad", 65, {"bad/validation.bin"}});
  fs::remove_all("bad");
}

TEST_F(BadInput, AsADamagedNewestCheckpointGivesWayToTheOneBefore) {
  for (const std::string file : {"MANIFEST", "shard-00000.bin"}) {
    fs::remove_all("bad");
    fs::copy("run", "bad", fs::copy_options::recursive);
    const std::string damaged = "bad/checkpoints/step-00000004/" + file;
    std::string bytes = read_text(damaged);
    bytes[bytes.size() / 2] ^= 1;
    for (const std::string& content :
         {std::string(), read_text("run/checkpoints/step-00000002/" + file), bytes}) {
      write_text(damaged, content);
      expect_refused({"inspect bad/checkpoints/step-00000004", 65, {"bad/checkpoints/step-0000"}});
    }
    const Outcome evaluated = run_program("evaluate --checkpoint bad");
    EXPECT_EQ(evaluated.exit_code, 0) << evaluated.output;
    EXPECT_THAT(evaluated.output, AllOf(HasSubstr("warning: checkpoint of step 4 passed over"),
                                        HasSubstr("bad/checkpoints/step-00000002")));
    const Outcome trained = run_program("train --output bad", file == "MANIFEST" ? 0 : 2);
    EXPECT_EQ(trained.exit_code, 0) << trained.output;
    EXPECT_THAT(read_text("bad/log.txt"), HasSubstr("resumed from step 2"));
    EXPECT_EQ(tensor_hashes("bad"), tensor_hashes("run"));
    EXPECT_EQ(read_metrics("bad").size(), 4u);
  }
  for (const char* step : {"2", "4"})
    write_text(std::string("bad/checkpoints/step-0000000") + step + "/MANIFEST", "");
  const Phrases none = {"none of the 2 checkpoints in bad/checkpoints is valid"};
  expect_refused({"train --output bad", 65, none, 2});
  expect_refused({"evaluate --checkpoint bad", 65, none});
  expect_refused({"inspect bad", 65, none});
  fs::remove_all("bad");
}

TEST_F(BadInput, AsDamagedTextIsCountedAndRefusedPastALimit) {
  std::string lines, damaged;
  for (int i = 0; i < 300; ++i) lines += "{\"text\": \"a plain sentence about lines\"}\n";
  for (int i = 0; i < 150; ++i) damaged += "{\"text\": \n";
  write_text("few.jsonl", lines + "{\"text\": \n{\"text\": 3}\nnothing\n");
  write_text("many.jsonl", lines + damaged);
  write_text("not.txt.gz", "plain text");
  ASSERT_EQ(run_shell("gzip -c text.txt | head -c 9000 >cut.txt.gz").exit_code, 0);

  expect_refused({"prepare --input many.jsonl --vocab-size 30 --output new",
                  65,
                  {"too many damaged lines", "many.jsonl:"}});
  expect_refused({"prepare --lines --input not.txt.gz --vocab-size 300 --output new",
                  65,
                  {"not.txt.gz", "not gzip data"}});
  expect_refused({"prepare --input text.txt --tokenizer half.txt --output new",
                  65,
                  {"half.txt is not a SentencePiece model"}});
  const Outcome few =
      run_program("prepare --input few.jsonl --tokenizer data/tokenizer.model --output few");
  EXPECT_EQ(few.exit_code, 0);
  EXPECT_THAT(few.output, AllOf(HasSubstr("3 of 303 lines"), HasSubstr("few.jsonl:301")));
  const Outcome cut = run_program(
      "prepare --lines --input cut.txt.gz --tokenizer data/tokenizer.model --output cut");
  EXPECT_EQ(cut.exit_code, 0);
  EXPECT_THAT(cut.output, AllOf(HasSubstr("cut.txt.gz:"), HasSubstr("ends inside its gzip data")));
  for (const char* made : {"few.jsonl", "many.jsonl", "not.txt.gz", "cut.txt.gz", "few", "cut"})
    fs::remove_all(made);
}

TEST_F(BadInput, AsAnOutputThatCannotBeWrittenIs73) {
  const std::string prepare = "prepare --lines --input text.txt --vocab-size 300 --output ";
  const std::string evaluate = "evaluate --checkpoint run --experts ";
  const Mistake mistakes[] = {
      {train + "--output text.txt", 64, {"more than once"}},
      {"train --config run.textproto --set data.train=data --output text.txt", 73, {"text.txt"}},
      {"train --config run.textproto --set data.train=data --output text.txt/a", 73, {"text.txt"}},
      {"train --config run.textproto --set data.train=data --output /proc/a", 73, {"/proc/a"}, 2},
      {"train --config run.textproto --set data.train=data --output data",
       73,
       {"data is no run, and holds dataset.textproto and 5 more"}},
      {"train --config run.textproto --set data.train=data --output data", 73, {"is no run"}, 2},
      {prepare + "data", 73, {"data already holds prepared data"}},
      {prepare + "run", 73, {"run exists and is not empty"}},
      {prepare + "text.txt", 73, {"text.txt exists and is not a directory"}},
      {prepare + "/proc/a", 73, {"/proc/a"}},
      {evaluate + "empty", 73, {"empty: it exists and is not a regular file"}},
      {evaluate + "/dev/null", 73, {"/dev/null: it exists"}},
      {evaluate + "/dev/stdout", 73, {"/dev/stdout: it exists"}},
      {evaluate + "nowhere/a.tsv", 73, {"nowhere/a.tsv", "No such file or directory"}, 2},
      {evaluate + "text.txt/a.tsv", 73, {"text.txt/a.tsv", "Not a directory"}},
      {evaluate + "/proc/a", 73, {"/proc/a"}},
  };
  for (const Mistake& mistake : mistakes) expect_refused(mistake);
}

TEST_F(BadInput, ThatDoesNotFitTheRunIs78) {
  const std::string go_on = "train --config run.textproto --output run --set data.train=";
  const Mistake mistakes[] = {
      {go_on + "data --set model.d_ff=128", 78, {"model.d_ff: 64 -> 128"}},
      {go_on + "data --set train.seed=2 --set train.steps=9", 78, {"train.seed: 1 -> 2"}},
      {go_on + "data --set train.seed=2", 78, {"train.seed: 1 -> 2"}, 2},
      {go_on + "same", 78, {"run in run was trained on other data: it is SHA-256 ", "…, not "}},
      {go_on + "other", 78, {"run has another configuration", "model.vocab_size"}},
      {train + "--set data.validation=other", 78, {"the tokenizer of ", "/other (SHA-256 "}},
      {"evaluate --checkpoint run --data other", 78, {"the tokenizer of other (SHA-256 "}},
  };
  for (const Mistake& mistake : mistakes) expect_refused(mistake);
  const std::string task = "SLURM_STEP_ID=0 SLURM_PROCID=0 ";
  for (const std::string promise : {"PMI_SIZE", "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"}) {
    expect_refused(task + promise + "=2 " SWITCHYARD_PROGRAM " " + train, 78,
                   {promise + " is 2", "this one process only"});
  }
}

TEST_F(BadInput, ThatDiffersBetweenProcessesIs78) {
  const std::string here = directory->path();
  fs::create_directories("a");
  fs::create_directories("b");
  write_text("a/c.textproto", configuration);
  write_text("b/c.textproto",
             std::regex_replace(configuration, std::regex("steps: 4"), "steps: 5"));
  const std::string same =
      " " SWITCHYARD_PROGRAM " train --config c.textproto --set data.train=" + here +
      "/data --output " + here + "/new";
  expect_refused(
      mpirun_by_rank({"cd " + here + "/a && exec" + same, "cd " + here + "/b && exec" + same}), 78,
      {"to rank 1 on ", "train.steps: 4 -> 5"});
  const std::string evaluate = "exec " SWITCHYARD_PROGRAM " evaluate --checkpoint run";
  expect_refused(mpirun_by_rank({evaluate, evaluate + " --samples 1"}), 78,
                 {"the command line", "--samples 1"});

  // A program that differs only in its build id counts as a different program.
  std::smatch id;
  const std::string version = run_program("--version").output;
  ASSERT_TRUE(std::regex_search(version, id, std::regex("build id +([0-9a-f]{40})")));
  std::string bytes, program = read_text(SWITCHYARD_PROGRAM);
  for (std::size_t i = 0; i < 40; i += 2)
    bytes += static_cast<char>(std::stoi(id.str(1).substr(i, 2), nullptr, 16));
  ASSERT_NE(program.find(bytes), std::string::npos);
  program[program.find(bytes)] ^= 1;
  write_text("other_program", program);
  fs::permissions("other_program", fs::perms::owner_all);
  expect_refused(mpirun_by_rank({evaluate, "./other_program evaluate --checkpoint run"}), 78,
                 {"the program's build", "rank 1"});
  for (const char* made : {"a", "b", "other_program"}) fs::remove_all(made);
}

// Two hosts with local disks under the same name, simulated by two processes in two directories.
class OwnDisks : public BadInput {
 protected:
  void SetUp() override {
    for (const std::string host : {"a", "b"}) {
      fs::create_directories(host);
      fs::copy("data", host + "/data", fs::copy_options::recursive);
    }
    write_text("examples.jsonl", "{\"inputs\": [5, 6, 1], \"targets\": [7, 1]}\n");
  }
  void TearDown() override {
    for (const char* made : {"a", "b", "examples.jsonl", "imported"}) fs::remove_all(made);
  }

  // Runs the same command in both directories.
  static std::string command(const std::string& arguments) {
    const std::string one = " && exec " SWITCHYARD_PROGRAM " " + arguments;
    const std::string a = "cd " + directory->path() + "/a" + one,
                      b = "cd " + directory->path() + "/b" + one;
    return mpirun_by_rank({a, a, b});
  }
  static std::string train_on(const std::string& data) {
    return command("train --config " + directory->path() + "/run.textproto --set data.train=" +
                   "/proc/self/cwd/" + data + " --output " + directory->path() + "/new");
  }
};

TEST_F(OwnDisks, OfWhichOneHasOtherDataIs65) {
  const std::string host = run_shell("uname -n | tr -d '\\n'").output;
  for (const std::string file : {"train.bin", "train.idx", "validation.bin", "validation.idx"}) {
    const std::string whole = read_text("b/data/" + file);
    std::string other = whole;
    std::swap(other[other.size() - 2], other[other.size() - 4]);  // still a valid token file
    std::swap(other[other.size() - 1], other[other.size() - 3]);
    if (other == whole) other[other.size() - 2] ^= 1;
    write_text("b/data/" + file, other);
    expect_refused(train_on("data"), 65, {"/data/" + file, file.ends_with("bin") ? host : ""});
    write_text("b/data/" + file, whole);
  }
  std::string tokens = read_text("b/data/validation.bin");
  tokens[tokens.size() - 2] ^= 1;
  write_text("b/data/validation.bin", tokens);
  expect_refused(command("evaluate --checkpoint ../run --data /proc/self/cwd/data"), 65,
                 {"on " + host + ", ", "/data/validation.bin is damaged"});
}

TEST_F(OwnDisks, OfWhichOneHasAnotherPreparationIs78) {
  const std::string host = run_shell("uname -n | tr -d '\\n'").output;
  fs::remove_all("b/data");
  fs::copy("same", "b/data", fs::copy_options::recursive);
  const Phrases phrases = {"/proc/self/cwd/data/dataset.textproto", "rank 0 on " + host + " has \"",
                           "rank 2 on " + host + " has \"", "the same files"};
  expect_refused(train_on("data"), 78, phrases);
  expect_refused(command("evaluate --checkpoint ../run --data /proc/self/cwd/data"), 78, phrases);
}

TEST_F(OwnDisks, OfWhichOneHasOtherExamplesIs78) {
  write_text("a/e.jsonl", "{\"inputs\": [5, 6, 1], \"targets\": [7, 1]}\n");
  write_text("b/e.jsonl", "{\"inputs\": [5, 6, 1], \"targets\": [8, 1]}\n");
  expect_refused(train_on("e.jsonl --set model.vocab_size=300 data.target_length=8"), 78,
                 {"/proc/self/cwd/e.jsonl", "rank 2 on ", "the same files"});
}

TEST_F(OwnDisks, DoNotHoldOneRunWhichIs73BeforeAStepIsTaken) {
  const Outcome outcome = run_shell(command("train --config " + directory->path() +
                                            "/run.textproto --set data.train=" + directory->path() +
                                            "/data --output /proc/self/cwd/new"));
  EXPECT_EQ(outcome.exit_code, 73);
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("new/checkpoints is not the directory that process 0 on "),
                    HasSubstr("all hosts share"), testing::Not(HasSubstr("training in"))));
  EXPECT_FALSE(fs::exists("a/new/metrics.jsonl"));
  EXPECT_TRUE(fs::is_empty("a/new/checkpoints"));
}

TEST_F(BadInput, DoesNotTakeARunThatLostItsCheckpointsForANewOne) {
  for (const std::string loss :
       {"rm -r lost/checkpoints/*", "rm -r lost/checkpoints lost/saved.txt"}) {
    fs::copy("run", "lost", fs::copy_options::recursive);
    ASSERT_EQ(run_shell(loss).exit_code, 0);
    for (const int processes : {0, 2}) {
      const std::string before = read_text("lost/metrics.jsonl");
      const Outcome refused = run_program("train --output lost", processes);
      EXPECT_EQ(refused.exit_code, 65) << refused.output;
      EXPECT_THAT(refused.output, AllOf(HasSubstr("the run in lost has saved checkpoints"),
                                        HasSubstr("begin again at step 1 with --restart")));
      EXPECT_EQ(read_text("lost/metrics.jsonl"), before);
    }
    const Outcome again = run_program("train --output lost --restart");
    EXPECT_EQ(again.exit_code, 0) << again.output;
    EXPECT_EQ(tensor_hashes("lost"), tensor_hashes("run"));
    expect_refused({"train --output lost --restart", 64, {"step-00000004 is there"}});
    fs::remove_all("lost");
  }
}

// Starts a run that never ends by itself, in the background of the shell, as job `$!`.
std::string endless(const std::string& start) {
  return start + " " SWITCHYARD_PROGRAM
                 " train --config run.textproto --set data.train=data --set train.steps=1000000 "
                 "--set checkpoint.interval=0 --output busy & until [ -s busy/metrics.jsonl ]; do "
                 "sleep 0.05; done; ";
}

TEST_F(BadInput, AsASecondTrainerOnARunIs73AndNamesTheFirst) {
  const Outcome outcome =
      run_shell(endless("OMP_NUM_THREADS=1") + SWITCHYARD_PROGRAM
                " train --output busy >second 2>&1; echo second $?; cat second; "
                "touch busy/stop; wait $!; echo first $?; hostname");
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("second 73"), HasSubstr("busy is in use by process "),
                                    HasSubstr("hint: "), HasSubstr("first 75")));
  for (const char* made : {"busy", "second"}) fs::remove_all(made);
}

TEST_F(BadInput, NorAKilledProcessKeepsAJobAlive) {
  const Outcome outcome = run_shell(endless(LAUNCHER " -n 2 -t 1") +
                                    "kill -KILL $(grep -o '[0-9]\\+' busy/lock | head -n 1); "
                                    "for i in $(seq 50); do kill -0 $! || break; sleep 0.1; done; "
                                    "kill -0 $! && echo alive; wait $!; echo code $?");
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("ended by signal 9 (KILL)"), HasSubstr("code 137"),
                                    testing::Not(HasSubstr("alive"))));
  fs::remove_all("busy");
}

TEST_F(BadInput, ButAStoppedRunPrintsTheCommandThatGoesOn) {
  for (const std::string start : {"OMP_NUM_THREADS=1", LAUNCHER " -n 2 -t 1"}) {
    const Outcome stopped =
        run_shell(endless(start) + "touch busy/stop; wait $!; echo code $?; exit");
    std::smatch command;
    ASSERT_TRUE(std::regex_search(stopped.output, command,
                                  std::regex("stopped after step ([0-9]+) .*go on with: (.*)\n")))
        << stopped.output;
    EXPECT_THAT(stopped.output, HasSubstr("code 75"));
    const int step = std::stoi(command.str(1));
    const Outcome resumed =
        run_shell(command.str(2) + " --set train.steps=" + std::to_string(step + 2));
    EXPECT_EQ(resumed.exit_code, 0) << resumed.output;
    EXPECT_THAT(read_text("busy/log.txt"), HasSubstr("resumed from step " + command.str(1)));
    EXPECT_EQ(read_metrics("busy").size(), static_cast<std::size_t>(step + 2));
    fs::remove_all("busy");
  }
}

const std::string in_background =
    "OMP_NUM_THREADS=1 " SWITCHYARD_PROGRAM
    " train --config run.textproto --set data.train=data --set checkpoint.interval=0 ";

// Only what is printed is lost.
TEST_F(BadInput, IsNotAReaderThatGoesAway) {
  const Outcome outcome =
      run_shell("{ " + in_background +
                "train.steps=30 --output left; echo code $? >code; } 2>&1 | head -n 2 >/dev/null; "
                "until [ -s code ]; do sleep 0.05; done; cat code; tail -n 1 left/log.txt");
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("code 0"), HasSubstr("done: 30 steps")));
  EXPECT_EQ(read_metrics("left").size(), 30U);
  const Outcome closed = run_shell(in_background + "train.steps=31 --output left 0<&- 1>&- 2>&-");
  EXPECT_EQ(closed.exit_code, 0);
  EXPECT_EQ(read_metrics("left").size(), 31U) << "nothing but records is in it";
  for (const char* made : {"left", "code"}) fs::remove_all(made);
}

TEST_F(BadInput, IsNotATerminalThatIsClosed) {
  const Outcome stopped = run_shell(endless("OMP_NUM_THREADS=1") +
                                    "kill -HUP $!; wait $!; echo "
                                    "code $?");
  EXPECT_THAT(stopped.output, AllOf(HasSubstr("asked by a signal"), HasSubstr("code 75")));
  EXPECT_FALSE(fs::is_empty("busy/checkpoints"));
  fs::remove_all("busy");
}

// At any moment after the program has started handling the signal, which is before anything else:
// it is asked to stop, or has already finished.
TEST_F(BadInput, NorDoesARequestEverKillATrainer) {
  const std::string start =
      in_background +
      "--output asked & until grep -q '^SigCgt:.*[2367abef]..$' /proc/$!/status; do :; done; ";
  for (const std::string after : {"0", "0.01", "0.03", "0.1", "0.2", "0.3", "0.5"}) {
    const Outcome outcome =
        run_shell(start + "sleep " + after + "; kill -USR1 $! 2>/dev/null; wait $!; echo code $?");
    EXPECT_THAT(outcome.output, testing::ContainsRegex("code (0|75)\n")) << "after " << after;
  }
  const Outcome often = run_shell(start +
                                  "while kill -USR1 $! 2>/dev/null; do sleep 0.002; done; "
                                  "wait $!; echo code $?");
  EXPECT_THAT(often.output, testing::ContainsRegex("code (0|75)\n"));
  fs::remove_all("asked");
}

TEST_F(BadInput, AsALimitOnTheSizeOfFilesIs74AndLeavesNothingHalf) {
  const auto before = stored_files();
  succeed(
      "train --config run.textproto --set data.train=data --set moe.num_experts=0 "
      "--set train.steps=0 --output dense");
  succeed("export dense --output dense/t5");
  const std::string limited = "ulimit -f 40; OMP_NUM_THREADS=1 " SWITCHYARD_PROGRAM " ";
  for (const std::string& arguments :
       {train,
        "prepare --lines --input text.txt text.txt --tokenizer data/tokenizer.model "
        "--output new"s,
        "export dense --output new"s, "import dense/t5 --output new"s}) {
    const Outcome outcome = run_shell("(" + limited + arguments + ")");
    EXPECT_EQ(outcome.exit_code, 74) << arguments << outcome.output;
    EXPECT_THAT(outcome.output, AllOf(HasSubstr("File too large"), HasSubstr("ulimit -f")));
    EXPECT_FALSE(fs::exists("new.partial"));
    EXPECT_TRUE(!fs::exists("new/checkpoints") || fs::is_empty("new/checkpoints"));
    fs::remove_all("new");
  }
  fs::remove_all("dense");
  EXPECT_TRUE(stored_files() == before);
}

// MPI's own temporary directory is removed too.
TEST_F(BadInput, IsGoneWithTheCommandThatASignalEnds) {
  const auto before = stored_files();
  for (const std::string signal : {"HUP", "INT", "TERM"}) {
    const Outcome outcome = run_shell(
        "for i in $(seq 100); do cat text.txt; done >long.txt; mkdir temporary; set -m; "
        "TMPDIR=$PWD/temporary " SWITCHYARD_PROGRAM
        " prepare --lines --input long.txt --vocab-size 300 --output new >/dev/null 2>&1 & "
        "until [ -d new.partial ]; do sleep 0.02; done; kill -" +
        signal + " $!; wait $!; echo code $?; echo temporary: $(ls temporary)");
    EXPECT_THAT(outcome.output, testing::ContainsRegex("code 1[0-9]+")) << signal;
    EXPECT_THAT(outcome.output, HasSubstr("temporary:\n")) << signal;
    for (const char* made : {"temporary", "long.txt"}) fs::remove_all(made);
    EXPECT_TRUE(stored_files() == before) << signal;
  }
}

TEST_F(BadInput, IsNoNumberOfSamplesToEvaluate) {
  for (const std::string samples : {"1", "3", "1000"}) {
    const std::string arguments = "evaluate --checkpoint run --show 1 --samples " + samples;
    const Outcome alone = run_program(arguments + " 2>/dev/null");
    EXPECT_EQ(alone.exit_code, 0) << alone.output;
    EXPECT_EQ(run_program(arguments + " 2>/dev/null", 3).output, alone.output);
  }
}

TEST_F(BadInput, IsNotARunWithNothingLeftToDo) {
  const auto before = stored_files();
  for (const std::string steps : {"4", "3"}) {
    const Outcome outcome = run_program("train --output run --set train.steps=" + steps);
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_THAT(outcome.output, HasSubstr("nothing left to do"));
  }
  EXPECT_TRUE(stored_files() == before);
}

}  // namespace
}  // namespace switchyard::test
