// `switchyard import` and `export` as a user meets them: Hugging Face directories in and out, and
// what lies between.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "support/program.hpp"
#include "support/synthetic_text.hpp"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::string hf_tiny = HF_TINY_DIRECTORY;
const std::string weights = "/model.safetensors";

// The working directory holds data, whose vocabulary has the 256 rows of hf-tiny's, and `imported`,
// the run that hf-tiny became.
class HuggingFace : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory = std::make_unique<TemporaryDirectory>();
    fs::current_path(directory->path());
    write_text("text.txt", synthetic_text(300, 30));
    succeed("prepare --lines --input text.txt --vocab-size 150 --output data");
    succeed("import " + hf_tiny + " --output imported --set parallel.virtual_ranks=4");
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
  static void expect_refused(const std::string& arguments, int code, const std::string& words) {
    const Outcome outcome = run_program(arguments);
    EXPECT_EQ(outcome.exit_code, code) << arguments << "\n" << outcome.output;
    EXPECT_THAT(outcome.output, AllOf(HasSubstr(words), HasSubstr("hint: ")));
  }
  // hf-tiny with something else in it.
  static std::string copy_of_tiny() {
    fs::remove_all("work/tiny");
    fs::copy(hf_tiny, "work/tiny");
    return "work/tiny";
  }
  static json config_of(const std::string& directory) {
    return json::parse(read_text(directory + "/config.json"));
  }
  static void change_config(const std::string& directory, const char* key, const json& value) {
    json config = config_of(directory);
    config[key] = value;
    write_text(directory + "/config.json", config.dump());
  }
  static bool same_file(const std::string& a, const std::string& b) {
    return read_text(a) == read_text(b);
  }

  static std::unique_ptr<TemporaryDirectory> directory;
};

std::unique_ptr<TemporaryDirectory> HuggingFace::directory;

TEST_F(HuggingFace, ImportThenExportGivesBackEveryByteOfTheWeightsAndTheConfiguration) {
  succeed("export imported --output work/out");
  EXPECT_TRUE(same_file("work/out" + weights, hf_tiny + weights));
  EXPECT_EQ(config_of("work/out"), config_of(hf_tiny));
  EXPECT_TRUE(fs::exists("work/out/generation_config.json"));
  EXPECT_FALSE(fs::exists("work/out/spiece.model"));
  EXPECT_FALSE(fs::exists("work/out.partial"));
}

TEST_F(HuggingFace, KeepsTheFilesBesideTheWeights) {
  const std::string tiny = copy_of_tiny();
  fs::copy("data/tokenizer.model", tiny + "/spiece.model");
  write_text(tiny + "/generation_config.json", R"({"max_length": 77})");
  write_text(tiny + "/tokenizer_config.json", R"({"extra_ids": 100})");
  succeed("import " + tiny + " --output work/run");
  succeed("export work/run/checkpoints/step-00000000 --output work/out");
  for (const char* name : {"/spiece.model", "/generation_config.json", "/tokenizer_config.json"})
    EXPECT_TRUE(same_file("work/out" + std::string(name), tiny + name)) << name;
  // It is the tokenizer of the data, so they may meet; another one may not.
  const std::string train = "train --output work/run --set train.steps=1 --set data.train=";
  succeed("prepare --lines --input text.txt --vocab-size 151 --output work/other");
  expect_refused(train + "work/other", 78, "trained with another tokenizer");
  succeed(train + "data");
}

TEST_F(HuggingFace, AnImportedModelIsListedAndEvaluated) {
  EXPECT_THAT(succeed("inspect imported"),
              AllOf(HasSubstr("step        0, 0 samples"), HasSubstr("tensors     61 in 1 files"),
                    HasSubstr("data        none"), HasSubstr("experts.3.wi  (expert 3)")));
  EXPECT_THAT(succeed("evaluate --checkpoint imported --data data --samples 3", 2),
              HasSubstr("after 0 steps"));
  expect_refused("evaluate --checkpoint imported", 64, "--data is missing");
}

// The rate is so small that no weight changes: what comes out is what went in, through the model,
// the optimizer and the checkpoint of so many processes. What is fixed in a run is fixed by this
// first training of it, not by the import.
TEST_F(HuggingFace, TrainingBeginsWithTheImportedWeightsOnAnyProcesses) {
  for (const int processes : {1, 2, 3, 4}) {
    const std::string run = "work/run" + std::to_string(processes);
    fs::copy("imported", run, fs::copy_options::recursive);
    const std::string train =
        "train --output " + run +
        " --set data.train=data --set data.input_length=24 --set train.batch_size=8 "
        "--set optimizer.name=SGD --set optimizer.schedule=CONSTANT "
        "--set optimizer.learning_rate=1e-30 --set train.steps=";
    EXPECT_THAT(succeed(train + "0", processes), HasSubstr("nothing left to do"));
    EXPECT_THAT(succeed(train + "1", processes), HasSubstr("begins with imported weights"));
    EXPECT_THAT(succeed(train + "2", processes), HasSubstr("resumed from step 1"));
    const std::string out = "work/out" + std::to_string(processes);
    succeed("export " + run + " --output " + out);
    EXPECT_TRUE(same_file(out + weights, hf_tiny + weights)) << processes;
    EXPECT_TRUE(same_file(out + "/spiece.model", "data/tokenizer.model"));
    if (processes > 1) {
      EXPECT_EQ(read_metrics(run)[0]["loss"], read_metrics("work/run1")[0]["loss"]);
    }
  }
}

