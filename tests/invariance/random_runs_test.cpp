// The first contract over the whole option space: a randomly drawn run has the same records and
// tensors on one process as on several, and when it is stopped and continued on others. A failure
// is shrunk to the smallest run that still fails, and printed as commands to paste.
//
// ctest runs a few fixed cases. To run others, or many (a case takes about two seconds):
//   SWITCHYARD_RANDOM_CASES=1500 SWITCHYARD_RANDOM_SEED=1000 random_runs_test
// runs the seeds from 1000 on and stops at the first failure; that seed with one case reproduces
// it.
// failure again.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>

#include "support/option_space.hpp"
#include "support/program.hpp"
#include "support/shrink.hpp"
#include "support/synthetic_text.hpp"

namespace switchyard::test {
namespace {

using nlohmann::json;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value ? std::stoull(value) : otherwise;
}

// One start of the program: its layout, and the step at which it ends.
struct Start {
  int processes, threads;  // 0 processes: without mpirun
  std::int64_t steps;
};

// The single-process run with which the run is compared.
Start alone(const Values& run) {
  return {.processes = 0, .threads = 1, .steps = number(run, "train.steps")};
}

// The starts of the run itself: one, or two with a stop in between.
std::vector<Start> starts(const Values& run) {
  const auto on = [&](const std::string& suffix, std::int64_t steps) {
    return Start{.processes = static_cast<int>(number(run, "processes" + suffix)),
                 .threads = static_cast<int>(number(run, "threads" + suffix)),
                 .steps = steps};
  };
  const std::int64_t steps = number(run, "train.steps"), stop = number(run, "stop_after");
  if (stop == 0) return {on("", steps)};
  return {on("", stop), on("_after", steps)};
}

// The step records without the fields that depend on time or layout: times, traffic, memory.
std::vector<json> steady_records(const std::string& run) {
  std::vector<json> records = read_metrics(run);
  for (json& record : records) {
    for (auto field = record.begin(); field != record.end();) {
      const std::string& key = field.key();
      const bool varies = key.starts_with("time/") || key.starts_with("bytes/") ||
                          key.starts_with("memory/") || key == "seconds" ||
                          key == "tokens_per_second";
      field = varies ? record.erase(field) : std::next(field);
    }
  }
  return records;
}

// "" if all records agree.
std::string first_difference(const std::vector<json>& expected, const std::vector<json>& actual) {
  if (expected.size() != actual.size()) {
    return std::to_string(actual.size()) + " steps instead of " + std::to_string(expected.size());
  }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    for (const auto& [key, value] : expected[i].items()) {
      const json other = actual[i].value(key, json());
      if (other == value) continue;
      return "step " + std::to_string(i + 1) + ": " + key + " is " + other.dump() + " instead of " +
             value.dump();
    }
    if (actual[i].size() > expected[i].size()) {
      return "step " + std::to_string(i + 1) + " has more: " + actual[i].dump();
    }
  }
  return "";
}

std::string first_difference(const std::map<std::string, std::string>& expected,
                             const std::map<std::string, std::string>& actual) {
  std::string first;
  int differing = 0;
  for (const auto& [name, hash] : expected) {
    const auto other = actual.find(name);
    if (name == "all" || (other != actual.end() && other->second == hash)) continue;
    if (differing++ == 0) first = name;
  }
  if (differing == 0) return actual == expected ? "" : "other tensors";
  return std::to_string(differing) + " of " + std::to_string(expected.size() - 1) +
         " tensors differ, " + first + " first";
}

enum class Verdict { holds, refused, breaks, differs };

struct Judgement {
  Verdict verdict;
  std::string reason;
};

class RandomRuns : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory = std::make_unique<TemporaryDirectory>();
    // Little training text, so that longer runs begin a second epoch.
    write_text(path("train.txt"), synthetic_text(60, 20));
    write_text(path("validation.txt"), synthetic_text(50, 20));
    const Outcome prepared =
        run_program("prepare --lines --vocab-size 200 --input " + path("train.txt") +
                    " --validation " + path("validation.txt") + " --output " + path("data"));
    ASSERT_EQ(prepared.exit_code, 0) << prepared.output;
  }
  static void TearDownTestSuite() { directory.reset(); }

  static std::string path(const std::string& name) { return directory->path() + "/" + name; }

  static std::string settings(const Values& run) {
    std::string text;
    for (const std::string& assignment : assignments(run)) text += " " + assignment;
    return text;
  }

  static Outcome train(const Values& run, const Start& start, const std::string& name) {
    return run_program("train --set data.train=" + path("data") + settings(run) + " train.steps=" +
                           std::to_string(start.steps) + " --output " + path(name),
                       start.processes, start.threads);
  }

  // Whether the run gives the same results as on a single process.
  static Judgement judge(const Values& run) {
    for (const char* name : {"alone", "run"}) std::filesystem::remove_all(path(name));
    const Outcome reference = train(run, alone(run), "alone");
    if (reference.exit_code != 0) return {Verdict::refused, reference.output};
    for (const Start& start : starts(run)) {
      const Outcome outcome = train(run, start, "run");
      if (outcome.exit_code != 0) return {Verdict::breaks, outcome.output};
    }
    try {
      return compare("alone", "run");
    } catch (const std::exception& unreadable) {
      return {Verdict::breaks, unreadable.what()};
    }
  }

  static Judgement compare(const std::string& expected, const std::string& actual) {
    std::string difference;
    for (const std::string& part :
         {first_difference(steady_records(path(expected)), steady_records(path(actual))),
          first_difference(tensor_hashes(path(expected)), tensor_hashes(path(actual)))})
      if (!part.empty()) difference += (difference.empty() ? "" : "; ") + part;
    return {difference.empty() ? Verdict::holds : Verdict::differs, difference};
  }

  static std::unique_ptr<TemporaryDirectory> directory;
};

