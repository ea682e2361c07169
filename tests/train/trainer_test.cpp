#include "train/trainer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <fstream>
#include <numeric>

#include "base/host.hpp"
#include "checkpoint/run_lock.hpp"
#include "support/fault_env.hpp"
#include "support/mpi_main.hpp"
#include "support/shared_directory.hpp"
#include "tiny_run.hpp"

namespace switchyard {
namespace {

using test::FaultEnv;
using test::SharedDirectory;
using test::TinyRun;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

bool leads() { return test_world().rank() == Rank(0); }

class TrainerTest : public testing::Test {
 protected:
  TinyRun run_on(const Comm& comm, const std::string& name) {
    return {comm, directory_.path() + "/" + name};
  }
  // Compares with a run of six steps that was never stopped, on one process.
  void expect_equal_to_one_process_never_stopped(
      const TinyRun& run, const std::function<void(Settings&)>& change = nullptr) {
    const Comm alone = test_world().split(static_cast<int>(test_world().rank().value), 0);
    if (!leads()) return;
    TinyRun reference = run_on(alone, "reference");
    if (change) change(reference.settings);
    ASSERT_EQ(reference.train(), ExitCode::done);
    EXPECT_EQ(run.trajectory(), reference.trajectory());
    EXPECT_EQ(run.digest(), reference.digest());
  }
  static ExitCode code_of(TinyRun& run, std::string* message = nullptr) {
    try {
      return run.train();
    } catch (const Error& error) {
      if (message) *message = error.what();
      return error.code();
    }
  }

  SharedDirectory directory_{test_world()};
};

TEST_F(TrainerTest, ComputesTheSameNumbersOnAnyNumberOfProcesses) {
  TinyRun run = run_on(test_world(), "run");
  EXPECT_EQ(run.train(), ExitCode::done);
  barrier(test_world());
  EXPECT_EQ(run.records().size(), 6U);
  EXPECT_GT(run.records()[0]["moe/dropped_fraction"], 0) << "the case is meant to drop tokens";
  EXPECT_THAT(run.checkpoint_steps(), ElementsAre(6));
  expect_equal_to_one_process_never_stopped(run);
}

TEST_F(TrainerTest, RecordsRoutingAndExchangeOfEverySparseLayer) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.steps = 2;
  EXPECT_EQ(run.train(), ExitCode::done);
  barrier(test_world());
  const nlohmann::json record = run.records().back();
  for (const char* key :
       {"moe/load_balancing_loss", "moe/z_loss", "moe/dropped_fraction", "moe/load_imbalance",
        "moe/dead_experts", "moe/expert_usage", "moe/router_confidence", "moe/router_entropy",
        "time/a2a_dispatch_ms", "time/a2a_combine_ms", "time/a2a_backward_ms", "time/a2a_wait_ms",
        "bytes/a2a", "eval/loss", "eval/neg_log_perplexity", "eval/ppl", "eval/moe/load_imbalance",
        "eval/moe/router_confidence", "eval/moe/router_entropy"}) {
    EXPECT_TRUE(record.contains(key) && record[key].is_number()) << key;
  }
  EXPECT_EQ(record["eval/neg_log_perplexity"], -record["eval/loss"].get<double>());
  std::int64_t bytes = 0;
  for (const char* list : {"moe/tokens_per_expert", "moe/layers", "time/a2a_layers"}) {
    ASSERT_EQ(record[list].size(), 2U) << list;
    EXPECT_EQ(record[list][0]["layer"], "encoder.block.1");
    EXPECT_EQ(record[list][1]["layer"], "decoder.block.1");
  }
  for (const auto& layer : record["time/a2a_layers"]) {
    bytes += layer["a2a_bytes"].get<std::int64_t>();
    EXPECT_LE(layer["a2a_wait_ms"], layer["a2a_ms"]);
    EXPECT_LE(layer["a2a_ms"], record["time/a2a_ms"]);
  }
  EXPECT_GT(record["time/forward_backward_ms"], 0);
  EXPECT_LT(record["time/forward_backward_ms"], record["time/step_ms"]);
  EXPECT_EQ(record["bytes/a2a"], bytes);
  EXPECT_EQ(bytes > 0, test_world().size() > 1);
}

// The first step, each third, those with an evaluation and the last; all else is in every record.
TEST_F(TrainerTest, RecordsTheTokensOfExpertsNowAndThenAndWithEachEvaluation) {
  const auto change = [](Settings& settings) {
    settings.steps = 11;
    settings.eval_interval = 5;
    settings.routing_log_interval = 3;
    settings.checkpoint_interval = 1;
  };
  TinyRun run = run_on(test_world(), "run");
  change(run.settings);
  run.training.before_example = [&](std::int64_t sample) {
    if (sample == 6 * run.settings.batch_size) run.env.create(RunPaths{run.directory}.stop());
  };
  EXPECT_EQ(run.train(), ExitCode::preempted);
  run.training.before_example = nullptr;
  EXPECT_EQ(run.train(), ExitCode::done);
  barrier(test_world());
  std::vector<std::int64_t> with_tokens;
  for (const nlohmann::json& record : run.records()) {
    if (record.contains("moe/tokens_per_expert"))
      with_tokens.push_back(record["step"].get<std::int64_t>());
    EXPECT_TRUE(record.contains("moe/load_imbalance"));
    EXPECT_EQ(record["moe/layers"].size(), 2U);
    EXPECT_EQ(record["time/a2a_layers"].size(), 2U);
  }
  EXPECT_THAT(with_tokens, ElementsAre(1, 3, 5, 6, 9, 10, 11));
  expect_equal_to_one_process_never_stopped(run, change);
}

TEST_F(TrainerTest, ReadsTheSamplesOfEachStepOnceAndInOrder) {
  TinyRun run = run_on(test_world(), "run");
  std::vector<std::int64_t> read;
  run.training.before_example = [&](std::int64_t sample) { read.push_back(sample); };
  EXPECT_EQ(run.train(), ExitCode::done);
  EXPECT_TRUE(std::ranges::is_sorted(read));
  auto all = all_gather_v(test_world(), std::span<const std::int64_t>(read));
  std::ranges::sort(all);
  std::vector<std::int64_t> expected(static_cast<std::size_t>(6 * run.settings.batch_size));
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(all, expected);
}

TEST_F(TrainerTest, SaysWhereFewerSamplesAreEvaluatedThanWereAskedFor) {
  TinyRun few = run_on(test_world(), "few");
  few.settings.steps = 1;
  few.settings.eval_samples = 60;
  EXPECT_EQ(few.train(), ExitCode::done);
  if (test_world().rank() == Rank{0}) {
    EXPECT_THAT(few.console.str(), HasSubstr("on 50 samples (all there are; 60 were asked for)"));
  }
}

TEST_F(TrainerTest, LowersTheLoss) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.steps = 60;
  run.settings.model.dropout_rate = run.settings.model.moe.expert_dropout_rate = 0;
  run.settings.schedule.learning_rate = 2;
  EXPECT_EQ(run.train(), ExitCode::done);
  const auto records = run.records();
  EXPECT_LT(records.back()["loss"], records.front()["loss"].get<double>() - 0.5);
  EXPECT_LT(records.back()["eval/loss"], records[1]["eval/loss"].get<double>() - 0.5);
}

