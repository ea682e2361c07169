#include "data/file_patterns.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "support/errors.hpp"
#include "support/scratch_directory.hpp"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using test::fails_with;
using testing::ElementsAre;

class FilePatterns : public testing::Test {
 protected:
  std::string at(const std::string& name) const { return scratch_.path() + "/" + name; }
  void make(const std::string& name) const {
    fs::create_directories(fs::path(at(name)).parent_path());
    std::ofstream(at(name)) << "x";
  }
  // The matches, without the path of the scratch directory.
  std::vector<std::string> expand(std::vector<std::string> patterns) const {
    for (std::string& pattern : patterns) pattern = at(pattern);
    auto files = expand_patterns(patterns);
    for (std::string& file : files) file.erase(0, scratch_.path().size() + 1);
    return files;
  }

  test::ScratchDirectory scratch_;
};

TEST_F(FilePatterns, GiveSortedFilesEachOnce) {
  for (const char* name : {"b.txt", "a.txt", "c.jsonl", ".hidden.txt"}) make(name);
  EXPECT_THAT(expand({"c*", "*.txt", "a.txt", "./a.txt"}),
              ElementsAre("./a.txt", "b.txt", "c.jsonl"));
  EXPECT_THAT(expand({"{a,c}.*"}), ElementsAre("a.txt", "c.jsonl"));
}

TEST_F(FilePatterns, TwoStarsAreDirectoriesOfAllDepths) {
  for (const char* name : {"t/a.txt", "t/1/b.txt", "t/1/2/c.txt", "t/.git/d.txt", "u/1/e.txt"})
    make(name);
  fs::create_directory_symlink(at("t"), at("t/1/2/loop"));
  EXPECT_THAT(expand({"t/**/*.txt"}), ElementsAre("t/1/2/c.txt", "t/1/b.txt", "t/a.txt"));
  EXPECT_THAT(expand({"t/**/2/*.txt"}), ElementsAre("t/1/2/c.txt"));
  EXPECT_THAT(expand({"?/**/1/**/*.txt"}), ElementsAre("t/1/2/c.txt", "t/1/b.txt", "u/1/e.txt"));
  fs::remove(at("t/1/2/loop"));
  EXPECT_THAT(expand({"t/**"}), ElementsAre("t/1/2/c.txt", "t/1/b.txt", "t/a.txt"));
  EXPECT_TRUE(fails_with(ExitCode::usage, "** beside other signs", [&] { expand({"t/**.txt"}); }));
  EXPECT_TRUE(fails_with(ExitCode::missing_input, "no file matches", [&] { expand({"t/**/x*"}); }));
  const fs::path before = fs::current_path();
  fs::current_path(at("t"));
  const auto below_here = expand_patterns(std::vector<std::string>{"**/*.txt"});
  fs::current_path(before);
  EXPECT_THAT(below_here, ElementsAre("1/2/c.txt", "1/b.txt", "a.txt"));
}

TEST_F(FilePatterns, WhatExistsAsItIsSpeltIsAName) {
  for (const char* name : {"x1/a.txt", "x[1]/b.txt", "x[1]/y/c.txt", "{d}.txt", "*.txt", "e.txt"})
    make(name);
  EXPECT_THAT(expand({"x[1]/*.txt"}), ElementsAre("x[1]/b.txt"));
  EXPECT_THAT(expand({"x[1]/**/*.txt"}), ElementsAre("x[1]/b.txt", "x[1]/y/c.txt"));
  EXPECT_THAT(expand({"{d}.txt", "*.txt"}), ElementsAre("*.txt", "{d}.txt"));
  EXPECT_THAT(expand({"?.txt"}), ElementsAre("*.txt", "e.txt"));
}

TEST_F(FilePatterns, AFileAndLinksToItAreOneFile) {
  make("1.txt");
  fs::create_symlink("1.txt", at("2.txt"));
  fs::create_hard_link(at("1.txt"), at("0.txt"));
  EXPECT_THAT(expand({"*.txt"}), ElementsAre("0.txt"));
  std::vector<std::string> files = {at("1.txt")};
  make("3.txt");
  files.push_back(at("3.txt"));
  const std::vector<std::string> others = {at("2.txt")};
  EXPECT_THAT(remove_files(files, others), ElementsAre(at("1.txt")));
  EXPECT_THAT(files, ElementsAre(at("3.txt")));
}

TEST_F(FilePatterns, WhatIsNoFileIsMissingInputAndCalledByItsKind) {
  fs::create_directory(at("books"));
  fs::create_directory(at("folder.txt"));
  fs::create_symlink("nowhere", at("link.txt"));
  fs::create_symlink("circle.txt", at("circle.txt"));
  ASSERT_EQ(mkfifo(at("pipe.txt").c_str(), 0600), 0);
  const std::pair<const char*, const char*> names[] = {
      {"absent.txt", "no file matches"},
      {"absent*.txt", "no file matches"},
      {"books", "books is a directory, not a text file"},
      {"folder*", "folder.txt is a directory"},
      {"link*", "link.txt is a link to nowhere, which does not exist"},
      {"link.txt", "link.txt is a link to nowhere"},
      {"circle.txt", "circle.txt: "},
      {"pipe*", "pipe.txt is a pipe, and text is read more than once"},
      {"pipe.txt", "pipe.txt is a pipe"},
  };
  for (const auto& [name, words] : names)
    EXPECT_TRUE(fails_with(ExitCode::missing_input, words, [&] { expand({name}); })) << name;
  make("a.pdf");
  EXPECT_TRUE(fails_with(ExitCode::usage, "a.pdf", [&] { expand({"a.*"}); }));
}

}  // namespace
}  // namespace switchyard
