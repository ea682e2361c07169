#include "data/staging_directory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "corpus_files.hpp"
#include "support/errors.hpp"
#include "support/fault_env.hpp"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using test::fails_with;
using test::read_bytes;
using test::write_text;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class StagingDirectories : public testing::Test {
 protected:
  std::string at(const std::string& name) const { return scratch_.path() + "/" + name; }
  // Two files and a directory, in an order in which the manifest would not be last.
  static void fill(const StagingDirectory& staging) {
    write_text(staging.path("manifest"), "m");
    write_text(staging.path("weights"), "w");
    fs::create_directory(staging.path("extra"));
    write_text(staging.path("extra/more"), "e");
  }
  void make(const std::string& output) {
    StagingDirectory staging(env_, output, "manifest");
    fill(staging);
    staging.commit();
  }
  struct Attempt {
    int before = 0, operations = 0;  // before commit() began, and in total
    std::string said;
  };
  // Fails every operation from number `fail_at` on.
  static Attempt attempt(const std::string& output, int fail_at) {
    test::FaultEnv env(fail_at, test::Fault::forever);
    Attempt result;
    try {
      StagingDirectory staging(env, output, "manifest");
      fill(staging);
      result.before = static_cast<int>(env.operations().size());
      staging.commit();
    } catch (const Error& error) {
      result.said = error.what();
    }
    result.operations = static_cast<int>(env.operations().size());
    return result;
  }
  testing::AssertionResult refuses(const std::string& output, const std::string& words) {
    return fails_with(ExitCode::output_not_writable, words, [&] { make(output); });
  }

  PosixEnv env_;
  test::ScratchDirectory scratch_;
};

TEST_F(StagingDirectories, ANewOneAppearsAtOnce) {
  make(at("new/one"));
  make(at("two/"));
  make(at("three/."));
  EXPECT_THAT(env_.list_directory(scratch_.path()), UnorderedElementsAre("new", "two", "three"));
  EXPECT_EQ(read_bytes(at("new/one/extra/more")), "e");
  EXPECT_EQ(read_bytes(at("three/weights")), "w");
}

// A rename could not replace any of these; a mount point is another such case.
TEST_F(StagingDirectories, OneThatStoodBeforeIsWrittenInto) {
  for (const char* name : {"empty", "big", "here"}) fs::create_directory(at(name));
  fs::create_directory_symlink("big", at("link"));
  make(at("empty"));
  make(at("link"));
  const fs::path before = fs::current_path();
  fs::current_path(at("here"));
  make(".");
  fs::current_path(before);
  for (const char* name : {"empty", "link", "big", "here"}) {
    EXPECT_THAT(env_.list_directory(at(name)), ElementsAre("extra", "manifest", "weights")) << name;
    EXPECT_EQ(read_bytes(at(name) + "/extra/more"), "e");
  }
  EXPECT_TRUE(fs::is_symlink(at("link")));
  EXPECT_TRUE(refuses(at("empty/.."), "not empty"));
}

TEST_F(StagingDirectories, HiddenFilesAndLostAndFoundDoNotFillOne) {
  fs::create_directories(at("volume/lost+found"));
  write_text(at("volume/.nfs0"), "x");
  make(at("volume"));
  EXPECT_THAT(env_.list_directory(at("volume")),
              UnorderedElementsAre(".nfs0", "lost+found", "extra", "manifest", "weights"));
  EXPECT_TRUE(refuses(at("volume"), "not empty"));
}

TEST_F(StagingDirectories, WhatCouldNotBeRenamedToIsRefusedFirst) {
  fs::create_symlink("nowhere", at("link"));
  EXPECT_TRUE(refuses(at("link"), "link is a link to nowhere, which does not exist"));
  EXPECT_TRUE(refuses(at("absent/.."), "does not exist"));
  write_text(at("file"), "x");
  EXPECT_TRUE(refuses(at("file"), "not a directory"));
  EXPECT_TRUE(refuses(at("file/in"), "file"));
  EXPECT_THAT(env_.list_directory(scratch_.path()), UnorderedElementsAre("link", "file"));
}

TEST_F(StagingDirectories, WhatIsNotCommittedLeavesNothing) {
  fs::create_directory(at("empty"));
  for (const char* name : {"empty", "new"}) {
    StagingDirectory staging(env_, at(name), "manifest");
    fill(staging);
  }
  EXPECT_THAT(env_.list_directory(scratch_.path()), ElementsAre("empty"));
  EXPECT_THAT(env_.list_directory(at("empty")), IsEmpty());
}

// For a failure at each operation of the commit: the output is complete in one place, and never
// looks complete in its final place while it is not.
TEST_F(StagingDirectories, AFailedCommitKeepsWhatWasMadeAndSaysWhere) {
  for (const bool stood : {false, true}) {
    const auto fresh = [&](const std::string& name) {
      if (stood) fs::create_directory(at(name));
      return at(name);
    };
    const Attempt sound = attempt(fresh("sound" + std::to_string(stood)), test::FaultEnv::never);
    ASSERT_EQ(sound.said, "");
    ASSERT_GT(sound.operations, sound.before + 2);
    for (int n = sound.before; n < sound.operations; ++n) {
      const std::string output = fresh("out" + std::to_string(stood) + "-" + std::to_string(n));
      const std::string partial = output + (stood ? "/.partial" : ".partial");
      const Attempt failed = attempt(output, n);
      const bool only_tidying = stood && n + 1 == sound.operations;
      EXPECT_THAT(failed.said, only_tidying ? HasSubstr("") : HasSubstr("what was made is whole"));
      int in_place = 0;
      for (const char* name : {"/manifest", "/weights", "/extra/more"}) {
        EXPECT_NE(env_.exists(output + name), env_.exists(partial + name)) << n << name;
        in_place += env_.exists(output + name) ? 1 : 0;
      }
      EXPECT_TRUE(in_place == 3 || !env_.exists(output + "/manifest")) << n;
    }
  }
}

}  // namespace
}  // namespace switchyard