TEST_F(TrainerTest, GoesOnAsIfItHadNeverStopped) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.steps = 2;
  EXPECT_EQ(run.train(), ExitCode::done);
  run.settings.steps = 6;
  std::int64_t first_read = -1;
  run.training.before_example = [&](std::int64_t sample) {
    if (first_read < 0) first_read = sample;
  };
  EXPECT_EQ(run.train(), ExitCode::done);
  EXPECT_GE(first_read, 2 * run.settings.batch_size)
      << "steps before the checkpoint were taken again";
  if (leads()) {
    EXPECT_THAT(run.console.str(), HasSubstr("resumed from step 2"));
  }
  expect_equal_to_one_process_never_stopped(run);
}

// While the loss falls by at least one; afterwards the two runs diverge, as two seeds do.
TEST_F(TrainerTest, StaysCloseInBfloat16) {
  const auto losses = [&](Precision precision) {
    TinyRun run = run_on(test_world(), precision == Precision::float32 ? "f32" : "bf16");
    run.settings.steps = 30;
    run.settings.eval_interval = 0;
    run.settings.model.precision = precision;
    run.settings.model.dropout_rate = run.settings.model.moe.expert_dropout_rate = 0;
    run.settings.schedule.learning_rate = 1;
    EXPECT_EQ(run.train(), ExitCode::done);
    barrier(test_world());
    std::vector<double> steps;
    for (const auto& record : run.records()) steps.push_back(record["loss"]);
    return steps;
  };
  const std::vector<double> f32 = losses(Precision::float32), bf16 = losses(Precision::bfloat16);
  ASSERT_EQ(f32.size(), bf16.size());
  EXPECT_LT(f32.back(), f32.front() - 1);
  double sum = 0;
  for (std::size_t i = 0; i < f32.size(); ++i) sum += std::abs(f32[i] - bf16[i]);
  EXPECT_GT(sum, 0) << "BFLOAT16 is to round something";
  EXPECT_LT(sum / static_cast<double>(f32.size()), 0.02);
}

