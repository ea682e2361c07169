// The first contract, tested on the whole program: its losses and weights have the same bits on any
// number of processes and threads, and a run that is stopped and continued on different ones equals
// a run that never stopped. Each case asserts that its difficulty (drops, idle experts, padding)
// really occurs.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "support/program.hpp"
#include "support/synthetic_text.hpp"

namespace switchyard::test {
namespace {

constexpr const char* configuration = R"(
model { d_model: 128 d_ff: 256 d_kv: 64 num_heads: 2 num_layers: 2 dropout_rate: 0.1 }
moe { num_experts: 32 capacity_factor: 1.25 jitter_eps: 0.05 }
parallel { virtual_ranks: 4 }
data { input_length: 256 target_length: 64 }
optimizer { learning_rate: 1.0 warmup_steps: 400 }
train { batch_size: 16 steps: 8 log_interval: 2 eval_interval: 4 eval_samples: 10 }
checkpoint { interval: 4 keep_last: 3 }
)";

class BitEquality : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory = std::make_unique<TemporaryDirectory>();
    write_text(path("text.txt"), synthetic_text(4000, 60));
    write_text(path("run.textproto"), configuration);
    const Outcome prepared = run_program("prepare --lines --vocab-size 2048 --input " +
                                             path("text.txt") + " --output " + path("data"),
                                         0, 2);
    ASSERT_EQ(prepared.exit_code, 0) << prepared.output;
  }
  static void TearDownTestSuite() { directory.reset(); }

  static std::string path(const std::string& name) { return directory->path() + "/" + name; }

  static void train(const std::string& run, const std::string& options, int processes,
                    int threads) {
    const Outcome outcome = run_program("train --config " + path("run.textproto") +
                                            " --set data.train=" + path("data") + " " + options +
                                            " --output " + path(run),
                                        processes, threads);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  }

  // Everything that must not depend on the layout, step by step.
  static std::vector<std::string> trajectory(const std::string& run) {
    std::vector<std::string> steps;
    for (const auto& record : read_metrics(path(run))) {
      std::string line;
      for (const char* key :
           {"step", "samples", "loss", "loss/total", "norm", "moe/dropped_fraction",
            "moe/tokens_per_expert", "moe/expert_usage", "moe/layers", "eval/loss",
            "eval/moe/router_entropy", "eval/loss_text"}) {
        if (record.contains(key)) line += std::string(key) + "=" + record[key].dump() + " ";
      }
      steps.push_back(line);
    }
    return steps;
  }

  static void expect_same(const std::string& run, const std::string& reference) {
    EXPECT_EQ(trajectory(run), trajectory(reference)) << run << " against " << reference;
    EXPECT_EQ(tensor_hashes(path(run)), tensor_hashes(path(reference)))
        << run << " against " << reference;
  }

  static std::unique_ptr<TemporaryDirectory> directory;
};

std::unique_ptr<TemporaryDirectory> BitEquality::directory;

TEST_F(BitEquality, HoldsForSwitchOnAnyNumberOfProcessesAndThreads) {
  train("switch-1-1", "", 0, 1);
  const auto steps = read_metrics(path("switch-1-1"));
  ASSERT_EQ(steps.size(), 8u);
  std::int64_t dropping = 0, idle = 0;
  for (const auto& step : steps) {
    dropping += step["moe/dropped_fraction"].get<double>() > 0;
    idle += step["moe/dead_experts"].get<std::int64_t>() > 0;
  }
  EXPECT_GT(dropping, 0) << "the case is meant to drop tokens";
  EXPECT_GT(idle, 0) << "the case is meant to leave an expert without tokens";
  // 10 samples in batches of 16: the last batch has six rows of padding only; 58 real targets in
  // rows of 64.
  EXPECT_EQ(steps.back()["eval/samples"], 10);
  EXPECT_EQ(steps.back()["eval/targets"], 580);

  for (const int processes : {1, 2, 3, 4}) {
    for (const int threads : {1, 2}) {
      const std::string run =
          "switch-" + std::to_string(processes) + "-" + std::to_string(threads) + "m";
      train(run, "", processes, threads);
      expect_same(run, "switch-1-1");
    }
  }
}

