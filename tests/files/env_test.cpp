#include "files/env.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/lfs_pointer.hpp"
#include "support/errors.hpp"
#include "support/fault_env.hpp"
#include "support/scratch_directory.hpp"

namespace switchyard {
namespace {

using test::fails_with;
using testing::ElementsAre;

class PosixEnvTest : public testing::Test {
 protected:
  std::string at(const std::string& name) const { return scratch_.path() + "/" + name; }
  void write(const std::string& name, std::string_view text) {
    const auto file = env_.create(at(name));
    file->append(std::as_bytes(std::span(text)));
    file->sync();
    file->close();
  }
  std::string read(const std::string& name) const { return read_file(env_, at(name), 1 << 20); }

  test::ScratchDirectory scratch_;
  PosixEnv env_;
};

TEST_F(PosixEnvTest, CreatesAppendsShortensRenamesAndRemoves) {
  write("a", "hello");
  const auto more = env_.open_for_append(at("a"));
  more->append(std::as_bytes(std::span(std::string_view(" world"))));
  more->close();
  EXPECT_EQ(read("a"), "hello world");
  EXPECT_EQ(env_.file_size(at("a")), 11);
  env_.truncate(at("a"), 5);
  env_.rename(at("a"), at("b"));
  EXPECT_EQ(read("b"), "hello");
  EXPECT_FALSE(env_.exists(at("a")));
  env_.remove_file(at("b"));
  env_.remove_file(at("b"));
  EXPECT_FALSE(env_.exists(at("b")));
}

TEST_F(PosixEnvTest, NeverOverwritesOrFollowsALinkOnCreation) {
  write("a", "precious");
  ASSERT_EQ(symlink(at("elsewhere").c_str(), at("link").c_str()), 0);
  EXPECT_TRUE(fails_with(ExitCode::io_error, at("a"), [&] { env_.create(at("a")); }));
  EXPECT_TRUE(fails_with(ExitCode::io_error, at("link"), [&] { env_.create(at("link")); }));
  EXPECT_EQ(read("a"), "precious");
  EXPECT_FALSE(env_.exists(at("elsewhere")));
}

TEST_F(PosixEnvTest, ReadsAnyRangeAndNoticesTheEnd) {
  write("a", "0123456789");
  const auto file = env_.open(at("a"));
  EXPECT_EQ(file->size(), 10);
  std::string part(4, ' ');
  file->read_at(3, std::as_writable_bytes(std::span(part)));
  EXPECT_EQ(part, "3456");
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, at("a") + " ends at byte 10",
                         [&] { file->read_at(8, std::as_writable_bytes(std::span(part))); }));
}

TEST_F(PosixEnvTest, NamesPathAndReasonOfEachFailure) {
  write("file", "x");
  EXPECT_TRUE(fails_with(ExitCode::missing_input, at("none") + ": No such file",
                         [&] { env_.open(at("none")); }));
  EXPECT_TRUE(fails_with(ExitCode::missing_input, at("none"), [&] { env_.file_size(at("none")); }));
  EXPECT_TRUE(
      fails_with(ExitCode::missing_input, at("none"), [&] { env_.list_directory(at("none")); }));
  EXPECT_TRUE(fails_with(ExitCode::output_not_writable, "Not a directory",
                         [&] { env_.create(at("file/inside")); }));
  EXPECT_TRUE(fails_with(ExitCode::output_not_writable, at("file/inside"),
                         [&] { env_.make_directories(at("file/inside")); }));
  EXPECT_TRUE(fails_with(ExitCode::io_error, "No space left on device", [] {
    const std::string text = "x";
    PosixEnv().open_for_append("/dev/full")->append(std::as_bytes(std::span(text)));
  }));
  ASSERT_EQ(mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_TRUE(
      fails_with(ExitCode::damaged_data, "not a regular file", [&] { env_.open(at("pipe")); }));
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "directory", [&] { env_.open(scratch_.path()); }));
}

TEST_F(PosixEnvTest, ListsAndRemovesTrees) {
  env_.make_directories(at("x/y/z"));
  env_.make_directories(at("x/y/z"));
  write("x/b", "");
  write("x/a", "");
  EXPECT_THAT(env_.list_directory(at("x")), ElementsAre("a", "b", "y"));
  EXPECT_TRUE(env_.is_directory(at("x/y")));
  EXPECT_FALSE(env_.is_directory(at("x/a")));
  write("kept", "");
  ASSERT_EQ(symlink(at("kept").c_str(), at("x/link").c_str()), 0);
  env_.sync_directory(at("x"));
  env_.remove_tree(at("x"));
  env_.remove_tree(at("x"));
  EXPECT_FALSE(env_.exists(at("x")));
  EXPECT_TRUE(env_.exists(at("kept")));
}

TEST_F(PosixEnvTest, ReplacesASmallFileAtOnce) {
  write_file_atomically(env_, at("config"), "one");
  write("config.tmp", "left by a killed run");
  write_file_atomically(env_, at("config"), "two");
  EXPECT_EQ(read("config"), "two");
  EXPECT_THAT(env_.list_directory(scratch_.path()), ElementsAre("config"));
}

TEST_F(PosixEnvTest, ReadsNoMoreThanTheLimit) {
  write("a", "0123456789");
  EXPECT_EQ(read_file(env_, at("a"), 10), "0123456789");
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "10 bytes", [&] { read_file(env_, at("a"), 9); }));
}

TEST_F(PosixEnvTest, AGitLfsPointerIsReadAsNoKindOfFile) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\n"
      "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
      "size 990345061\n";
  write("pointer", pointer);
  const std::string words = "pointer is a Git LFS pointer, not the file";
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, words, [&] { env_.open(at("pointer")); }));
  EXPECT_TRUE(
      fails_with(ExitCode::damaged_data, words, [&] { refuse_lfs_pointer(at("pointer")); }));
  write("about", "A pointer begins with these words:\n" + pointer);
  write("long", pointer + std::string(1024, ' '));
  for (const char* name : {"about", "long"}) {
    refuse_lfs_pointer(at(name));
    EXPECT_NO_THROW(env_.open(at(name))) << name;
  }
  EXPECT_NO_THROW(refuse_lfs_pointer(at("absent")));
  EXPECT_NO_THROW(refuse_lfs_pointer(scratch_.path()));
}

TEST_F(PosixEnvTest, MakesDirectoriesDurableInEachParentThatGetsOne) {
  test::FaultEnv recorded;
  make_durable_directories(recorded, at("a/b/c"));
  EXPECT_TRUE(env_.is_directory(at("a/b/c")));
  EXPECT_THAT(recorded.operations(),
              ElementsAre("make_directories " + at("a/b/c"), "sync_directory " + at("a/b"),
                          "sync_directory " + at("a"), "sync_directory " + scratch_.path()));
  make_durable_directories(env_, at("a/b/c"));
  make_durable_directories(env_, at("d/e/"));
  EXPECT_TRUE(env_.is_directory(at("d/e")));
}

TEST(Paths, HaveAParentAndABaseName) {
  EXPECT_EQ(parent_directory("a/b/c"), "a/b");
  EXPECT_EQ(parent_directory("a/b//"), "a");
  EXPECT_EQ(parent_directory("/a"), "/");
  EXPECT_EQ(parent_directory("/"), "/");
  EXPECT_EQ(parent_directory("c"), ".");
  EXPECT_EQ(base_name("a/b/c/"), "c");
  EXPECT_EQ(base_name("c"), "c");
  EXPECT_EQ(base_name("/"), "");
}

}  // namespace
}  // namespace switchyard