// Two steps that keep everything, two that recompute attention weights, two that recompute whole
// blocks.
TEST_F(TrainerTest, MayChangeOnResumeWhatIsComputedAgain) {
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    const std::string name = precision == Precision::bfloat16 ? "bf16" : "f32";
    TinyRun kept = run_on(test_world(), name), again = run_on(test_world(), name + "-again");
    kept.settings.model.precision = again.settings.model.precision = precision;
    EXPECT_EQ(kept.train(), ExitCode::done);
    again.settings.steps = 0;
    for (const Recompute recompute : {Recompute::none, Recompute::attention, Recompute::block}) {
      again.settings.model.recompute = recompute;
      again.settings.steps += 2;
      EXPECT_EQ(again.train(), ExitCode::done);
      barrier(test_world());
    }
    EXPECT_EQ(again.trajectory(), kept.trajectory());
    EXPECT_EQ(again.digest(), kept.digest());
    const auto bytes = [](const TinyRun& run, std::size_t step) {
      return run.records().at(step)["bytes/a2a"].get<std::int64_t>();
    };
    EXPECT_EQ(bytes(again, 3), bytes(kept, 3));
    EXPECT_EQ(4 * bytes(again, 5), 6 * bytes(kept, 5)) << "six transfers instead of four";
    if (leads()) {
      EXPECT_THAT(again.console.str(), HasSubstr("each block in backward"));
      EXPECT_THAT(kept.console.str(), Not(HasSubstr("recompute")));
    }
  }
}

struct Variant {
  const char* name;
  std::function<void(Settings&)> change;
};
class TrainerVariants : public TrainerTest, public testing::WithParamInterface<Variant> {};

// Two steps on one process, two on all, then two on one process again.
TEST_P(TrainerVariants, GoOnOnAnotherNumberOfProcessesAsIfTheyHadNeverStopped) {
  const Comm alone = test_world().split(static_cast<int>(test_world().rank().value), 0);
  TinyRun together = run_on(test_world(), "run"), single = run_on(alone, "run");
  for (TinyRun* run : {&together, &single}) GetParam().change(run->settings);
  if (together.settings.groups > 1 && test_world().size() == 3) return;  // no whole groups
  const auto train_alone_to = [&](std::int64_t steps) {
    single.settings.steps = steps;
    if (leads()) {
      EXPECT_EQ(single.train(), ExitCode::done);
    }
    barrier(test_world());
  };
  train_alone_to(2);
  together.settings.steps = 4;
  EXPECT_EQ(together.train(), ExitCode::done);
  barrier(test_world());
  train_alone_to(6);
  EXPECT_EQ(single.records().size(), 6U);
  expect_equal_to_one_process_never_stopped(single, GetParam().change);
}

constexpr double clipping = 0.25;

void use_adamw(Settings& settings) {
  settings.optimizer = AdamWConfig{.weight_decay = 0.1};
  settings.schedule = {.shape = ScheduleConfig::Shape::cosine,
                       .learning_rate = 0.01,
                       .linear_warmup_steps = 2,
                       .decay_steps = 8};
  settings.gradient_clipping = clipping;
}
void use_momentum(Settings& settings) {
  settings.optimizer = SgdConfig{.momentum = 0.9};
  settings.schedule = {.shape = ScheduleConfig::Shape::constant, .learning_rate = 0.1};
}
void add_losses(Settings& settings) {
  settings.model.extra_loss = {.label_smoothing = 0.1f, .z_loss = 1e-2f};
}
void round_inputs(Settings& settings) { settings.model.precision = Precision::bfloat16; }
void accumulate(Settings& settings) { settings.accumulation_steps = 2; }
void replicate_experts(Settings& settings) {
  settings.model.moe.num_experts = 2;
  settings.groups = 2;
}
void route(Settings& settings, RoutingMethod encoder, RoutingMethod decoder) {
  settings.model.input_length = settings.spans.input_length;
  settings.model.moe.encoder_routing = encoder;
  settings.model.moe.decoder_routing = decoder;
}
void choose_several(Settings& settings) {
  route(settings, RoutingMethod::top2, RoutingMethod::topk);
  settings.model.moe.router_topk = 3;
  settings.model.moe.normalize_gates = true;
  settings.model.moe.drop_policy = DropPolicy::random;
}
void look_at_whole_rows(Settings& settings) {
  route(settings, RoutingMethod::expert_choice, RoutingMethod::ntlb);
  settings.model.moe.ntlb_top_k = 2;
  settings.model.moe.drop_policy = DropPolicy::probs;
}
void mix_softly(Settings& settings) {
  route(settings, RoutingMethod::soft, RoutingMethod::hash);
  settings.model.moe.exploration = Exploration::input_dropout;
}
void balance_by_bias(Settings& settings) {
  settings.model.moe.load_balancing = LoadBalancing::bias;
  settings.model.moe.bias_update_rate = 0.05;
  settings.optimizer = AdamWConfig{.weight_decay = 0.1};
}
void balance_globally(Settings& settings) {
  settings.model.moe.aux_loss_scope = AuxLossScope::global;
  settings.model.moe.aux_loss_reduction = AuxLossReduction::mean;
  settings.model.moe.exploration = Exploration::sample;
}

