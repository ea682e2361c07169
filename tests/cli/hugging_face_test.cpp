// `switchyard import` and `export` as a user sees them: from and to Hugging Face directories, with
// training in between.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
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
using testing::Not;

const std::string weights = "/model.safetensors";

// The working directory contains data, whose vocabulary has the 256 rows of hf-tiny, and
// `imported`, the run imported from hf-tiny.
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
  // A copy of hf-tiny, to be modified.
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
  // The tokenizer equals that of the data, so they can be combined; a different one cannot.
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

// The rate is so small that no weight changes: the export equals the import after a round trip
// through the model, the optimizer and the checkpoint of several processes. The options that a run
// fixes are fixed by this first training, not by the import.
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
  // One more byte in the header, one less space after it.
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
      {"num_layers", 1, 78, "which the model of its config.json does not have"},
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

// Some writers index all names of a tensor that they store once.
TEST_F(HuggingFace, AnIndexMayNameTheEmbeddingMoreOftenThanItIsStored) {
  succeed("export imported --max-shard-size 100KB --output work/shards");
  const std::string path = "work/shards/model.safetensors.index.json";
  const json index = json::parse(read_text(path));
  const auto write_with = [&](std::initializer_list<const char*> names) {
    json more = index;
    for (const char* name : names) more["weight_map"][name] = index["weight_map"]["shared.weight"];
    write_text(path, more.dump());
  };
  write_with({"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"});
  succeed("import work/shards --output work/run");
  EXPECT_EQ(tensor_hashes("work/run"), tensor_hashes("imported"));
  const std::string import = "import work/shards --output work/new";
  write_with({"decoder.final_norm.weight"});
  expect_refused(import, 65, "lacks decoder.final_norm.weight, which the index says it has");
  change_config("work/shards", "tie_word_embeddings", false);
  write_with({"lm_head.weight"});
  expect_refused(import, 78, "no tensor lm_head.weight");
}

// As written by transformers 5: the embedding is declared tied, but the logits have their own
// weights.
TEST_F(HuggingFace, OutputsThatAreNotScaledNeedLogitsOfTheirOwn) {
  const std::string t5 = "train --config tiny_dense --set data.train=data train.steps=0 ";
  succeed(t5 + "model.tie_word_embeddings=false --output work/run");
  succeed("export work/run --output work/out");
  EXPECT_EQ(config_of("work/out")["scale_decoder_outputs"], false);
  change_config("work/out", "tie_word_embeddings", true);
  succeed("import work/out --output work/again");
  const auto before = tensor_hashes("work/run");
  for (const auto& [name, hash] : tensor_hashes("work/again"))
    EXPECT_TRUE(name == "all" || before.at(name) == hash) << name;
  succeed("export work/again --output work/twice");
  EXPECT_EQ(config_of("work/twice"), config_of("work/out"));

  succeed(t5 + "--output work/tied");
  succeed("export work/tied --output work/tied_out");
  EXPECT_EQ(config_of("work/tied_out")["scale_decoder_outputs"], true);
  change_config("work/tied_out", "scale_decoder_outputs", false);
  expect_refused("import work/tied_out --output work/new", 78, "scale_decoder_outputs false");
}

TEST_F(HuggingFace, WeightsThatAreNotFiniteAreNamed) {
  const std::string whole = read_text(copy_of_tiny() + weights);
  std::size_t header = 0;
  std::memcpy(&header, whole.data(), 8);
  const json index = json::parse(whole.substr(8, header));
  const struct {
    const char* tensor;
    std::size_t element;
    float value;
    const char* words;
  } cases[] = {
      {"shared.weight", 48 * 3 + 5, std::numeric_limits<float>::infinity(),
       "shared.weight is inf at [3, 5]"},
      {"encoder.block.0.layer.1.mlp.wi.weight", 48 * 2 + 1, std::nanf(""),
       "encoder.block.0.layer.1.mlp.wi.weight is NaN at [2, 1]"},
      {"encoder.final_layer_norm.weight", 7, -std::numeric_limits<float>::infinity(),
       "encoder.final_layer_norm.weight is -inf at [7]"},
  };
  for (const auto& [tensor, element, value, words] : cases) {
    std::string bytes = whole;
    const std::size_t begin = index[tensor]["data_offsets"][0];
    std::memcpy(bytes.data() + 8 + header + begin + 4 * element, &value, 4);
    write_text("work/tiny" + weights, bytes);
    expect_refused("import work/tiny --output work/new", 65, words);
  }
  EXPECT_FALSE(fs::exists("work/new"));
  EXPECT_FALSE(fs::exists("work/new.partial"));
}

TEST_F(HuggingFace, PointersOfGitLfsAreNamed) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:"
      "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 990345061\n";
  for (const std::string name : {"config.json", "model.safetensors", "generation_config.json",
                                 "spiece.model", "tokenizer.json"}) {
    write_text(copy_of_tiny() + "/" + name, pointer);
    expect_refused("import work/tiny --output work/new", 65, name + " is a Git LFS pointer");
  }
  succeed("export imported --max-shard-size 100KB --output work/shards");
  for (const char* name : {"model-00002-of-00007.safetensors", "model.safetensors.index.json"}) {
    write_text("work/shards/" + std::string(name), pointer);
    expect_refused("import work/shards --output work/new", 65,
                   std::string(name) + " is a Git LFS pointer");
  }
  EXPECT_FALSE(fs::exists("work/new"));
}

