// Continues runs that an earlier version of the program wrote (tests/golden).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <sstream>

#include "support/program.hpp"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

const std::string golden = GOLDEN_DIRECTORY;

// The line of expected.jsonl for a run: the next two steps as the earlier version computed them.
json expected_of(const std::string& run) {
  std::istringstream lines(read_text(golden + "/expected.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    json expected = json::parse(line);
    if (expected["run"] == run) return expected["steps"];
  }
  throw std::runtime_error("nothing is expected of " + run);
}

// The working directory contains only the data.
class Golden : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    fs::current_path(directory.path());
    fs::copy(golden + "/data", "data");
  }
  void TearDown() override { fs::current_path("/"); }

  static std::string copy(const std::string& to) {
    fs::copy(golden + "/" + GetParam(), to, fs::copy_options::recursive);
    return to;
  }
  static void succeed(const std::string& arguments, int processes = 0) {
    const Outcome outcome = run_program(arguments, processes);
    EXPECT_EQ(outcome.exit_code, 0) << arguments << "\n" << outcome.output;
  }

 private:
  TemporaryDirectory directory;
};

// Other instruction sets round differently: the losses are close, and equal on any number of
// processes of this machine.
TEST_P(Golden, GoesOnWithTheLossesThatFollowedThere) {
  const json expected = expected_of(GetParam());
  const int last = expected.back()["step"];
  for (const int processes : {1, 2}) {
    const std::string run = copy("run" + std::to_string(processes));
    succeed("train --output " + run +
                " --set data.train=data data.input_length=24 train.log_interval=1 train.steps=" +
                std::to_string(last),
            processes);
    const std::vector<json> records = read_metrics(run);
    ASSERT_EQ(std::ssize(records), last);
    for (const json& step : expected) {
      const json& now = records[step["step"].get<std::size_t>() - 1];
      EXPECT_EQ(now["step"], step["step"]);
      EXPECT_NEAR(now["loss"].get<double>(), step["loss"].get<double>(), 1e-4);
      EXPECT_NEAR(now["norm"].get<double>(), step["norm"].get<double>(), 1e-3);
    }
  }
  for (const char* key : {"loss", "norm"})
    EXPECT_EQ(read_metrics("run1").back()[key], read_metrics("run2").back()[key]);
  EXPECT_EQ(tensor_hashes("run1"), tensor_hashes("run2"));
}

// No oneDNN of today is what wrote them, and no processor is held to SSE 4.1 by itself.
TEST_P(Golden, SaysOnceThatTheBitsAreOtherOnesNow) {
  const std::string run = copy("run");
  const bool trained = fs::exists(run + "/metrics.jsonl");
  const std::string next =
      std::to_string(trained ? read_metrics(run).back()["step"].get<int>() + 1 : 1);
  const Outcome outcome =
      run_shell("ONEDNN_MAX_CPU_ISA=SSE41 " + mpirun() +
                "-n 2 " SWITCHYARD_PROGRAM
                " train --output run --set data.train=data data.input_length=24 "
                "train.steps=" +
                next);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("computes other bits"), HasSubstr(" on SSE41"),
                                    HasSubstr("oneDNN 2.")));
  const std::string warning = "computes other bits";
  EXPECT_EQ(outcome.output.find(warning), outcome.output.rfind(warning));
}

TEST_P(Golden, IsListedEvaluatedAndExported) {
  const std::string run = copy("run");
  const bool trained = fs::exists(run + "/metrics.jsonl");
  succeed("inspect " + run);
  if (trained) succeed("evaluate " + run + " --samples 1 --data data");
  succeed("export " + run + " --output out");
  if (!fs::exists(run + "/hugging_face")) return;
  json config = json::parse(read_text(run + "/hugging_face/config.json"));
  if (trained) config["router_aux_loss_coef"] = 0.01;  // as in its configuration
  EXPECT_EQ(json::parse(read_text("out/config.json")), config);
  EXPECT_EQ(read_text("out/spiece.model"), read_text("data/tokenizer.model"));
}

INSTANTIATE_TEST_SUITE_P(Runs, Golden,
                         testing::Values("adafactor", "adamw", "replicas", "imported",
                                         "imported_trained"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace switchyard::test
