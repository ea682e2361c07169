#include "comm/session_directory.hpp"

#include <stdlib.h>  // mkdtemp, setenv

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>

namespace switchyard {
namespace {

constexpr const char* base_variable = "OMPI_MCA_orte_tmpdir_base";

bool is_set(const char* name) { return getenv(name) != nullptr; }

bool has_launcher() {
  constexpr std::array ranks = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
  return std::ranges::any_of(ranks, is_set);
}

}  // namespace

SessionDirectory::SessionDirectory() {
  if (has_launcher() || is_set(base_variable)) return;
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  std::string name = (parent / "switchyard-mpi-XXXXXX").string();
  if (error || mkdtemp(name.data()) == nullptr) return;  // MPI_Init may fare better, or say why not
  setenv(base_variable, name.c_str(), 1);
  path_ = name;
}

SessionDirectory::~SessionDirectory() {
  if (path_.empty()) return;
  std::error_code ignored;  // nothing depends on it any more
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace switchyard
