// Static checks of src/: the layers of src/README.md, that is which folder may include which folder
// and which library; and parallel regions.
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
    {"step", {"tensor", "comm", "base"}},
    {"moe", {"step", "tensor", "comm", "base"}},
    {"model", {"moe", "step", "tensor", "comm", "base"}},
    {"plan", {"model", "moe", "tensor", "comm", "base"}},
    {"optim", {"step", "tensor", "comm", "base"}},
    {"data", {"files", "base"}},
    {"config", {"data", "model", "moe", "optim", "files", "base"}},
    {"checkpoint", {"files", "tensor", "comm", "base"}},
    {"interchange", {"checkpoint", "files", "tensor", "comm", "base"}},
    {"statistics", {"data", "model", "comm", "base"}},
    {"record", {"statistics", "checkpoint", "files", "comm", "base"}},
    {"report", {"statistics", "config", "plan", "data", "model", "comm", "base"}},
    {"train",
     {"record", "report", "statistics", "config", "checkpoint", "optim", "data", "model", "moe",
      "step", "files", "tensor", "comm", "base"}},
    {"benchmark",
     {"train", "report", "statistics", "config", "plan", "data", "model", "tensor", "comm",
      "base"}},
    {"cli",
     {"benchmark", "train", "record", "report", "statistics", "interchange", "checkpoint", "config",
      "plan", "model", "step", "data", "files", "tensor", "comm", "base"}},
};

// The part of an include that identifies a library -> the folders that may include it.
const std::map<std::string, Names> libraries = {
    {"mpi.h", {"comm"}},
    {"dnnl", {"tensor"}},
    {"openssl/", {"files"}},
    {"boost/", {"cli"}},
    {"google/protobuf", {"cli", "config", "data", "checkpoint", "record"}},
    {".pb.h", {"cli", "config", "data", "checkpoint", "interchange", "record", "report"}},
    {"sentencepiece", {"data"}},
    {"zlib.h", {"data"}},
    {"nlohmann/", {"data", "interchange", "record", "report", "benchmark"}},
};

// Calls visit(folder, file, line) for each line of src/.
template <class Visit>
void for_each_line(Visit&& visit) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(SOURCE_DIRECTORY)) {
    const std::string extension = entry.path().extension();
    if (extension != ".cpp" && extension != ".hpp") continue;
    std::ifstream in(entry.path());
    for (std::string line; std::getline(in, line);)
      visit(entry.path().parent_path().filename().string(), entry.path().string(), line);
  }
}

// Calls visit(folder, file, included) for each #include of src/.
template <class Visit>
void for_each_include(Visit&& visit) {
  const std::regex pattern(R"re(^\s*#include\s*[<"]([^>"]+)[>"])re");
  for_each_line([&](const std::string& folder, const std::string& file, const std::string& line) {
    std::smatch match;
    if (std::regex_search(line, match, pattern)) visit(folder, file, match[1].str());
  });
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

// These functions of the C library have a version per kind of CPU, with different bits. (Square
// roots, rounding and fused multiply-adds are exact, so they are the same everywhere.)
TEST(TrainingPath, CallsNoFunctionWhoseBitsVaryByCpu) {
  const Names training = {"base", "comm", "tensor", "step", "moe", "model", "optim"};
  const std::regex varying(
      R"re(\bstd::(a?(sin|cos|tan)h?|atan2|exp[2m]?1?|log(2|10|1p)?|pow|cbrt|hypot|l?gamma|tgamma|erfc?)f?\()re");
  for_each_line([&](const std::string& folder, const std::string& file, const std::string& line) {
    if (!training.contains(folder)) return;
    EXPECT_FALSE(std::regex_search(line, varying)) << file << ": " << line;
  });
}

// Each of the files that may has a plain way beside it, for other architectures.
TEST(Architecture, IsNamedWhereItsDifferencesAreKept) {
  const Names may = {"processor.hpp", "processor.cpp", "wide.hpp"};
  const std::regex names(
      R"re(__x86_64__|__aarch64__|__builtin_(cpu|ia32)|intrin\.h|\b_mm\d*_|target_clones|\basm\b)re");
  int seen = 0;
  for_each_line([&](const std::string&, const std::string& path, const std::string& line) {
    if (!std::regex_search(line, names)) return;
    const std::string file = std::filesystem::path(path).filename();
    EXPECT_TRUE(may.contains(file)) << path << ": " << line;
    ++seen;
  });
  EXPECT_GT(seen, 5);
}

// The two interfaces of oneDNN are known to one file.
TEST(Onednn, ItsVersionsAreToldApartInOneFile) {
  int seen = 0;
  for_each_line([&](const std::string&, const std::string& path, const std::string& line) {
    if (line.find("DNNL_VERSION") == line.npos) return;
    EXPECT_TRUE(path.ends_with("tensor/onednn.cpp")) << path << ": " << line;
    ++seen;
  });
  EXPECT_GT(seen, 0);
}

// An exception that leaves one ends the process without its sentence: each keeps what is thrown
// (base/team_failure.hpp), or says that nothing is.
TEST(ParallelRegions, KeepWhatTheirThreadsThrow) {
  const std::string pragma = "#pragma omp parallel", keeps = ".keep(";
  int seen = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(SOURCE_DIRECTORY)) {
    if (entry.path().extension() != ".cpp" && entry.path().extension() != ".hpp") continue;
    std::ifstream in(entry.path());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    for (std::size_t at = 0; (at = text.find("\n" + pragma, at)) != text.npos; ++at) {
      ++seen;
      const std::size_t end = text.find('\n', at + 1);
      const bool throws_nothing = text.substr(at, end - at).ends_with("// throws nothing");
      const std::size_t second = text.find('\n', text.find('\n', end + 1) + 1);
      EXPECT_TRUE(throws_nothing || text.substr(end, second - end).find(keeps) != text.npos)
          << entry.path() << text.substr(at, second - at);
    }
  }
  EXPECT_GE(seen, 10);
}

}  // namespace
}  // namespace switchyard::test