TEST_F(HuggingFace, ARunOfNoStepsSavesItsInitialWeights) {
  const std::string train =
      "train --config tiny --set data.train=data --set train.steps=0 --output work/run";
  succeed(train, 2);
  EXPECT_THAT(succeed("inspect work/run"), HasSubstr("step        0, 0 samples"));
  EXPECT_THAT(succeed(train), HasSubstr("nothing left to do"));
}

TEST_F(HuggingFace, HalvesAndShardsHoldTheSameWeights) {
  succeed("export imported --dtype bfloat16 --output work/half");
  EXPECT_EQ(config_of("work/half")["torch_dtype"], "bfloat16");
  EXPECT_LT(fs::file_size("work/half" + weights), fs::file_size(hf_tiny + weights) * 6 / 10);
  succeed("import work/half --output work/half_run");
  succeed("export work/half_run --dtype bfloat16 --output work/half_again");
  EXPECT_TRUE(same_file("work/half" + weights, "work/half_again" + weights));
  succeed("export work/half_run --output work/whole");
  EXPECT_FALSE(same_file("work/whole" + weights, hf_tiny + weights)) << "it was rounded";

  succeed("export imported --max-shard-size 100KB --output work/shards");
  EXPECT_TRUE(fs::exists("work/shards/model-00001-of-00007.safetensors"));
  for (const auto& entry : fs::directory_iterator("work/shards"))
    EXPECT_LT(entry.file_size(), 105'000u) << entry.path();
  succeed("import work/shards --output work/shards_run");
  EXPECT_EQ(tensor_hashes("work/shards_run"), tensor_hashes("imported"));
}

TEST_F(HuggingFace, DenseModelsAreT5) {
  for (const std::string model :
       {"--set model.activation=GATED_GELU --set model.tie_word_embeddings=false", ""}) {
    fs::remove_all("work");
    fs::create_directory("work");
    succeed(
        "train --config tiny_dense --set data.train=data --set train.steps=0 --output work/run " +
        model);
    succeed("export work/run --output work/out");
    EXPECT_EQ(config_of("work/out")["model_type"], "t5");
    EXPECT_THAT(read_text("work/out" + weights), HasSubstr("DenseReluDense"));
    EXPECT_TRUE(same_file("work/out/spiece.model", "data/tokenizer.model"));
    succeed("import work/out --output work/again");
    const auto before = tensor_hashes("work/run");
    for (const auto& [name, hash] : tensor_hashes("work/again"))
      EXPECT_TRUE(name == "all" || before.at(name) == hash) << name;
    succeed("export work/again --output work/twice");
    EXPECT_TRUE(same_file("work/out" + weights, "work/twice" + weights));
    EXPECT_EQ(config_of("work/out"), config_of("work/twice"));
  }
}

TEST_F(HuggingFace, TheEmbeddingMayStandUnderItsOtherNames) {
  const std::string tiny = copy_of_tiny();
  std::string bytes = read_text(tiny + weights);
  const std::string name = "\"shared.weight\"";
  bytes.replace(bytes.find(name), name.size(), "\"lm_head.weight\"");
  // One byte more in the header, one space less behind it.
  bytes.erase(bytes.find("     ", bytes.find("}}")), 1);
  write_text(tiny + weights, bytes);
  succeed("import " + tiny + " --output work/run");
  EXPECT_EQ(tensor_hashes("work/run"), tensor_hashes("imported"));
  change_config(tiny, "tie_word_embeddings", false);
  expect_refused("import " + tiny + " --output work/new", 78, "no tensor shared.weight [256, 48]");
}

TEST_F(HuggingFace, DirectoriesOfOtherModelsAreRefused) {
  const std::string into = " --output work/new";
  expect_refused("import nowhere" + into, 66, "nowhere does not exist");
  expect_refused("import data" + into, 66, "data has no config.json");
  expect_refused("import " + hf_tiny + " --output imported", 73, "not empty");
  expect_refused("import " + hf_tiny + into + " --set moe.num_expert=4", 64, "moe.num_experts");
  const struct {
    const char* key;
    json value;
    int code;
    const char* words;
  } changes[] = {
      {"model_type", "bert", 78, "model_type \"bert\""},
      {"model_type", "t5", 78, "no tensor encoder.block.0.layer.1.DenseReluDense.wi.weight"},
      {"num_experts", 5, 78, "router.classifier.weight [4, 48], which is [5, 48]"},
      {"num_experts", 3, 78, "[4, 48], which is [3, 48]"},
      {"num_experts", 60000, 78, "61 tensors"},
      {"num_layers", 1, 78, "which the model of its config.json has not"},
      {"num_layers", 2000000000, 64, "model.num_layers"},
      {"d_ff", 97, 78, "[96, 48], which is [97, 48]"},
      {"d_model", 2147483647, 64, "model.d_model"},
      {"vocab_size", 255, 78, "shared.weight [256, 48]"},
      {"encoder_sparse_step", 1, 78, "no tensor encoder.block.0.layer.1.mlp"},
      {"router_bias", true, 78, "router_bias true"},
      {"dropout_rate", 1.5, 64, "model.dropout_rate"},
      {"num_heads", "4", 65, "num_heads is \"4\""},
  };
  for (const auto& [key, value, code, words] : changes) {
    const std::string tiny = copy_of_tiny();
    change_config(tiny, key, value);
    expect_refused("import " + tiny + into, code, words);
  }
  EXPECT_FALSE(fs::exists("work/new"));
  EXPECT_FALSE(fs::exists("work/new.partial"));
}

TEST_F(HuggingFace, DamagedDirectoriesAreRefused) {
  const std::string import = "import work/tiny --output work/new";
  const std::string whole = read_text(copy_of_tiny() + weights);
  for (const std::size_t size : {0u, 7u, 8u, 5000u, 600'000u}) {
    write_text("work/tiny" + weights, whole.substr(0, size));
    expect_refused(import, 65, "work/tiny/model.safetensors");
  }
  std::string bytes = whole;
  bytes.replace(bytes.find("[256,48]"), 8, "[48,256]");
  write_text("work/tiny" + weights, bytes);
  expect_refused(import, 78, "shared.weight [48, 256], which is [256, 48]");
  write_text("work/tiny" + weights, whole);
  write_text("work/tiny/generation_config.json", "{");
  expect_refused(import, 65, "generation_config.json is not JSON");
  fs::remove("work/tiny/generation_config.json");
  write_text("work/tiny/config.json", "{\"d_model\": 48, \"d_model\": 48}");
  expect_refused(import, 65, "the key d_model twice");
  copy_of_tiny();
  fs::remove("work/tiny" + weights);
  expect_refused(import, 66, "neither model.safetensors nor");
  write_text("work/tiny/model.safetensors.index.json",
             R"({"weight_map": {"shared.weight": "../../imported/config.textproto"}})");
  expect_refused(import, 77, "plain file name");
  EXPECT_FALSE(fs::exists("work/new"));
}

TEST_F(HuggingFace, ExportRefusesWhatItCannotWrite) {
  const std::string into = " --output work/new";
  expect_refused("export nowhere" + into, 66, "nowhere");
  expect_refused("export imported --output data", 73, "data");
  expect_refused("export imported --dtype float16" + into, 64, "float16");
  for (const char* size : {"0", "-1", "5TB", "GB", "5 GB", "99999999999GB"})
    expect_refused("export imported --max-shard-size '" + std::string(size) + "'" + into, 64, size);
  succeed(
      "train --config tiny --set data.train=data --set train.steps=0 --output work/run "
      "--set model.activation=GATED_GELU");
  expect_refused("export work/run" + into, 78, "model.activation");
  EXPECT_FALSE(fs::exists("work/new"));
}

TEST_F(HuggingFace, ExportLeavesOutTheBiasOfRoutersWhileItIsZero) {
  const std::string train =
      "train --config tiny --output work/run --set data.train=data --set moe.load_balancing=BIAS "
      "--set train.steps=";
  succeed(train + "0");
  EXPECT_THAT(succeed("export work/run --output work/zero"), HasSubstr("77 tensors"));
  EXPECT_EQ(config_of("work/zero")["router_aux_loss_coef"], 0);
  succeed(train + "1");
  expect_refused("export work/run --output work/new", 78, "router_bias is not zero");
  EXPECT_FALSE(fs::exists("work/new"));
}

TEST_F(HuggingFace, ABalancingBiasBeginsAtZero) {
  succeed("import " + hf_tiny + " --set moe.load_balancing=BIAS --output work/biased");
  succeed("export work/biased --output work/out");
  EXPECT_EQ(read_text("work/out" + weights), read_text(hf_tiny + weights));
}

}  // namespace
}  // namespace switchyard::test
