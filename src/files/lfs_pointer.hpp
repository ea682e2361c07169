// Files that a clone without Git LFS has in place of the large ones: a pointer, three lines of
// text. Env::open() asks here for every file that is read; what reads past an Env asks itself.
#pragma once

#include <filesystem>
#include <string_view>

namespace switchyard {

// A pointer has fewer bytes than this (Git LFS's own limit).
inline constexpr std::size_t largest_lfs_pointer = 1024;

// By all bytes of a file.
bool is_lfs_pointer(std::string_view bytes);

// Error(damaged_data) where the file is a pointer. Passes what is absent, unreadable or no regular
// file: whoever opens it says that.
void refuse_lfs_pointer(const std::filesystem::path& path);
// The same, by the file's bytes.
void refuse_lfs_pointer(const std::filesystem::path& path, std::string_view bytes);

}  // namespace switchyard