INSTANTIATE_TEST_SUITE_P(
    Options, TrainerVariants,
    testing::Values(Variant{"SeveralChoices", choose_several},
                    Variant{"WholeRows", look_at_whole_rows}, Variant{"Soft", mix_softly},
                    Variant{"BalancedByBias", balance_by_bias},
                    Variant{"BalancedGlobally", balance_globally}, Variant{"AdamW", use_adamw},
                    Variant{"ExpertReplicas", replicate_experts},
                    Variant{"Accumulation", accumulate}, Variant{"ExtraLosses", add_losses},
                    Variant{"Bfloat16", round_inputs}, Variant{"Momentum", use_momentum}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(TrainerTest, ClipsTheGradientsThatTheRuleSees) {
  TinyRun run = run_on(test_world(), "run"), unclipped = run_on(test_world(), "unclipped");
  for (TinyRun* each : {&run, &unclipped}) {
    use_momentum(each->settings);
    each->settings.steps = 1;
  }
  run.settings.gradient_clipping = clipping;
  EXPECT_EQ(run.train(), ExitCode::done);
  EXPECT_EQ(unclipped.train(), ExitCode::done);
  barrier(test_world());
  EXPECT_GT(run.records()[0]["norm"], clipping) << "the case is meant to clip";
  EXPECT_EQ(run.records()[0]["norm"], unclipped.records()[0]["norm"]);
  EXPECT_NE(run.digest(), unclipped.digest());
}

TEST_F(TrainerTest, RecordsEachStepOnceAfterAKill) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.checkpoint_interval = 2;
  EXPECT_EQ(run.train(), ExitCode::done);
  const RunPaths paths{run.directory};
  if (leads()) {  // as if killed in step 5 while a line was being written
    run.env.remove_tree(paths.checkpoints() + "/" + checkpoint_name(6));
    run.env.remove_tree(paths.checkpoints() + "/" + checkpoint_name(4));
    run.env.truncate(paths.metrics(), run.env.file_size(paths.metrics()) - 40);
  }
  barrier(test_world());
  EXPECT_EQ(run.train(), ExitCode::done);
  expect_equal_to_one_process_never_stopped(run);
}

TEST_F(TrainerTest, ObeysTheStopFileAndMakesUpForTheEvaluation) {
  TinyRun run = run_on(test_world(), "run");
  const std::string stop = RunPaths{run.directory}.stop();
  run.training.before_example = [&](std::int64_t sample) {
    if (sample == run.settings.batch_size)
      std::ofstream(stop) << "";  // read in step 2 by process 0
  };
  EXPECT_EQ(run.train(), ExitCode::preempted);
  barrier(test_world());
  EXPECT_FALSE(run.env.exists(stop));
  EXPECT_THAT(run.checkpoint_steps(), ElementsAre(2));
  EXPECT_EQ(run.records().size(), 2U);
  EXPECT_FALSE(run.records().back().contains("eval/loss")) << "a stop is to save at once";
  if (leads()) {
    EXPECT_THAT(run.console.str(), HasSubstr("go on with: switchyard train --output RUN"));
  }
  barrier(test_world());

  run.training.before_example = nullptr;
  EXPECT_EQ(run.train(), ExitCode::done);
  expect_equal_to_one_process_never_stopped(run);
}

TEST_F(TrainerTest, StopsOnAllProcessesWhenOneIsSignalled) {
  TinyRun run = run_on(test_world(), "run");
  const std::int64_t last_of_step_3 = 3 * run.settings.batch_size - 1;  // the last process reads it
  run.training.before_example = [&](std::int64_t sample) {
    if (sample == last_of_step_3) std::raise(SIGUSR1);
  };
  EXPECT_EQ(run.train(), ExitCode::preempted);
  EXPECT_THAT(run.checkpoint_steps(), ElementsAre(3));
}

TEST_F(TrainerTest, StopsWhenItsTimeIsOver) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.max_minutes = 1e-9;
  EXPECT_EQ(run.train(), ExitCode::preempted);
  EXPECT_THAT(run.checkpoint_steps(), ElementsAre(1));
}

