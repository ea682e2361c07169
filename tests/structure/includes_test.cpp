// The layers of src/README.md: which folder may include which, and which library.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace switchyard::test {
namespace {

using Names = std::set<std::string>;

const std::map<std::string, Names> may_include = {
    {"base", {}},
    {"files", {"base"}},
    {"comm", {"base"}},
    {"tensor", {"base"}},
    {"moe", {"tensor", "comm", "base"}},
    {"model", {"moe", "tensor", "comm", "base"}},
    {"plan", {"model", "moe", "comm", "base"}},
    {"optim", {"tensor", "comm", "base"}},
    {"data", {"files", "base"}},
    {"checkpoint", {"files", "tensor", "comm", "base"}},
    {"train",
     {"plan", "model", "moe", "optim", "checkpoint", "data", "files", "tensor", "comm", "base"}},
    {"cli",
     {"train", "plan", "model", "moe", "optim", "checkpoint", "data", "files", "tensor", "comm",
      "base"}},
};

// What marks an include as a library's -> the folders that may have it.
const std::map<std::string, Names> libraries = {
    {"mpi.h", {"comm"}},
    {"dnnl", {"tensor"}},
    {"openssl/", {"files"}},
    {"boost/", {"cli"}},
    {"google/protobuf", {"cli", "data", "checkpoint", "train"}},
    {".pb.h", {"cli", "data", "checkpoint", "train"}},
    {"sentencepiece", {"data"}},
    {"zlib.h", {"data"}},
    {"nlohmann/", {"data", "checkpoint", "train"}},
};

// Calls visit(folder, file, included) for each #include of src/.
template <class Visit>
void for_each_include(Visit&& visit) {
  const std::regex pattern(R"re(^\s*#include\s*[<"]([^>"]+)[>"])re");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(SOURCE_DIRECTORY)) {
    const std::string extension = entry.path().extension();
    if (extension != ".cpp" && extension != ".hpp") continue;
    std::ifstream in(entry.path());
    std::smatch match;
    for (std::string line; std::getline(in, line);) {
      if (std::regex_search(line, match, pattern)) {
        visit(entry.path().parent_path().filename().string(), entry.path().string(),
              match[1].str());
      }
    }
  }
}

TEST(Layers, IncludeDownwardsOnly) {
  int seen = 0;
  for_each_include(
      [&](const std::string& folder, const std::string& file, const std::string& included) {
        const std::string target = included.substr(0, included.find('/'));
        if (!may_include.contains(target) || included == target || !may_include.contains(folder))
          return;
        ++seen;
        EXPECT_TRUE(target == folder || may_include.at(folder).contains(target))
            << file << " includes " << included;
      });
  EXPECT_GT(seen, 100);
}

TEST(Layers, KeepEachLibraryInItsFolder) {
  std::map<std::string, int> seen;
  for_each_include(
      [&](const std::string& folder, const std::string& file, const std::string& included) {
        for (const auto& [mark, folders] : libraries) {
          if (included.find(mark) == std::string::npos) continue;
          ++seen[mark];
          EXPECT_TRUE(folders.contains(folder)) << file << " includes " << included;
        }
      });
  for (const auto& [mark, folders] : libraries)
    EXPECT_GT(seen[mark], 0) << mark << " is included nowhere";
}

}  // namespace
}  // namespace switchyard::test
