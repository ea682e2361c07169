// `switchyard benchmark` on a tiny model: checks that its figures are consistent, and that those
// which do not depend on the clock are right; never how large they are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "support/program.hpp"

namespace switchyard::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// 16 tokens per group for 4 experts in the encoder, 8 in the decoder.
const std::string minute =
    " --set model.d_model=16 model.d_ff=32 model.d_kv=8 model.num_heads=2 model.num_layers=2 "
    "model.vocab_size=64 moe.num_experts=4 parallel.virtual_ranks=4 data.input_length=16 "
    "data.target_length=8 train.batch_size=4";
constexpr int positions = 4 * (16 + 8);

// 6 x parameters x positions for the encoder's kernels, the decoder's, and its keys and values of
// the encoder's output; 12 x pairs x heads x d_kv for three attentions; 6 x parameters x targets
// for the logits.
constexpr double operations = 6 * 2 * (4 * 256 + 2 * 512) * 64 + 6 * 2 * (6 * 256 + 2 * 512) * 32 +
                              6 * 2 * 2 * 256 * 64 + 12 * 2 * 4 * 16 * (256 + 64 + 128) +
                              6 * 16 * 64 * 32;

struct Report {
  Outcome outcome;
  json figures;
};

Report benchmark(const std::string& arguments, int processes, int threads = 1) {
  const TemporaryDirectory scratch;
  const std::string file = scratch.path() + "/benchmark.json";
  const Outcome outcome =
      run_program("benchmark --steps 3 --json " + file + minute + arguments, processes, threads);
  if (outcome.exit_code != 0) return {outcome, {}};
  return {outcome, json::parse(read_text(file))};
}

void expect_finite(const json& value, const std::string& name) {
  if (value.is_structured()) {
    for (const auto& [key, inner] : value.items()) expect_finite(inner, name + "." + key);
  } else if (value.is_number()) {
    EXPECT_TRUE(std::isfinite(value.get<double>()) && value.get<double>() >= 0) << name;
  } else {
    EXPECT_TRUE(value.is_string() || value.is_boolean()) << name << " is " << value;
  }
}

void expect_consistent(const json& figures, int processes, int threads) {
  expect_finite(figures, "");
  const auto number = [&](const char* name) { return figures.at(name).get<double>(); };
  EXPECT_EQ(figures["processes"], processes);
  EXPECT_EQ(figures["threads"], threads);
  EXPECT_EQ(figures["steps"], 3);
  EXPECT_EQ(figures["positions"], positions);
  EXPECT_DOUBLE_EQ(number("model_gflop"), operations / 1e9);
  EXPECT_NEAR(number("tokens_per_second") * number("step_seconds"), positions, 1e-6);
  EXPECT_DOUBLE_EQ(number("matmul_gflops"),
                   std::max(number("matmul_gflops_before"), number("matmul_gflops_after")));
  EXPECT_NEAR(number("mfu_step") * number("step_seconds") * number("matmul_gflops"),
              number("model_gflop"), 1e-9);
  EXPECT_NEAR(
      number("mfu_forward_backward") * number("forward_backward_seconds") * number("matmul_gflops"),
      number("model_gflop"), 1e-9);
  EXPECT_GT(number("memory_gb_per_second"), 0);
  EXPECT_GT(number("forward_backward_seconds"), 0);
  EXPECT_LT(number("forward_backward_seconds"), number("step_seconds"));
  EXPECT_GT(number("peak_bytes"), 1e6);
  for (const char* phase : {"input", "embedding", "attention", "feed_forward", "routing",
                            "exchange", "experts", "logits", "reduction", "optimizer"}) {
    EXPECT_LT(figures["phases"].at(phase).get<double>(), 1000 * number("step_seconds")) << phase;
  }
}

TEST(Benchmark, OfOneProcessHangsTogether) {
  const auto [outcome, figures] = benchmark("", 0, 2);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  expect_consistent(figures, 1, 2);
  EXPECT_EQ(figures["precision"], "FLOAT32");
  EXPECT_EQ(figures["bytes_exchanged"], 0);
  EXPECT_EQ(figures["matmul_gflops_before"], figures["products"][0]["float32_gflops"]);
  EXPECT_EQ(figures["force_load_balancing"], false);
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("yardstick"), HasSubstr("whole step"), HasSubstr("tokens/s"),
                    HasSubstr("dropped"), HasSubstr("GB/s read and written"),
                    Not(HasSubstr("exchange of rows"))));
}