TEST_F(HuggingFace, TheTokenizerIsTriedBeforeItIsTaken) {
  const std::string tiny = copy_of_tiny(), import = "import work/tiny --output work/new";
  const std::string whole = read_text("data/tokenizer.model");
  for (const std::string& bytes : {std::string("nothing"), whole.substr(0, 1000)}) {
    write_text(tiny + "/spiece.model", bytes);
    expect_refused(import, 65, "work/tiny/spiece.model is");
  }
  succeed("prepare --lines --input text.txt --vocab-size 300 --output work/more");
  fs::copy("work/more/tokenizer.model", tiny + "/spiece.model",
           fs::copy_options::overwrite_existing);
  expect_refused(import, 78, "300 pieces, but the vocabulary of the model has 256 rows");
  EXPECT_FALSE(fs::exists("work/new"));
}

// As after resize_token_embeddings: more rows than the tokenizer and the sentinels need.
TEST_F(HuggingFace, AModelWithMoreRowsThanPiecesIsTrainedAndEvaluated) {
  std::string text;
  for (int line = 0; line < 600; ++line) {
    for (int word = 0; word < 12; ++word)
      text += std::string(1 + line * word % 5, 'a' + line % 4) + " ";
    text += "\n";
  }
  write_text("work/few.txt", text);
  succeed("prepare --lines --input work/few.txt --vocab-size 12 --output work/few");  // 128 rows
  const std::string train =
      "train --set data.train=work/few data.input_length=24 train.batch_size=8 train.steps=";
  succeed("import " + hf_tiny + " --output work/run --set parallel.virtual_ranks=4");
  succeed(train + "1 --output work/run", 2);
  succeed(train + "2 --output work/run");
  succeed("evaluate work/run --samples 2");
  succeed("export work/run --output work/out");
  EXPECT_EQ(config_of("work/out")["vocab_size"], 256);
  // A run that starts from scratch takes the number of rows from the data, and its hint says how.
  expect_refused(
      "train --config tiny --set model.vocab_size=256 data.train=work/few --output work/new", 64,
      "--set model.vocab_size=128 takes the data's");
  // Fewer rows than ids are refused for every model.
  succeed("prepare --lines --input text.txt --vocab-size 180 --output work/many");
  expect_refused("train --set data.train=work/many --output work/run", 64,
                 "has 280 ids, padded to 384");
}

TEST_F(HuggingFace, AnExportEvaluatesAsHereOrSaysThatItDoesNot) {
  const std::string train =
      "train --config tiny --set data.train=data train.steps=0 data.input_length=30 "
      "data.target_length=50 train.batch_size=8 parallel.virtual_ranks=8 ";
  succeed(train + "--output work/run");
  EXPECT_THAT(succeed("export work/run --output work/out"), Not(HasSubstr("warning")));
  EXPECT_EQ(config_of("work/out")["expert_capacity"], 50);
  succeed(train + "moe.eval_dropless=false --output work/drops");
  EXPECT_THAT(succeed("export work/drops --output work/drops_out"),
              HasSubstr("expert_capacity 12 in config.json makes evaluation drop other tokens"));
}

TEST_F(HuggingFace, SaysHowTheWeightsOfTheRoutersLossesWereConverted) {
  const std::string tiny = copy_of_tiny();
  EXPECT_THAT(succeed("import " + tiny + " --output work/one"), Not(HasSubstr("z_loss_coef")));
  succeed(
      "train --config tiny --set data.train=data train.steps=0 moe.decoder_sparse_step=1 "
      "moe.z_loss_coef=0.002 --output work/run");
  succeed("export work/run --output work/out");
  EXPECT_THAT(succeed("import work/out --output work/again"),
              AllOf(HasSubstr("became moe.z_loss_coef 0.002"),
                    HasSubstr("warning: the encoder has another number of sparse layers (1) than "
                              "the decoder (2)")));
  succeed("export work/again --output work/twice");
  EXPECT_EQ(config_of("work/out"), config_of("work/twice"));
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

// A mounted volume is such a case: the directory exists already and cannot be replaced.
TEST_F(HuggingFace, PrepareImportAndExportWriteIntoADirectoryThatIsThere) {
  const std::string root = fs::current_path();
  const std::pair<std::string, std::string> commands[] = {
      {"prepare --lines --input " + root + "/text.txt --vocab-size 150", "dataset.textproto"},
      {"import " + hf_tiny, "config.textproto"},
      {"export " + root + "/imported", "config.json"}};
  for (const auto& [command, last] : commands) {
    for (const char* name : {"here", "target"}) fs::create_directory("work/" + std::string(name));
    fs::create_directory_symlink("target", "work/link");
    succeed(command + " --output work/link");
    const Outcome here =
        run_shell("cd work/here && " SWITCHYARD_PROGRAM " " + command + " --output .");
    EXPECT_EQ(here.exit_code, 0) << here.output;
    for (const char* name : {"work/here/", "work/target/"})
      EXPECT_TRUE(fs::exists(name + last) && !fs::exists(name + std::string(".partial"))) << name;
    expect_refused(command + " --output work/link", 73, "work/link");
    fs::create_symlink("nowhere", "work/dangling");
    expect_refused(command + " --output work/dangling", 73, "is a link to nowhere");
    fs::remove_all("work");
    fs::create_directory("work");
  }
}

}  // namespace
}  // namespace switchyard::test