// The signals' flag lives as long as a TinyRun, so each start has its own.
TEST_F(TrainerTest, StopsBeforeTheFirstStepWhenItWasAskedTo) {
  {
    TinyRun run = run_on(test_world(), "run");
    std::raise(SIGTERM);
    EXPECT_EQ(run.train(), ExitCode::preempted);
    EXPECT_THAT(run.checkpoint_steps(), ElementsAre());
    if (leads()) {
      EXPECT_THAT(run.console.str(), HasSubstr("stopped before the first step (asked by a signal); "
                                               "go on with: switchyard train --output RUN"));
    }
  }
  {
    TinyRun run = run_on(test_world(), "run");
    run.settings.steps = 2;
    EXPECT_EQ(run.train(), ExitCode::done);
    run.settings.steps = 6;
    std::raise(SIGHUP);
    EXPECT_EQ(run.train(), ExitCode::preempted);
    EXPECT_THAT(run.checkpoint_steps(), ElementsAre(2));
  }
  TinyRun run = run_on(test_world(), "run");
  EXPECT_EQ(run.train(), ExitCode::done);
  expect_equal_to_one_process_never_stopped(run);
}

// The stop is requested during the first of two evaluation batches, either after step 2 or after
// the last step.
TEST_F(TrainerTest, StopsDuringAnEvaluationAndMakesUpForIt) {
  for (const std::int64_t step : {2, 6}) {
    const std::string name = "stopped-" + std::to_string(step);
    {
      TinyRun run = run_on(test_world(), name);
      std::int64_t evaluations = 0;
      run.validation.before_example = [&](std::int64_t sample) {
        if (sample == 0 && 2 * ++evaluations == step) std::raise(SIGUSR1);
      };
      EXPECT_EQ(run.train(), ExitCode::preempted);
      barrier(test_world());
      EXPECT_THAT(run.checkpoint_steps(), ElementsAre(step));
      EXPECT_EQ(run.records().size(), static_cast<std::size_t>(step));
      EXPECT_FALSE(run.records().back().contains("eval/loss"));
    }
    TinyRun run = run_on(test_world(), name);
    EXPECT_EQ(run.train(), ExitCode::done);
    barrier(test_world());
    EXPECT_TRUE(run.records().back().contains("eval/loss"));
    EXPECT_EQ(run.train(), ExitCode::done);
    if (leads()) {
      EXPECT_THAT(run.console.str(), HasSubstr("nothing left to do"));
    }
    expect_equal_to_one_process_never_stopped(run);
  }
}

TEST_F(TrainerTest, StopsAfterASaveThatWasUnderWay) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.checkpoint_interval = 2;
  int saves = 0;
  FaultEnv disk([&](const std::string& operation) {
    if (operation.starts_with("rename ") && operation.ends_with("/step-00000002")) {
      ++saves;
      std::raise(SIGTERM);
    }
    return false;
  });
  run.disk = &disk;
  EXPECT_EQ(run.train(), ExitCode::preempted);
  barrier(test_world());
  EXPECT_THAT(run.checkpoint_steps(), ElementsAre(2));
  EXPECT_EQ(run.records().size(), 2U) << "no further step was taken";
  if (leads()) {
    EXPECT_EQ(saves, 1);
  }
}

// A disk that is full when the last process writes its shard at the given steps.
FaultEnv disk_that_refuses_to_save(const std::string& steps) {
  const std::string shard = "/shard-0000" + std::to_string(test_world().size() - 1) + ".bin";
  return FaultEnv([=](const std::string& operation) {
    const std::size_t at = operation.find("/step-0000000");
    return operation.starts_with("append ") && operation.ends_with(shard) &&
           steps.find(operation[at + 13]) != std::string::npos;
  });
}

TEST_F(TrainerTest, GoesOnWhereASaveFailsAndSavesTheNext) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.checkpoint_interval = 1;
  FaultEnv disk = disk_that_refuses_to_save("1245");
  run.disk = &disk;
  EXPECT_EQ(run.train(), ExitCode::done);
  barrier(test_world());
  EXPECT_THAT(run.checkpoint_steps(), ElementsAre(6, 3));
  if (leads()) {
    EXPECT_THAT(run.console.str(),
                HasSubstr("warning: step 4 is not saved (failure 1 in a row, 3 end the run): "));
    EXPECT_THAT(run.console.str(), HasSubstr("failure 2 in a row"));
    EXPECT_THAT(run.console.str(), HasSubstr("training goes on, and step 5 is to be saved"));
  }
  expect_equal_to_one_process_never_stopped(
      run, [](Settings& settings) { settings.checkpoint_interval = 1; });
}

TEST_F(TrainerTest, EndsAfterThreeFailedSavesInARow) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.checkpoint_interval = 1;
  FaultEnv disk = disk_that_refuses_to_save("2345");
  run.disk = &disk;
  std::string message;
  EXPECT_EQ(code_of(run, &message), ExitCode::io_error);
  EXPECT_THAT(message, HasSubstr("3 saves in a row failed, the last at step 4: "));
  EXPECT_THAT(run.checkpoint_steps(), ElementsAre(1));
  barrier(test_world());
  run.disk = &run.env;
  EXPECT_EQ(run.train(), ExitCode::done);
  expect_equal_to_one_process_never_stopped(
      run, [](Settings& settings) { settings.checkpoint_interval = 1; });
}

