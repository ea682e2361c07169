// Git LFS pointers: the three-line text files that a clone without Git LFS has in place of the
// large files. Env::open() checks every file that is read; code that reads files without an Env
// calls these functions itself.
#pragma once

#include <filesystem>
#include <string_view>

namespace switchyard {

// Upper bound on the size of a pointer file (Git LFS's own limit).
inline constexpr std::size_t largest_lfs_pointer = 1024;

// `bytes`: the whole content of a file.
bool is_lfs_pointer(std::string_view bytes);

// Error(damaged_data) where the file is a pointer. Does nothing where it is absent, unreadable or
// not a regular file: opening it will report that.
void refuse_lfs_pointer(const std::filesystem::path& path);
// The same for a file whose bytes are already read.
void refuse_lfs_pointer(const std::filesystem::path& path, std::string_view bytes);

}  // namespace switchyard
