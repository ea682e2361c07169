#include "config/run_config.hpp"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "config/option_fields.hpp"

namespace switchyard {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Strings = std::vector<std::string>;

class Config : public ::testing::Test {
 protected:
  Config()
      : folder_(std::filesystem::temp_directory_path() / ("config." + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~Config() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }

 private:
  std::filesystem::path folder_;
};

template <class Body>
Error error_of(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was refused";
  return Error(ExitCode::done, "");
}

Error refused_set(const std::string& assignment) {
  return error_of([&] { load_config({}, Strings{assignment}); });
}

TEST_F(Config, WithoutFilesIsTheDefaults) {
  const RunConfig config = load_config({}, {});
  EXPECT_EQ(config.train().batch_size(), 32);
  EXPECT_EQ(config.moe().num_experts(), 8);
}

TEST_F(Config, LaterFilesAndThenSetsWin) {
  const Strings files = {file("a", "model { d_model: 64 d_ff: 256 } train { steps: 7 }"),
                         file("b", "model { d_ff: 512 } train { seed: 3 }")};
  const RunConfig config = load_config(files, Strings{"train.seed=4", "train.seed=5"});
  EXPECT_EQ(config.model().d_model(), 64);
  EXPECT_EQ(config.model().d_ff(), 512);
  EXPECT_EQ(config.train().steps(), 7);
  EXPECT_EQ(config.train().seed(), 5u);
}

TEST_F(Config, FillsInWhatFollowsFromOtherOptions) {
  const RunConfig config = load_config({}, Strings{"model.d_model=96", "model.num_heads=3"});
  EXPECT_EQ(config.model().d_kv(), 32);
  EXPECT_EQ(config.model().num_decoder_layers(), config.model().num_layers());
  EXPECT_EQ(load_config({}, Strings{"model.d_kv=64"}).model().d_kv(), 64);
}

TEST_F(Config, SetsTakeEveryType) {
  const RunConfig config =
      load_config({}, Strings{"moe.dropless=true", "moe.jitter_eps=1e-3", "data.train=/a b/c\"d\\",
                              "data.validation=\"quoted\"", "model.activation=gated_gelu",
                              "train.seed=18446744073709551615", "optimizer.learning_rate=-2"});
  EXPECT_TRUE(config.moe().dropless());
  EXPECT_EQ(config.moe().jitter_eps(), 1e-3);
  EXPECT_EQ(config.data().train(), "/a b/c\"d\\");
  EXPECT_EQ(config.data().validation(), "quoted");
  EXPECT_EQ(config.model().activation(), ModelOptions::GATED_GELU);
  EXPECT_EQ(config.train().seed(), 18446744073709551615u);
  EXPECT_EQ(config.optimizer().learning_rate(), -2);
}

TEST_F(Config, AListReplacesTheEarlierOne) {
  google::protobuf::FileDescriptorProto before, after;
  before.add_dependency("a");
  before.mutable_options()->add_uninterpreted_option()->set_identifier_value("x");
  after.add_dependency("b");
  after.add_dependency("c");
  after.mutable_options()->set_java_package("p");
  merge_config(after, before);
  EXPECT_THAT(before.dependency(), ElementsAre("b", "c"));
  EXPECT_EQ(before.options().uninterpreted_option_size(), 1);

  set_option(before, "dependency=d,e");
  EXPECT_THAT(before.dependency(), ElementsAre("d", "e"));
  set_option(before, "dependency=");
  EXPECT_EQ(before.dependency_size(), 0);
}

TEST_F(Config, AnUnknownFieldIsShownWithItsPlaceAndTheNearestName) {
  const std::string path = file("c", "train {\n  steps: 3\n  batch_szie : 8\n}\n");
  const Error error = error_of([&] { load_config(Strings{path}, {}); });
  EXPECT_EQ(error.code(), ExitCode::usage);
  EXPECT_THAT(error.what(), StartsWith(path + ":3:3: "));
  EXPECT_THAT(error.what(), HasSubstr("batch_szie"));
  EXPECT_THAT(error.hint(), HasSubstr("train.batch_size"));
}

TEST_F(Config, AnUnknownBlockIsShownWithTheNearestName) {
  const Error error = error_of([] { parse_config("modle { d_model: 3 }", "x"); });
  EXPECT_THAT(error.what(), StartsWith("x:1:1: "));
  EXPECT_THAT(error.hint(), HasSubstr("did you mean model?"));
}

TEST_F(Config, AFieldOfAnotherBlockIsShownWithItsOwn) {
  const Error error = error_of([] { parse_config("train {\n    d_model: 3 }", "x"); });
  EXPECT_THAT(error.what(), StartsWith("x:2:5: "));
  EXPECT_THAT(error.hint(), HasSubstr("model.d_model"));
  EXPECT_THAT(refused_set("train.d_model=3").hint(), HasSubstr("model.d_model"));
}

TEST_F(Config, MistakesOfSyntaxAndTypeHaveAPlace) {
  EXPECT_THAT(error_of([] { parse_config("train { steps: many }", "x"); }).what(),
              StartsWith("x:1:16: "));
  EXPECT_THAT(error_of([] { parse_config("train {\n steps: 3", "x"); }).what(), StartsWith("x:2:"));
  EXPECT_THAT(error_of([] { parse_config("train { steps: 1 steps: 2 }", "x"); }).what(),
              HasSubstr("multiple times"));
  const Error error = error_of([] { parse_config("model { activation: SWISH }", "x"); });
  EXPECT_THAT(error.what(), StartsWith("x:1:"));
  EXPECT_THAT(error.hint(), HasSubstr("RELU, GATED_GELU"));
}

TEST_F(Config, SetsThatCannotBeAreRefusedByName) {
  const auto refused = [](const std::string& assignment, const std::string& hint) {
    const Error error = refused_set(assignment);
    EXPECT_EQ(error.code(), ExitCode::usage) << assignment;
    EXPECT_THAT(error.what(), StartsWith("--set " + assignment + ": "));
    EXPECT_THAT(error.hint(), HasSubstr(hint)) << assignment;
  };
  refused("model.d_modle=3", "did you mean model.d_model?");
  refused("moddel.d_model=3", "did you mean model?");
  refused("train.steps.more=3", "did you mean train.steps?");
  refused("zzz=3", "`switchyard options`");
  refused("train.steps", "=");
  refused("train.steps=", "a whole number");
  refused("train.steps=many", "a whole number");
  refused("train.steps=1e3", "a whole number");
  refused("train.steps=3 seed: 4", "a whole number");
  refused("train.steps=3} model {d_model: 1", "a whole number");
  refused("model.activation=swish", "RELU, GATED_GELU");
  refused("model=3", "switchyard options model");
}

TEST_F(Config, BlanksAroundTheEqualsSignOfASetAreNoPartOfIt) {
  EXPECT_EQ(load_config({}, Strings{"train.steps = 7"}).train().steps(), 7);
  EXPECT_EQ(load_config({}, Strings{"data.train= a"}).data().train(), " a");
}

TEST_F(Config, AMissingFileIsMissingInputAndListsWhatShips) {
  const Error error = error_of([] { load_config(Strings{"tinny"}, {}); });
  EXPECT_EQ(error.code(), ExitCode::missing_input);
  EXPECT_THAT(error.what(), HasSubstr("tinny"));
  EXPECT_THAT(error.hint(), AllOf(HasSubstr("did you mean tiny?"), HasSubstr("tiny_dense")));
}

TEST_F(Config, ShippedOnesAreFoundByName) {
  EXPECT_THAT(shipped_configs(), Contains("tiny_dense"));
  for (const std::string& name : shipped_configs()) {
    EXPECT_NO_THROW(load_config(Strings{name}, {})) << name;
  }
  EXPECT_EQ(load_config(Strings{"tiny_dense"}, {}).moe().num_experts(), 0);
}

TEST_F(Config, ResolvedTextIsAFixedPoint) {
  for (const Strings& sets :
       {Strings{}, Strings{"data.train=d\n\"", "optimizer.learning_rate=0.1"}}) {
    const RunConfig config = load_config({}, sets);
    const std::string text = resolved_text(config);
    const RunConfig again = parse_config(text, "resolved");
    EXPECT_EQ(resolved_text(again), text);
    for (const OptionField& option : option_fields(*RunConfig::descriptor())) {
      EXPECT_EQ(value_text(again, option), value_text(config, option)) << option.path;
    }
  }
}

TEST_F(Config, ResolvedTextNamesEveryOptionThatHasAValue) {
  const RunConfig config = load_config({}, {});
  const std::string text = resolved_text(config);
  for (const OptionField& option : option_fields(*RunConfig::descriptor())) {
    const bool named = text.find("  " + option.field().name() + ": ") != std::string::npos;
    EXPECT_EQ(named, value_text(config, option) != "unset") << option.path;
  }
}

TEST_F(Config, ReportsChangesOfFixedFieldsOnly) {
  const RunConfig before = load_config({}, {});
  EXPECT_TRUE(changed_fixed_fields(before, before).empty());
  EXPECT_TRUE(
      changed_fixed_fields(before, parse_config(resolved_text(before), "resolved")).empty());
  const RunConfig after =
      load_config({}, Strings{"model.d_ff=77", "train.steps=9", "checkpoint.keep_last=9",
                              "data.target_length=99", "model.activation=GATED_GELU"});
  EXPECT_THAT(changed_fixed_fields(before, after),
              ElementsAre("model.d_ff: 1024 -> 77", "model.activation: RELU -> GATED_GELU",
                          "data.target_length: unset -> 99"));
}

}  // namespace
}  // namespace switchyard