std::unique_ptr<TemporaryDirectory> RandomRuns::directory;

std::string place(const Start& start) {
  return std::to_string(start.processes) + " x " + std::to_string(start.threads);
}

// "3 x 2 to step 1, 1 x 1 to step 4": processes x threads of each start.
std::string course(const Values& run) {
  std::string text;
  for (const Start& start : starts(run)) {
    text += (text.empty() ? "" : ", ") + place(start) + " to step " + std::to_string(start.steps);
  }
  return text;
}

// The options that differ from their simplest value, in the table's order.
std::string what_matters(const OptionSpace& space, const std::vector<std::size_t>& row) {
  const Values run = space.values(row);
  std::string text;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const std::string& name = space.options()[i].name;
    if (row[i] > 0) text += " " + name + "=" + run.at(name);
  }
  return text.empty() ? " nothing" : text;
}

// A shell script that reproduces the difference, with data that are kept.
std::string commands(const Values& run, const std::string& settings, const std::string& data) {
  const auto line = [](const Start& start, const std::string& name) {
    const std::string mpirun =
        start.processes == 0 ? "" : MPIRUN " -n " + std::to_string(start.processes) + " ";
    return "OMP_NUM_THREADS=" + std::to_string(start.threads) + " " + mpirun +
           "$program train --set $options train.steps=" + std::to_string(start.steps) +
           " --output " + name + "\n";
  };
  std::string text = "program=" SWITCHYARD_PROGRAM "\noptions=\"data.train=" + data + settings +
                     "\"\n" + line(alone(run), "alone");
  for (const Start& start : starts(run)) text += line(start, "run");
  return text +
         R"(for run in alone run; do
  grep -oE '"(loss|norm|eval/loss|moe/[^"]*)[^"]*":[^,}]*' $run/metrics.jsonl >$run.txt
  $program inspect $run --hash >>$run.txt
done
diff alone.txt run.txt
)";
}

// The comparison must distinguish these runs.
TEST_F(RandomRuns, AreNotTheSameWithAnotherSeed) {
  const OptionSpace space = run_options();
  Values run = space.values(std::vector<std::size_t>(space.options().size(), 0));
  ASSERT_EQ(train(run, alone(run), "first").exit_code, 0);
  run.at("train.seed") = "2";
  ASSERT_EQ(train(run, alone(run), "second").exit_code, 0);
  EXPECT_EQ(compare("first", "first").verdict, Verdict::holds);
  EXPECT_EQ(compare("first", "second").verdict, Verdict::differs);
}

TEST_F(RandomRuns, HaveTheSameBitsEverywhere) {
  const std::uint64_t cases = from_environment("SWITCHYARD_RANDOM_CASES", 10);
  const std::uint64_t first = from_environment("SWITCHYARD_RANDOM_SEED", 481);
  const OptionSpace space = run_options();
  for (std::uint64_t seed = first; seed < first + cases; ++seed) {
    const std::vector<std::size_t> drawn = space.draw(seed);
    const Values run = space.values(drawn);
    std::cout << "seed " << seed << ": " << course(run) << std::endl;
    const Judgement judgement = judge(run);
    if (judgement.verdict == Verdict::holds) continue;
    std::cout << "  " << judgement.reason << "\n  looking for the smallest run that fails alike"
              << std::endl;
    const auto smallest = shrink(drawn, [&](const std::vector<std::size_t>& row) {
      return judge(space.values(row)).verdict == judgement.verdict;
    });
    const Values smallest_run = space.values(smallest);
    const Judgement again = judge(smallest_run);
    const std::string kept =
        (std::filesystem::temp_directory_path() / "switchyard-random-runs").string();
    std::filesystem::copy(path("data"), kept,
                          std::filesystem::copy_options::recursive |
                              std::filesystem::copy_options::overwrite_existing);
    FAIL() << "seed " << seed << ": " << judgement.reason << "\nthe smallest run that fails alike: "
           << (again.verdict == Verdict::holds ? "it held when tried again" : again.reason)
           << "\nwhat it needs:" << what_matters(space, smallest) << "\n\n"
           << commands(smallest_run, settings(smallest_run), kept);
  }
}

}  // namespace
}  // namespace switchyard::test