// All 64 and 32 tokens are distributed evenly over the 4 experts of one group, so half of them go
// to the other process: 4 transfers of 16 floats each, in one layer of each stack.
TEST(Benchmark, BalancedByForceDropsNothingOnTwoProcesses) {
  const auto [outcome, figures] = benchmark(" --force-load-balancing", 2);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  expect_consistent(figures, 2, 1);
  EXPECT_EQ(figures["force_load_balancing"], true);
  EXPECT_EQ(figures["load_imbalance"], 1);
  EXPECT_EQ(figures["dropped_fraction"], 0);
  EXPECT_EQ(figures["bytes_exchanged"], (64 + 32) / 2 * 4 * 16 * 4);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("balanced by force"), HasSubstr("GB/s leave each")));
}

TEST(Benchmark, OfADenseModelNamesNoExperts) {
  const auto [outcome, figures] = benchmark(" moe.num_experts=0", 0);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  expect_consistent(figures, 1, 1);
  EXPECT_EQ(figures["dropped_fraction"], 0);
  EXPECT_THAT(outcome.output, AllOf(Not(HasSubstr("expert")), Not(HasSubstr("dropped"))));
}

TEST(Benchmark, RefusesWhatItCannotMeasure) {
  const auto code = [](const std::string& arguments) {
    return run_program("benchmark" + minute + arguments).exit_code;
  };
  EXPECT_EQ(run_program("benchmark --steps 3").exit_code, 64);
  EXPECT_EQ(code(" --steps 0"), 64);
  EXPECT_EQ(code(" --steps many"), 64);
  EXPECT_EQ(code(" --step 3"), 64);
  EXPECT_EQ(code(" moe.num_experts=-1"), 64);
  const Outcome hash =
      run_program("benchmark" + minute + " moe.routing=HASH --force-load-balancing");
  EXPECT_EQ(hash.exit_code, 64);
  EXPECT_THAT(hash.output, HasSubstr("HASH"));
}

TEST(Benchmark, FindsOutFirstWhereItCannotWrite) {
  const Outcome outcome = run_program("benchmark" + minute + " --json /nowhere/at/all.json");
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("/nowhere/at/all.json"), Not(HasSubstr("measuring"))));
}

// What it writes is what `describe` reads.
TEST(Benchmark, CalibratesForDescribe) {
  const TemporaryDirectory scratch;
  const std::string file = scratch.path() + "/machine.textproto";
  const Outcome outcome = run_program("benchmark --calibrate " + file, 2);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(read_text(file), AllOf(HasSubstr("processes_per_host: 2"), HasSubstr("inside_host"),
                                     Not(HasSubstr("between_hosts"))));
  const Outcome planned = run_program("describe --config tiny --processes 2 --network " + file);
  EXPECT_EQ(planned.exit_code, 0) << planned.output;
  EXPECT_THAT(planned.output, AllOf(HasSubstr("predicted step"), HasSubstr("hours")));
  EXPECT_EQ(
      run_program("describe --config tiny --processes 2 --hosts 2 --network " + file).exit_code, 64)
      << "it knows no network";
  EXPECT_EQ(run_program("benchmark --config tiny --calibrate " + file).exit_code, 64);
  EXPECT_EQ(run_program("benchmark --calibrate /nowhere/file").exit_code, 73);
}

// Operation counts under which the configurations are known elsewhere.
TEST(Benchmark, ShipsModelsOfSoManyOperations) {
  for (const auto& [config, total] : {std::pair{"bench_small", "8.500e+11"},
                                      {"bench_small_dense", "8.500e+11"},
                                      {"bench_tiny", "1.385e+11"},
                                      {"bench_tiny_dense", "1.385e+11"}}) {
    EXPECT_THAT(run_program(std::string("describe --config ") + config).output, HasSubstr(total))
        << config;
  }
}

}  // namespace
}  // namespace switchyard::test