TEST_F(TrainerTest, EndsWhereTheLastStepOrThatOfAStopCannotBeSaved) {
  FaultEnv disk = disk_that_refuses_to_save("36");
  TinyRun last = run_on(test_world(), "last"), stopped = run_on(test_world(), "stopped");
  last.disk = stopped.disk = &disk;
  std::string message;
  EXPECT_EQ(code_of(last, &message), ExitCode::io_error);
  EXPECT_THAT(message, HasSubstr("step 6 could not be saved: "));
  stopped.training.before_example = [&](std::int64_t sample) {
    if (sample == 2 * stopped.settings.batch_size) std::raise(SIGUSR1);
  };
  EXPECT_EQ(code_of(stopped, &message), ExitCode::io_error);
  EXPECT_THAT(message, HasSubstr("step 3 could not be saved: "));
  EXPECT_THAT(stopped.checkpoint_steps(), ElementsAre());
}

// The disk with metrics.jsonl is full while `full` is true; checkpoints are on another disk.
class TrainerWithAFullDisk : public TrainerTest {
 protected:
  bool full_ = false;
  FaultEnv disk_{[this](const std::string& operation) {
    return full_ && operation.ends_with("/metrics.jsonl");
  }};
};

TEST_F(TrainerWithAFullDisk, RecordsEachStepOnceThereIsRoomAgain) {
  TinyRun run = run_on(test_world(), "run");
  run.disk = &disk_;
  run.settings.checkpoint_interval = 2;
  run.training.before_example = [&](std::int64_t sample) {
    const std::int64_t step = sample / run.settings.batch_size + 1;
    full_ = step >= 2 && step <= 4;
  };
  EXPECT_EQ(run.train(), ExitCode::done);
  barrier(test_world());
  EXPECT_THAT(run.checkpoint_steps(), ElementsAre(6, 4, 2));
  if (leads()) {
    const std::string console = run.console.str();
    const std::string warning = "warning: the run goes on, but injected fault: ";
    EXPECT_THAT(console, HasSubstr(warning));
    EXPECT_EQ(console.find(warning, console.find(warning) + 1), std::string::npos);
    EXPECT_THAT(console, HasSubstr("metrics.jsonl is written again, and no step is missing"));
  }
  expect_equal_to_one_process_never_stopped(run);
}

TEST_F(TrainerWithAFullDisk, TakesTheRecordsOfAStoppedRunFromItsCheckpoint) {
  {
    TinyRun run = run_on(test_world(), "run");
    run.disk = &disk_;
    run.training.before_example = [&](std::int64_t sample) {
      full_ = sample >= run.settings.batch_size;
      if (sample == 2 * run.settings.batch_size) std::raise(SIGTERM);
    };
    EXPECT_EQ(run.train(), ExitCode::preempted);
    barrier(test_world());
    EXPECT_EQ(last_record(run.env, RunPaths{run.directory}.metrics())->step(), 1);
  }
  full_ = false;
  TinyRun run = run_on(test_world(), "run");
  EXPECT_EQ(run.train(), ExitCode::done);
  expect_equal_to_one_process_never_stopped(run);
}

TEST_F(TrainerWithAFullDisk, SavesAllStepsThenEndsWith74) {
  TinyRun run = run_on(test_world(), "run");
  run.disk = &disk_;
  run.training.before_example = [&](std::int64_t sample) {
    full_ = sample >= 3 * run.settings.batch_size;
  };
  std::string message;
  EXPECT_EQ(code_of(run, &message), ExitCode::io_error);
  EXPECT_THAT(message, HasSubstr("the last checkpoint has all steps, but "));
  EXPECT_THAT(run.checkpoint_steps(), ElementsAre(6));
  barrier(test_world());
  full_ = false;
  EXPECT_EQ(run.train(), ExitCode::done);
  barrier(test_world());
  EXPECT_EQ(run.train(), ExitCode::done);
  if (leads()) {
    EXPECT_THAT(run.console.str(), HasSubstr("nothing left to do"));
  }
  expect_equal_to_one_process_never_stopped(run);
}

TEST_F(TrainerTest, MakesItsDirectoryDurableWithAllParents) {
  TinyRun run = run_on(test_world(), "a/b/run");
  run.settings.steps = 1;
  FaultEnv disk;
  run.disk = &disk;
  EXPECT_EQ(run.train(), ExitCode::done);
  if (!leads()) return;
  for (const char* parent : {"", "/a", "/a/b"}) {
    EXPECT_THAT(disk.operations(),
                testing::Contains("sync_directory " + directory_.path() + parent));
  }
}

