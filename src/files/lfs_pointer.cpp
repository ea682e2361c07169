#include "files/lfs_pointer.hpp"

#include <fstream>
#include <string>
#include <system_error>

#include "base/error.hpp"

namespace switchyard {

bool is_lfs_pointer(std::string_view bytes) {
  return bytes.size() < largest_lfs_pointer &&
         (bytes.starts_with("version https://git-lfs.github.com/spec/") ||
          bytes.starts_with("version https://hawser.github.com/spec/")) &&  // before its renaming
         bytes.find("\noid ") != bytes.npos;
}

void refuse_lfs_pointer(const std::filesystem::path& path, std::string_view bytes) {
  if (!is_lfs_pointer(bytes)) return;
  throw Error(ExitCode::damaged_data, path.string() + " is a Git LFS pointer, not the file",
              "git lfs pull");
}

void refuse_lfs_pointer(const std::filesystem::path& path) {
  std::error_code unreadable;
  if (!std::filesystem::is_regular_file(path, unreadable)) return;
  if (std::filesystem::file_size(path, unreadable) >= largest_lfs_pointer || unreadable) return;
  std::ifstream file(path, std::ios::binary);
  std::string bytes(largest_lfs_pointer, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  refuse_lfs_pointer(path, bytes);
}

}  // namespace switchyard
