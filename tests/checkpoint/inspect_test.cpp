// `switchyard inspect` as a user sees it: its output and its error messages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "checkpoint/digest.hpp"
#include "checkpoint/save.hpp"
#include "cli/command.hpp"
#include "files/sha256.hpp"
#include "support/errors.hpp"
#include "support/mpi_main.hpp"
#include "support/scratch_directory.hpp"
#include "support/small_state.hpp"

namespace switchyard {
namespace {

using test::fails_with;
using testing::HasSubstr;

class InspectTest : public testing::Test {
 protected:
  InspectTest() : layout_(1, 1, 1, 2), state_(layout_, Rank{0}, 1) {
    checkpoint_ = save_checkpoint(env_, test_world(), layout_, run_.path() + "/checkpoints",
                                  {.step = 12}, state_.tensors());
  }
  static std::string inspect(std::vector<std::string> arguments) {
    testing::internal::CaptureStdout();
    try {
      EXPECT_EQ(inspect_command.run(test_world(), arguments), ExitCode::done);
    } catch (...) {
      EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
      throw;
    }
    return testing::internal::GetCapturedStdout();
  }

  test::ScratchDirectory run_;
  PosixEnv env_;
  Layout layout_;
  test::SmallState state_;
  std::string checkpoint_;
};

TEST_F(InspectTest, PrintsAHashForEachTensorAndOneForAll) {
  std::map<std::string, std::string> expected;
  for (const NamedTensor& tensor : state_.tensors()) expected[tensor.name] = digest_tensor(tensor);
  std::string lines;
  for (const auto& [name, hash] : expected) lines += hash + "  " + name + "\n";
  lines += sha256_hex(lines) + "  all\n";
  EXPECT_EQ(inspect({checkpoint_, "--hash"}), lines);
  EXPECT_EQ(inspect({"--hash", run_.path()}), lines);
}

TEST_F(InspectTest, ListsTensorsOnceAllIsVerified) {
  const std::string text = inspect({run_.path()});
  EXPECT_THAT(text, HasSubstr("step        12"));
  EXPECT_THAT(text, HasSubstr("[40, 6]           960  embedding\n"));
  EXPECT_THAT(text, HasSubstr("[7, 5]           140  experts.1.wo  (expert 1)\n"));
  EXPECT_TRUE(text.ends_with("\nverified\n"));
}

TEST_F(InspectTest, RefusesWhatIsMissingOrDamaged) {
  EXPECT_TRUE(fails_with(ExitCode::usage, "checkpoint", [] { inspect({}); }));
  EXPECT_TRUE(fails_with(ExitCode::usage, "--hsh", [&] { inspect({checkpoint_, "--hsh"}); }));
  EXPECT_TRUE(fails_with(ExitCode::missing_input, "/nowhere", [] { inspect({"/nowhere"}); }));
  env_.truncate(checkpoint_ + "/shard-00000.bin", 64);
  for (const std::string& path : {checkpoint_, run_.path()}) {
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, "", [&] { inspect({path, "--hash"}); }));
  }
}

}  // namespace
}  // namespace switchyard
