#include "data/file_patterns.hpp"

#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/error.hpp"
#include "data/corpus_file.hpp"

namespace switchyard {

namespace {

namespace fs = std::filesystem;
using Paths = std::vector<std::string>;

constexpr std::string_view all_depths = "**";

bool exists(const std::string& path) {
  std::error_code unknown;
  return fs::exists(path, unknown);
}

std::string_view first_component(std::string_view pattern) {
  return pattern.substr(0, pattern.find('/'));
}

// Where the first component `**` begins; npos if there is none.
std::size_t find_all_depths(std::string_view pattern) {
  for (std::size_t at = 0; at < pattern.size();) {
    const std::string_view component = first_component(pattern.substr(at));
    if (component == all_depths) return at;
    if (component.find(all_depths) != component.npos)
      throw Error(ExitCode::usage,
                  "'" + std::string(pattern) + "' has ** beside other signs of a name",
                  "** stands alone, as in 'texts/**/*.txt'");
    at += component.size() + 1;
  }
  return pattern.npos;
}

std::string escaped(const std::string& path) {
  std::string text;
  for (const char c : path) {
    if (std::strchr("*?[]{},\\~", c) != nullptr) text += '\\';
    text += c;
  }
  return text;
}

// Shell globbing of `pattern` after the path `front`, which is taken literally.
Paths glob_behind(const std::string& front, std::string_view pattern) {
  glob_t found{};
  const std::string whole = escaped(front) + std::string(pattern);
  const int status = ::glob(whole.c_str(), GLOB_NOSORT | GLOB_TILDE | GLOB_BRACE, nullptr, &found);
  Paths paths;
  if (status == 0) paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  return paths;
}

// Adds `front` ("" or ending in '/') and all directories below it, each ending in '/'. Skips hidden
// directories and links to directories, as shells do.
void add_directories(const std::string& front, Paths& directories) {
  directories.push_back(front);
  std::error_code error;
  fs::directory_iterator entry(front.empty() ? "." : front, error);
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code unknown;
    if (!name.starts_with('.') && entry->symlink_status(unknown).type() == fs::file_type::directory)
      add_directories(front + name + "/", directories);
  }
  if (error)
    throw Error(ExitCode::missing_input, "cannot list " + front + ": " + error.message(),
                "check its permissions, or name what is to be read without **");
}

// `front`: a literal path, "" or ending in '/'; `pattern`: what follows it.
void add_matches(std::string front, std::string_view pattern, Paths& found) {
  while (first_component(pattern) != all_depths) {
    const std::string_view name = first_component(pattern);
    if (name.size() < pattern.size() && name.empty()) {  // a leading or a repeated '/'
      front += '/';
    } else if (!exists(front + std::string(name))) {
      break;
    } else if (name.size() == pattern.size()) {
      found.push_back(front + std::string(name));
      return;
    } else {
      front += std::string(name) + "/";
    }
    pattern.remove_prefix(name.size() + 1);
  }
  const std::size_t depths = find_all_depths(pattern);
  if (depths == pattern.npos) {
    const Paths paths = glob_behind(front, pattern);
    found.insert(found.end(), paths.begin(), paths.end());
  } else if (depths > 0) {
    for (const std::string& path : glob_behind(front, pattern.substr(0, depths)))
      add_matches(path, pattern.substr(depths), found);
  } else {
    const bool last = pattern.size() == all_depths.size();
    Paths directories;
    add_directories(front, directories);
    for (const std::string& directory : directories) {
      Paths paths;
      add_matches(directory, last ? "*" : pattern.substr(all_depths.size() + 1), paths);
      if (last)
        std::erase_if(paths, [](const std::string& path) { return fs::is_directory(path); });
      found.insert(found.end(), paths.begin(), paths.end());
    }
  }
}

using Identity = std::pair<dev_t, ino_t>;

[[noreturn]] void refuse_unreadable(const std::string& file, int reason) {
  std::error_code none;
  if (reason == ENOENT && fs::is_symlink(file, none))
    throw Error(
        ExitCode::missing_input,
        file + " is a link to " + fs::read_symlink(file, none).string() + ", which does not exist",
        "restore what it points to, or remove the link");
  throw Error(ExitCode::missing_input, "cannot read " + file + ": " + std::strerror(reason),
              "check the path and its permissions");
}

// The device and inode of a file. Error(missing_input) unless it is a regular file.
Identity identity_of_file(const std::string& file) {
  struct stat status;
  if (::stat(file.c_str(), &status) != 0) refuse_unreadable(file, errno);
  if (S_ISDIR(status.st_mode))
    throw Error(ExitCode::missing_input, file + " is a directory, not a text file",
                "name the files in it, such as '" + file + "/*.txt', or '" + file +
                    "/**/*.txt' for all below it");
  if (!S_ISREG(status.st_mode))
    throw Error(ExitCode::missing_input,
                file + " is " + (S_ISFIFO(status.st_mode) ? "a pipe" : "no regular file") +
                    ", and text is read more than once",
                "write the text into a file first");
  return {status.st_dev, status.st_ino};
}

}  // namespace

std::vector<std::string> expand_patterns(std::span<const std::string> patterns) {
  Paths files;
  for (const std::string& pattern : patterns) {
    const std::size_t before = files.size();
    add_matches("", pattern, files);
    if (files.size() == before)
      throw Error(
          ExitCode::missing_input, "no file matches '" + pattern + "'",
          "check the path; patterns such as 'texts/*.txt' and 'texts/**/*.txt' are allowed");
  }
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  std::set<Identity> seen;
  std::erase_if(files, [&](const std::string& file) {
    const Identity identity = identity_of_file(file);
    corpus_format(file);
    return !seen.insert(identity).second;
  });
  return files;
}

std::vector<std::string> remove_files(std::vector<std::string>& files,
                                      std::span<const std::string> others) {
  std::set<Identity> identities;
  for (const std::string& other : others) identities.insert(identity_of_file(other));
  const auto removed = std::stable_partition(
      files.begin(), files.end(),
      [&](const std::string& file) { return !identities.contains(identity_of_file(file)); });
  Paths taken(removed, files.end());
  files.erase(removed, files.end());
  return taken;
}

std::int64_t bytes_on_disk(std::span<const std::string> files) {
  std::int64_t bytes = 0;
  for (const std::string& file : files) {
    std::error_code unreadable;  // open_bytes reports it when it opens the file
    const auto size = fs::file_size(file, unreadable);
    if (!unreadable) bytes += static_cast<std::int64_t>(size);
  }
  return bytes;
}

}  // namespace switchyard
