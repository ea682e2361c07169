#include "data/foreign_text.hpp"

#include <algorithm>
#include <array>

#include "base/error.hpp"

namespace switchyard {

namespace {

using namespace std::string_view_literals;

struct Kind {
  std::string_view begins;
  const char* name;
  const char* remedy;  // printed before the file's name
};

constexpr const char* to_utf8_from_16 = "convert it: iconv -f UTF-16 -t UTF-8 ";
constexpr const char* to_utf8_from_32 = "convert it: iconv -f UTF-32 -t UTF-8 ";
constexpr const char* unpack = "unpack it, or leave out ";

// UTF-32's byte order mark is tried before UTF-16's, which is a prefix of it.
constexpr std::array kinds = {
    Kind{"\xFF\xFE\0\0"sv, "text in UTF-32", to_utf8_from_32},
    Kind{"\0\0\xFE\xFF"sv, "text in UTF-32", to_utf8_from_32},
    Kind{"\xFF\xFE"sv, "text in UTF-16", to_utf8_from_16},
    Kind{"\xFE\xFF"sv, "text in UTF-16", to_utf8_from_16},
    Kind{"\x1F\x8B"sv, "gzip data", "give it a name that ends in .gz: mv "},
    Kind{"BZh91AY&SY"sv, "bzip2 data", unpack},
    Kind{"\xFD\x37zXZ\0"sv, "xz data", unpack},
    Kind{"\x28\xB5\x2F\xFD"sv, "zstd data", unpack},
    Kind{"PK\x03\x04"sv, "a zip archive", unpack},
    Kind{"%PDF-"sv, "a PDF document", "write its text out with pdftotext, or leave out "},
    Kind{"\x7F"
         "ELF"sv,
         "a program", "leave out "},
};

[[noreturn]] void refuse(const std::string& path, const std::string& what,
                         const std::string& hint) {
  throw Error(ExitCode::damaged_data, path + " is " + what, hint);
}

// In text without a byte order mark, the positions of NUL bytes reveal the width of characters and
// the byte order.
void refuse_nuls(const std::string& path, std::string_view beginning) {
  std::array<std::size_t, 4> nuls{};
  for (std::size_t i = 0; i < beginning.size(); ++i) nuls[i % 4] += beginning[i] == '\0' ? 1 : 0;
  const std::size_t even = nuls[0] + nuls[2], odd = nuls[1] + nuls[3], half = beginning.size() / 2;
  if (even + odd == 0) return;
  const auto without_mark = [&](const std::string& name) {
    refuse(path, "text in " + name + " without a byte order mark, not UTF-8",
           "convert it: iconv -f " + name + " -t UTF-8 " + path);
  };
  if (even + odd > half) without_mark(nuls[0] > nuls[3] ? "UTF-32BE" : "UTF-32LE");
  if (odd > half / 4 && even < odd / 8) without_mark("UTF-16LE");
  if (even > half / 4 && odd < even / 8) without_mark("UTF-16BE");
  throw Error(ExitCode::damaged_data,
              path + " is no text in UTF-8: byte " + std::to_string(beginning.find('\0') + 1) +
                  " is a NUL, as in binary files and in UTF-16",
              "convert it with iconv, remove the NULs with tr -d '\\0', or leave it out");
}

bool is_json(std::string_view path) {
  if (path.ends_with(".gz")) path.remove_suffix(3);
  return path.ends_with(".json") || path.ends_with(".jsonl");
}

void refuse_json_documents(const std::string& path, std::string_view beginning) {
  beginning.remove_prefix(beginning.starts_with("\xEF\xBB\xBF") ? 3 : 0);
  const std::string_view blanks = " \t\r\n";
  beginning.remove_prefix(std::min(beginning.find_first_not_of(blanks), beginning.size()));
  if (beginning.starts_with('['))
    refuse(path, "a JSON array, not one object per line", "write lines: jq -c '.[]' " + path);
  const std::string_view first_line = beginning.substr(0, beginning.find('\n'));
  if (first_line.starts_with('{') && first_line.size() < beginning.size() &&
      first_line.find_last_not_of(blanks) == 0)
    refuse(path, "JSON that goes over several lines, not one object per line",
           "write lines: jq -c . " + path);
}

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

}  // namespace

void refuse_foreign_text(const std::string& path, std::string_view beginning) {
  for (const Kind& kind : kinds) {
    if (beginning.starts_with(kind.begins))
      refuse(path, std::string(kind.name) + ", not UTF-8 text", kind.remedy + path);
  }
  refuse_nuls(path, beginning);
  if (is_json(path)) refuse_json_documents(path, beginning);
}

void refuse_nul(const std::string& place) {
  throw Error(ExitCode::damaged_data,
              place + ": a NUL, as in binary files and in UTF-16, but in no text in UTF-8",
              "convert the file with iconv, remove the NULs with tr -d '\\0', or leave it out");
}

bool looks_like_latin1(std::string_view line) {
  std::size_t alone = 0, together = 0;  // non-ASCII bytes without and with a non-ASCII neighbour
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (is_ascii(line[i])) continue;
    const bool neighbour =
        (i > 0 && !is_ascii(line[i - 1])) || (i + 1 < line.size() && !is_ascii(line[i + 1]));
    ++(neighbour ? together : alone);
  }
  return alone > together;
}

}  // namespace switchyard