TEST_F(BitEquality, HoldsForTheDenseModelOnAnyNumberOfProcessesAndThreads) {
  train("dense-1-1", "--set moe.num_experts=0", 1, 1);
  ASSERT_EQ(read_metrics(path("dense-1-1")).size(), 8u);
  for (const int processes : {1, 2, 3, 4}) {
    for (const int threads : {1, 2}) {
      if (processes == 1 && threads == 1) continue;
      const std::string run = "dense-" + std::to_string(processes) + "-" + std::to_string(threads);
      train(run, "--set moe.num_experts=0", processes, threads);
      expect_same(run, "dense-1-1");
    }
  }
}

TEST_F(BitEquality, HoldsInBfloat16) {
  const std::string bfloat16 = "--set train.precision=BFLOAT16 train.steps=4";
  const Outcome first =
      run_program("train --config " + path("run.textproto") + " --set data.train=" + path("data") +
                      " " + bfloat16 + " --output " + path("bf16-1-1"),
                  1, 1);
  ASSERT_EQ(first.exit_code, 0) << first.output;
  struct Team {
    int processes, threads;
  };
  for (const Team team : {Team{1, 3}, Team{2, 1}, Team{3, 2}, Team{4, 1}}) {
    const std::string run =
        "bf16-" + std::to_string(team.processes) + "-" + std::to_string(team.threads);
    train(run, bfloat16, team.processes, team.threads);
    expect_same(run, "bf16-1-1");
  }
}

// Whichever process updates the dense weights, also when that changes at a checkpoint.
TEST_F(BitEquality, HoldsWithTheUpdateSharedOut) {
  const std::string on = " parallel.shard_optimizer=ON", off = " parallel.shard_optimizer=OFF";
  for (const std::string rule :
       {"optimizer.min_dim_size_to_factor=16 train.precision=BFLOAT16",
        "optimizer.name=ADAMW optimizer.learning_rate=0.001",
        "optimizer.name=SGD optimizer.momentum=0.9 optimizer.learning_rate=0.01"}) {
    const std::string options =
        "--set train.steps=3 train.eval_interval=1 train.batch_size=8 model.num_layers=1 "
        "moe.decoder_sparse_step=1 optimizer.gradient_clipping=0.5 " +
        rule;
    const std::string name = rule.substr(10, 8);
    train("alone-" + name, options, 1, 1);
    train("shared-" + name, options + on, 2, 1);
    expect_same("shared-" + name, "alone-" + name);
    train("moved-" + name, options + on + " train.steps=1", 4, 1);
    train("moved-" + name, options + on + " train.steps=2", 3, 1);
    train("moved-" + name, options + off, 2, 1);
    expect_same("moved-" + name, "alone-" + name);
  }
}

TEST_F(BitEquality, HoldsForTheTableOfWhichPiecesGoToWhichExpert) {
  train("table", "--set train.steps=2", 2, 1);
  std::string first;
  for (const int processes : {1, 2, 3, 4}) {
    const std::string table = path("experts-" + std::to_string(processes) + ".tsv");
    const Outcome outcome =
        run_program("evaluate --checkpoint " + path("table") + " --experts " + table, processes, 1);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_NE(outcome.output.find("\ndecoder.block.1, 580 tokens\n"), std::string::npos);
    if (processes == 1) first = read_text(table);
    EXPECT_EQ(read_text(table), first) << processes << " processes";
  }
  EXPECT_GT(std::count(first.begin(), first.end(), '\n'), 1000);
}

TEST_F(BitEquality, SurvivesAStopAndAResumeOnAnotherNumberOfProcesses) {
  train("never-stopped", "", 2, 1);
  struct Move {
    int before, after;
  };
  for (const Move move : {Move{1, 3}, Move{4, 2}, Move{3, 1}}) {
    const std::string run =
        "resumed-" + std::to_string(move.before) + "-" + std::to_string(move.after);
    train(run, "--set train.steps=4", move.before, 1);
    const std::string before = read_text(path(run + "/metrics.jsonl"));
    train(run, "", move.after, 1);
    // The first four records are unchanged, including times: only the steps after the checkpoint
    // were computed.
    EXPECT_EQ(read_text(path(run + "/metrics.jsonl")).substr(0, before.size()), before);
    EXPECT_EQ(read_metrics(path(run)).size(), 8u);
    EXPECT_NE(read_text(path(run + "/log.txt")).find("resumed from step 4"), std::string::npos);
    expect_same(run, "never-stopped");
  }
}

}  // namespace
}  // namespace switchyard::test
