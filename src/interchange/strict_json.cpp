#include "interchange/strict_json.hpp"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/error.hpp"
#include "files/safe_path.hpp"

namespace switchyard {

nlohmann::json parse_json(const std::string& text, const std::string& path) {
  using Event = nlohmann::json::parse_event_t;
  constexpr int deepest = 64;
  const auto refuse = [&](const std::string& what) {
    throw Error(ExitCode::damaged_data, path + " " + what, "copy the file anew from where it came");
  };
  // Keys of each object that encloses the current position.
  std::vector<std::set<std::string>> keys;
  std::size_t values_left = 4096 + text.size() / 16;
  const auto check = [&](int depth, Event event, nlohmann::json& value) {
    if (depth > deepest) refuse("is nested deeper than 64 levels");
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(value.get<std::string>()).second)
      refuse("has the key " + printable(value.get<std::string>()) + " twice");
    const bool is_new =
        event == Event::value || event == Event::object_start || event == Event::array_start;
    if (is_new && values_left-- == 0) refuse("has more values than such a file can have");
    return true;
  };
  // The JSON parser treats NUL as the end of its input.
  if (const std::size_t nul = text.find('\0'); nul != text.npos)
    refuse("is not JSON at byte " + std::to_string(nul));
  try {
    nlohmann::json json = nlohmann::json::parse(text, check);
    if (!json.is_object()) refuse("is no JSON object");
    return json;
  } catch (const nlohmann::json::parse_error& error) {
    refuse("is not JSON at byte " + std::to_string(error.byte));
  }
  return {};
}

nlohmann::json read_json(const Env& env, const std::string& path, std::int64_t limit) {
  return parse_json(read_file(env, path, limit), path);
}

}  // namespace switchyard
