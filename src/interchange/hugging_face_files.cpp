#include "interchange/hugging_face_files.hpp"

#include <nlohmann/json.hpp>

#include "interchange/strict_json.hpp"

namespace switchyard::hugging_face_files {

std::optional<std::string> read(const Env& env, const std::string& directory, const char* name) {
  constexpr std::int64_t largest = 64 << 20;
  const std::string path = directory + "/" + name;
  if (!env.exists(path)) return std::nullopt;
  return read_file(env, path, largest);
}

void require_json(const std::string& text, const std::string& path) { parse_json(text, path); }

void write(Env& env, const std::string& directory, const char* name,
           const std::optional<std::string>& bytes) {
  if (bytes) write_file_atomically(env, directory + "/" + name, *bytes);
}

}  // namespace switchyard::hugging_face_files
