#include "data/verified_stamp.hpp"

#include <algorithm>
#include <cctype>

#include "base/error.hpp"
#include "files/sha256.hpp"

namespace switchyard {
namespace {

// Some entries of 150 bytes; what is larger is no stamp.
constexpr std::int64_t largest_stamp = 64 << 10;
constexpr std::size_t longest_host = 200;

// The host's name as part of a file's name.
std::string plain(const std::string& host) {
  std::string name = host.substr(0, longest_host);
  std::ranges::replace_if(
      name, [](unsigned char c) { return !std::isalnum(c) && c != '-' && c != '.'; }, '_');
  return name.empty() ? "host" : name;
}

std::string header(const std::string& host) {
  return "switchyard verified 1\nhost " + plain(host) + "\n";
}

std::string with_digest(const std::string& lines) {
  return lines + "sha256 " + sha256_hex(lines) + "\n";
}

// The part of a stamp's text before its last line.
std::string without_digest(const std::string& text) {
  if (text.empty()) return "";
  const std::size_t end = text.rfind('\n', text.size() - 2);
  return end == text.npos ? "" : text.substr(0, end + 1);
}

}  // namespace

std::string verified_entry(const Env& env, const ExpectedFile& file) {
  return env.identity(file.path) + file.sha256;
}

std::string stamp_name(const std::string& host) { return ".verified-" + plain(host); }

std::set<std::string> read_stamp(const Env& env, const std::string& directory,
                                 const std::string& host) {
  std::string text;
  try {
    text = read_file(env, directory + "/" + stamp_name(host), largest_stamp);
  } catch (const Error&) {
    return {};
  }
  const std::string lines = without_digest(text), begin = header(host);
  if (!lines.starts_with(begin) || text != with_digest(lines)) return {};
  std::set<std::string> entries;
  for (std::size_t at = begin.size(), end; at < lines.size(); at = end + 1) {
    end = lines.find('\n', at);
    entries.insert(lines.substr(at, end - at));
  }
  return entries;
}

bool write_stamp(Env& env, const std::string& directory, const std::string& host,
                 const std::set<std::string>& entries) {
  std::string lines = header(host);
  for (const std::string& entry : entries) lines += entry + "\n";
  try {
    write_file_atomically(env, directory + "/" + stamp_name(host), with_digest(lines));
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace switchyard
