#include "files/env.hpp"

#include "base/error.hpp"

namespace switchyard {

std::string read_file(const Env& env, const std::string& path, std::int64_t limit) {
  const auto file = env.open(path);
  const std::int64_t size = file->size();
  if (size > limit) {
    throw Error(ExitCode::damaged_data, path + " has " + std::to_string(size) +
                                            " bytes, more than the " + std::to_string(limit) +
                                            " that such a file can have");
  }
  std::string bytes(static_cast<std::size_t>(size), '\0');
  file->read_at(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

void write_file_atomically(Env& env, const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".tmp";
  env.remove_file(temporary);  // left by a run that was killed
  const auto file = env.create(temporary);
  file->append(std::as_bytes(std::span(bytes)));
  file->sync();
  file->close();
  env.rename(temporary, path);
  env.sync_directory(parent_directory(path));
}

void make_durable_directories(Env& env, const std::string& path) {
  std::vector<std::string> parents;  // directories that are absent, innermost first
  for (std::string at = path; !env.exists(at); at = parents.back()) {
    parents.push_back(parent_directory(at));
    if (parents.back() == at) break;
  }
  env.make_directories(path);
  for (const std::string& parent : parents) env.sync_directory(parent);
}

std::string parent_directory(const std::string& path) {
  const auto end = path.find_last_not_of('/');
  if (end == std::string::npos) return path.empty() ? "." : "/";
  const auto slash = path.find_last_of('/', end);
  if (slash == std::string::npos) return ".";
  const auto parent_end = path.find_last_not_of('/', slash);
  return parent_end == std::string::npos ? "/" : path.substr(0, parent_end + 1);
}

std::string base_name(const std::string& path) {
  const auto end = path.find_last_not_of('/');
  if (end == std::string::npos) return "";
  const auto slash = path.find_last_of('/', end);
  const auto begin = slash == std::string::npos ? 0 : slash + 1;
  return path.substr(begin, end + 1 - begin);
}

}  // namespace switchyard
