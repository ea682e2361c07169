// What a host remembers of verified files, and that nothing but its own undamaged stamp counts.
#include "data/verified_stamp.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <random>

#include "corpus_files.hpp"
#include "files/sha256.hpp"
#include "support/fault_env.hpp"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using test::read_bytes;
using test::write_text;
using Entries = std::set<std::string>;

class VerifiedStamp : public testing::Test {
 protected:
  Entries remembered() const { return read_stamp(env_, scratch_.path(), "node7"); }

  PosixEnv env_;
  test::ScratchDirectory scratch_;
  const Entries entries_ = {"1 2 3 4 5 aa", "1 3 3 4 5 bb", ""};
  const std::string path_ = scratch_.path() + "/.verified-node7";
};

TEST_F(VerifiedStamp, GivesBackWhatWasWritten) {
  EXPECT_EQ(remembered(), Entries());
  EXPECT_TRUE(write_stamp(env_, scratch_.path(), "node7", entries_));
  EXPECT_EQ(remembered(), entries_);
  EXPECT_TRUE(write_stamp(env_, scratch_.path(), "node7", {"1 2 3 4 5 cc"}));
  EXPECT_EQ(remembered(), Entries{"1 2 3 4 5 cc"});
  EXPECT_THAT(env_.list_directory(scratch_.path()), testing::ElementsAre(".verified-node7"));
}

TEST_F(VerifiedStamp, IsOneForEachHost) {
  EXPECT_TRUE(write_stamp(env_, scratch_.path(), "node7", entries_));
  EXPECT_TRUE(write_stamp(env_, scratch_.path(), "node8", {"another"}));
  EXPECT_EQ(remembered(), entries_);
  EXPECT_EQ(read_stamp(env_, scratch_.path(), "node8"), Entries{"another"});
  fs::rename(scratch_.path() + "/.verified-node8", path_);  // says itself whose it is
  EXPECT_EQ(remembered(), Entries());
}

TEST_F(VerifiedStamp, HasAPlainNameWhateverTheHostIsCalled) {
  EXPECT_EQ(stamp_name("node-7.rack.example"), ".verified-node-7.rack.example");
  EXPECT_EQ(stamp_name("../../etc/a b\n"), ".verified-.._.._etc_a_b_");
  EXPECT_EQ(stamp_name(""), ".verified-host");
  EXPECT_LE(stamp_name(std::string(5000, 'x')).size(), 255U);
  for (const std::string& host : {std::string("a/b\nc"), std::string(), std::string(5000, 'x')}) {
    EXPECT_TRUE(write_stamp(env_, scratch_.path(), host, entries_));
    EXPECT_EQ(read_stamp(env_, scratch_.path(), host), entries_);
  }
}

TEST_F(VerifiedStamp, IsIgnoredWhereItIsDamagedAndWrittenAnew) {
  ASSERT_TRUE(write_stamp(env_, scratch_.path(), "node7", entries_));
  const std::string whole = read_bytes(path_);
  std::vector<std::string> hostile = {
      "\n",          "\n\n",       "x",          std::string(3, '\0'),
      whole + whole, whole + "\n", "\n" + whole, std::string(2 << 20, 'x')};
  for (std::size_t size = 0; size < whole.size(); ++size) {
    hostile.push_back(whole.substr(0, size));
    std::string flipped = whole;
    flipped[size] ^= 1;
    hostile.push_back(flipped);
  }
  std::mt19937 random(1);
  for (int i = 0; i < 100; ++i) {
    std::string bytes(random() % 400, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    hostile.push_back(bytes);
  }
  for (const std::string& bytes : hostile) {
    write_text(path_, bytes);
    EXPECT_EQ(remembered(), Entries()) << bytes.substr(0, 400);
  }
  EXPECT_TRUE(write_stamp(env_, scratch_.path(), "node7", entries_));
  EXPECT_EQ(read_bytes(path_), whole);
}

TEST_F(VerifiedStamp, IsNoneWhereSomethingElseHasItsName) {
  fs::create_directory(path_);
  EXPECT_EQ(remembered(), Entries());
  EXPECT_FALSE(write_stamp(env_, scratch_.path(), "node7", entries_));
  fs::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(remembered(), Entries());
  EXPECT_TRUE(write_stamp(env_, scratch_.path(), "node7", entries_));
  EXPECT_EQ(remembered(), entries_);
}

TEST_F(VerifiedStamp, IsNotWrittenWhereAnOperationFailsAndAnOldOneStays) {
  ASSERT_TRUE(write_stamp(env_, scratch_.path(), "node7", entries_));
  for (int n = 0;; ++n) {
    test::FaultEnv env(n, test::Fault::forever);
    const bool written = write_stamp(env, scratch_.path(), "node7", {"1 2 3 4 5 cc"});
    EXPECT_NE(written, env.reached()) << n;
    const Entries now = remembered();
    EXPECT_TRUE(now == entries_ || now == Entries{"1 2 3 4 5 cc"}) << n;
    if (written) break;
  }
  EXPECT_FALSE(write_stamp(env_, scratch_.path() + "/nowhere", "node7", entries_));
}

TEST_F(VerifiedStamp, DistinguishesVersionsOfAFileAndItsHash) {
  const std::string path = write_text(scratch_.path() + "/train.bin", "tokens");
  const std::string entry = verified_entry(env_, {path, "aa"});
  EXPECT_EQ(verified_entry(env_, {path, "aa"}), entry);
  EXPECT_NE(verified_entry(env_, {path, "ab"}), entry);
  EXPECT_EQ(entry.find('\n'), std::string::npos);
  const auto time = fs::last_write_time(path);
  fs::last_write_time(path, time + std::chrono::microseconds(1));
  EXPECT_NE(verified_entry(env_, {path, "aa"}), entry);
  write_text(path, "other!");
  fs::last_write_time(path, time);
  EXPECT_EQ(verified_entry(env_, {path, "aa"}), entry) << "what data.verify ALWAYS is for";
  write_text(path, "longer tokens");
  fs::last_write_time(path, time);
  EXPECT_NE(verified_entry(env_, {path, "aa"}), entry);
  fs::copy_file(path, path + ".copy");
  fs::last_write_time(path + ".copy", time);
  EXPECT_NE(verified_entry(env_, {path + ".copy", "aa"}), verified_entry(env_, {path, "aa"}));
}

}  // namespace
}  // namespace switchyard