TEST_F(TrainerTest, SaysWhenNothingIsLeftToDo) {
  TinyRun run = run_on(test_world(), "run");
  EXPECT_EQ(run.train(), ExitCode::done);
  const auto before = run.records();
  barrier(test_world());
  EXPECT_EQ(run.train(), ExitCode::done);
  EXPECT_EQ(run.records(), before);
  if (leads()) {
    EXPECT_THAT(run.console.str(), HasSubstr("nothing left to do"));
  }
}

// Removes the checkpoints and keeps metrics.jsonl.
void remove_checkpoints(const TinyRun& run, Env& env) {
  barrier(test_world());
  const std::string checkpoints = RunPaths{run.directory}.checkpoints();
  if (leads())
    for (const std::string& name : env.list_directory(checkpoints))
      env.remove_tree(checkpoints + "/" + name);
  barrier(test_world());
}

TEST_F(TrainerTest, DoesNotTakeARunThatLostItsCheckpointsForANewOne) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.steps = 2;
  EXPECT_EQ(run.train(), ExitCode::done);
  const RunPaths paths{run.directory};
  const auto before = run.records();
  remove_checkpoints(run, run.env);
  for (const bool with_record : {true, false}) {  // without: as earlier versions left the run
    if (leads() && !with_record) run.env.remove_file(paths.saved());
    barrier(test_world());
    std::string message;
    EXPECT_EQ(code_of(run, &message), ExitCode::damaged_data);
    EXPECT_THAT(message, HasSubstr("has saved checkpoints"));
    EXPECT_THAT(message, HasSubstr(with_record ? paths.saved() + " names step-00000002"
                                               : paths.log() + " says: saved "));
    EXPECT_EQ(run.records(), before);
    barrier(test_world());
  }
  run.restart = true;
  run.settings.steps = 1;
  EXPECT_EQ(run.train(), ExitCode::done);
  barrier(test_world());
  EXPECT_EQ(run.records().size(), 1U);
  if (leads()) {
    EXPECT_THAT(run.console.str(), HasSubstr("begins again at step 1, as --restart says"));
  }
  std::string message;
  EXPECT_EQ(code_of(run, &message), ExitCode::usage);
  EXPECT_THAT(message, HasSubstr("step-00000001 is there"));
}

TEST_F(TrainerTest, BeginsAgainAfterAKillBeforeItsFirstCheckpointAndSaysSo) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.checkpoint_interval = 0;
  run.training.before_example = [&](std::int64_t sample) {
    if (sample >= 3 * run.settings.batch_size) throw Error(ExitCode::io_error, "as if killed");
  };
  EXPECT_EQ(code_of(run), ExitCode::io_error);
  barrier(test_world());
  run.training.before_example = nullptr;
  EXPECT_EQ(run.train(), ExitCode::done);
  if (leads()) {
    EXPECT_THAT(run.console.str(), HasSubstr("ended before its first checkpoint"));
  }
  expect_equal_to_one_process_never_stopped(run);
}

// --restart is remembered: after a kill before the next checkpoint it need not be given again.
TEST_F(TrainerTest, RemembersThatItWasToldToBeginAgain) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.steps = 1;
  EXPECT_EQ(run.train(), ExitCode::done);
  remove_checkpoints(run, run.env);
  run.restart = true;
  run.training.before_example = [](std::int64_t) { throw Error(ExitCode::io_error, "killed"); };
  EXPECT_EQ(code_of(run), ExitCode::io_error);
  barrier(test_world());
  run.restart = false;
  run.training.before_example = nullptr;
  EXPECT_EQ(run.train(), ExitCode::done);
}

TEST_F(TrainerTest, WarnsWhereASavedCheckpointIsMissing) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.checkpoint_interval = 2;
  EXPECT_EQ(run.train(), ExitCode::done);
  barrier(test_world());
  if (leads())
    run.env.remove_tree(RunPaths{run.directory}.checkpoints() + "/" + checkpoint_name(6));
  barrier(test_world());
  EXPECT_EQ(run.train(), ExitCode::done);
  if (leads()) {
    EXPECT_THAT(run.console.str(), HasSubstr("warning: the run has saved step 6"));
    EXPECT_THAT(run.console.str(), HasSubstr("the newest is of step 4"));
  }
}

TEST_F(TrainerTest, IsKeptOutOfADirectoryThatIsNoRun) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.steps = 1;
  const auto add = [&](const std::string& name) {
    barrier(test_world());
    if (leads()) run.env.make_directories(run.directory + "/" + name);
    barrier(test_world());
  };
  for (const char* name : {"checkpoints", "study.txt", "hugging_face", "lost+found", ".cache"})
    add(name);
  add("thesis");
  std::string message;
  EXPECT_EQ(code_of(run, &message), ExitCode::output_not_writable);
  EXPECT_THAT(message, HasSubstr(run.directory + " is no run, and holds thesis"));
  barrier(test_world());
  EXPECT_EQ(run.env.list_directory(run.directory).size(), 6U) << "it wrote something";
  barrier(test_world());
  if (leads()) run.env.remove_tree(run.directory + "/thesis");
  barrier(test_world());
  EXPECT_EQ(run.train(), ExitCode::done);
  add("thesis");  // in a run it is the user's own
  run.settings.steps = 2;
  EXPECT_EQ(run.train(), ExitCode::done);
}

