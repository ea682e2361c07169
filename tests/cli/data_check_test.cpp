// data.verify on the whole program: when the files of prepared data are read at start, what a host
// remembers of them, and that damage is found.
#include "cli/data_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/program.hpp"
#include "support/synthetic_text.hpp"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

TEST(ReadingText, SaysHowMuchIsReadWhereThatTakesLong) {
  EXPECT_EQ(reading_text(0), "");
  EXPECT_EQ(reading_text(999'999'999), "");
  EXPECT_THAT(reading_text(812'345'678'901), AllOf(HasSubstr("812 GB"), HasSubstr("data.verify")));
}

// Each test has data of its own and starts in its directory.
class DataVerify : public testing::Test {
 protected:
  DataVerify() {
    fs::current_path(directory_.path());
    write_text("text.txt", synthetic_text(200, 30));
    write_text("run.textproto",
               "model { d_model: 16 d_ff: 16 num_heads: 2 num_layers: 1 } moe { num_experts: 0 } "
               "parallel { virtual_ranks: 4 } data { input_length: 32 } "
               "train { batch_size: 4 eval_samples: 4 tensorboard: false }");
    EXPECT_EQ(prepare("data").exit_code, 0);
  }
  ~DataVerify() override { fs::current_path("/"); }

  static Outcome prepare(const std::string& output, const std::string& more = "--vocab-size 300") {
    return run_program("prepare --lines --input text.txt " + more + " --output " + output);
  }

  // One start of a new run, or of the run `kept`, with one step more than before.
  Outcome start(const std::string& options = "", int processes = 0, const std::string& kept = "") {
    const std::string run = kept.empty() ? "run" : kept;
    if (kept.empty()) fs::remove_all(run);
    return run_program("train --config run.textproto --set data.train=" + data_ + " train.steps=" +
                           std::to_string(++steps_) + " " + options + " --output " + run,
                       processes);
  }
  static void expect_started(const Outcome& outcome) {
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  }
  static void expect_found(const Outcome& outcome, const std::string& file) {
    EXPECT_EQ(outcome.exit_code, 65) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(file + " is damaged: its SHA-256"));
  }

  // Turns the first token into its neighbour, or back, in place; ids stay within the vocabulary.
  static void flip(const std::string& file) {
    std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
    const int first = bytes.get();
    bytes.seekp(0);
    bytes.put(static_cast<char>(first ^ 1));
  }
  // The same, while size and time stay.
  static void flip_unnoticed(const std::string& file) {
    const auto time = fs::last_write_time(file);
    flip(file);
    fs::last_write_time(file, time);
  }
  // The path of the stamp in a directory; "" where there is none.
  static std::string stamp(const std::string& folder) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      const std::string name = entry.path().filename();
      if (name.starts_with(".verified-") && !name.ends_with(".tmp")) return entry.path();
    }
    return "";
  }

  TemporaryDirectory directory_;
  std::string data_ = "data";

 private:
  int steps_ = 0;
};

TEST_F(DataVerify, OnceIsTheDefaultAndReadsAgainWhatHasChanged) {
  expect_started(start());
  ASSERT_NE(stamp("data"), "");
  EXPECT_EQ(stamp("run"), "");
  const auto written = fs::last_write_time(stamp("data"));
  flip_unnoticed("data/train.bin");
  expect_started(start());
  expect_started(start("", 2));
  EXPECT_EQ(fs::last_write_time(stamp("data")), written);
  flip_unnoticed("data/train.bin");
  flip("data/validation.bin");
  expect_found(start(), "data/validation.bin");
  expect_found(start("", 3), "data/validation.bin");
  flip("data/validation.bin");
  expect_started(start());  // whole again, with a new time
  flip_unnoticed("data/validation.bin");
  expect_started(start());
}

TEST_F(DataVerify, AlwaysFindsWhatKeptItsSizeAndTime) {
  expect_started(start("data.verify=always"));
  EXPECT_EQ(stamp("data"), "");
  expect_started(start());
  flip_unnoticed("data/train.bin");
  expect_started(start());
  expect_found(start("data.verify=ALWAYS"), "data/train.bin");
  expect_found(start("data.verify=ALWAYS", 2), "data/train.bin");
}

TEST_F(DataVerify, NeverReadsNoneAndStillChecksSizes) {
  flip("data/train.bin");
  expect_started(start("data.verify=NEVER"));
  EXPECT_EQ(stamp("data"), "");
  EXPECT_EQ(stamp("run"), "");
  expect_found(start(), "data/train.bin");
  EXPECT_EQ(stamp("data"), "");
  fs::resize_file("data/train.bin", fs::file_size("data/train.bin") - 2);
  EXPECT_EQ(start("data.verify=NEVER").exit_code, 65);
}

TEST_F(DataVerify, FindsDamageInEachFileOnAnyProcesses) {
  ASSERT_EQ(prepare("other", "--tokenizer data/tokenizer.model").exit_code, 0);
  expect_started(start("data.validation=other"));
  EXPECT_NE(stamp("other"), "");
  for (const std::string file :
       {"data/train.bin", "data/validation.bin", "other/train.bin", "other/validation.bin"}) {
    flip(file);
    for (const int processes : {0, 2, 4})
      expect_found(start("data.validation=other", processes), file);
    flip(file);
  }
}

TEST_F(DataVerify, TrustsNoStampOfOtherFilesAndNoDamagedOne) {
  expect_started(start());
  const std::string whole = read_text(stamp("data")), path = stamp("data");
  fs::copy("data", "copy", fs::copy_options::recursive);
  flip_unnoticed("copy/train.bin");
  data_ = "copy";
  expect_found(start(), "copy/train.bin");
  data_ = "data";
  flip_unnoticed("data/train.bin");
  expect_started(start());
  for (const std::string& hostile :
       {std::string(), whole.substr(0, whole.size() / 2), std::string(1 << 20, '\0'),
        std::string("\x7f"
                    "ELF\n")}) {
    write_text(path, hostile);
    expect_found(start(), "data/train.bin");
  }
  flip_unnoticed("data/train.bin");
  expect_started(start());
  EXPECT_EQ(read_text(path), whole);
}

// Even root cannot write a stamp here, since the name of its temporary file is taken.
TEST_F(DataVerify, RemembersInTheRunWhereTheDataCannotBeWrittenTo) {
  expect_started(start());
  const std::string in_the_way = stamp("data") + ".tmp";
  fs::remove(stamp("data"));
  fs::create_directories(in_the_way + "/full");
  expect_started(start("", 2, "kept"));
  EXPECT_EQ(stamp("data"), "");
  ASSERT_NE(stamp("kept"), "");
  flip_unnoticed("data/train.bin");
  expect_started(start("", 0, "kept"));
  expect_found(start(), "data/train.bin");  // another run, which remembers nothing
  write_text(stamp("kept"), "damaged");
  expect_found(start("", 0, "kept"), "data/train.bin");
}

}  // namespace
}  // namespace switchyard::test