TEST_F(TrainerTest, FindsAtItsStartThatARunIsNotShared) {
  if (test_world().size() == 1) GTEST_SKIP() << "one process shares with nobody";
  const test::ScratchDirectory own;
  PosixEnv env;
  Log silent(nullptr);
  const bool last = test_world().rank().value == test_world().size() - 1;
  const std::string path = last ? own.path() + "/run" : directory_.path() + "/run";
  try {
    const RunDirectory run(env, test_world(), path, silent, std::chrono::milliseconds(0));
    ADD_FAILURE() << "it was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::output_not_writable);
    EXPECT_THAT(error.what(), HasSubstr("on " + host_name() + ", "));
    EXPECT_THAT(error.what(), HasSubstr("is not the directory that process 0"));
  }
}

TEST_F(TrainerTest, IsTurnedAwayFromALockedRun) {
  TinyRun run = run_on(test_world(), "run");
  std::optional<RunLock> other;
  if (leads()) {
    run.env.make_directories(run.directory);
    other.emplace(run.directory);
  }
  barrier(test_world());
  std::string message;
  EXPECT_EQ(code_of(run, &message), ExitCode::output_not_writable);
  EXPECT_THAT(message, HasSubstr("in use by process"));
  EXPECT_FALSE(run.env.exists(RunPaths{run.directory}.metrics()));
}

TEST_F(TrainerTest, GivesUpOnNonFiniteNumbersAndKeepsTheGoodCheckpoint) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.steps = 2;
  EXPECT_EQ(run.train(), ExitCode::done);
  run.settings.steps = 6;
  run.settings.checkpoint_interval = 4;
  run.settings.schedule.learning_rate = 1e30;
  EXPECT_EQ(code_of(run), ExitCode::diverged);
  barrier(test_world());
  EXPECT_THAT(run.checkpoint_steps(), ElementsAre(2));
  EXPECT_EQ(run.records().back()["nonfinite"], true);
  barrier(test_world());

  run.settings.schedule.learning_rate = 0.5;
  run.settings.checkpoint_interval = 0;
  EXPECT_EQ(run.train(), ExitCode::done);
  expect_equal_to_one_process_never_stopped(run);
}

TEST_F(TrainerTest, RefusesToGoOnWithAnotherRun) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.steps = 1;
  EXPECT_EQ(run.train(), ExitCode::done);
  run.settings.steps = 2;
  run.changes = {"model.d_model: 16 -> 32"};
  std::string message;
  EXPECT_EQ(code_of(run, &message), ExitCode::mismatch);
  EXPECT_THAT(message, HasSubstr("model.d_model: 16 -> 32"));
  run.changes.clear();
  run.tokenizer_digest = "another";
  EXPECT_EQ(code_of(run, &message), ExitCode::mismatch);
  EXPECT_THAT(message, HasSubstr("another tokenizer: it is SHA-256 another, not tokenizer"));
  EXPECT_EQ(run.records().size(), 1U);
}

TEST_F(TrainerTest, SaysWhereTheCopiesOfAnExpertAre) {
  if (test_world().size() == 3) return;
  TinyRun run = run_on(test_world(), "run");
  replicate_experts(run.settings);
  run.settings.steps = 1;
  EXPECT_EQ(run.train(), ExitCode::done);
  if (!leads()) return;
  const char* experts[] = {"experts 0-1 of replica groups 0-1", "experts 0-1 of replica group 0",
                           "", "expert 0 of replica group 0"};
  EXPECT_THAT(run.console.str(), HasSubstr("4 virtual ranks in 2 replica groups on"));
  EXPECT_THAT(run.console.str(), HasSubstr(experts[test_world().size() - 1]));
}

TEST_F(TrainerTest, LeavesWhatMadeItInTheRun) {
  TinyRun run = run_on(test_world(), "run");
  run.settings.steps = 1;
  EXPECT_EQ(run.train(), ExitCode::done);
  barrier(test_world());
  const RunPaths paths{run.directory};
  EXPECT_EQ(read_file(run.env, paths.config(), 100), "made up");
  const std::string build = read_file(run.env, paths.build(), 10000);
  EXPECT_THAT(build, HasSubstr("a test"));
  EXPECT_THAT(build, HasSubstr("process 0 on here"));
  EXPECT_THAT(read_file(run.env, paths.log(), 10000), HasSubstr("step     1/1"));
}

}  // namespace
}  // namespace switchyard
