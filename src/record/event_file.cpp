#include "record/event_file.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "base/crc32c.hpp"

namespace switchyard {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view name_prefix = "events.out.tfevents.";
// Bytes; frame_size is a record's size without its data.
constexpr std::int64_t header_size = 12, frame_size = 16;

// TFRecord's masking (rotate and add), so that checksums of data that itself contains checksums
// stay strong.
std::uint32_t masked_crc(std::string_view bytes) {
  const std::uint32_t crc = crc32c(std::as_bytes(std::span(bytes.data(), bytes.size())));
  return std::rotr(crc, 15) + 0xA282EAD8;
}

template <class Number>
std::string bytes_of(Number number) {
  std::string bytes(sizeof number, '\0');
  std::memcpy(bytes.data(), &number, sizeof number);
  return bytes;
}

template <class Number>
Number number_in(std::string_view bytes) {
  Number number;
  std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

std::string read_bytes(const ReadableFile& file, std::int64_t offset, std::int64_t size) {
  std::string bytes(static_cast<std::size_t>(size), '\0');
  file.read_at(offset, std::as_writable_bytes(std::span(bytes.data(), bytes.size())));
  return bytes;
}

// The data of the record at `offset`; nullopt where it is truncated or damaged.
std::optional<std::string> record_at(const ReadableFile& file, std::int64_t offset) {
  const std::int64_t longest = file.size() - offset - frame_size;
  if (longest < 0) return std::nullopt;
  const std::string header = read_bytes(file, offset, header_size);
  const std::string_view length = std::string_view(header).substr(0, 8);
  if (number_in<std::uint32_t>(header.substr(8)) != masked_crc(length)) return std::nullopt;
  if (number_in<std::uint64_t>(length) > static_cast<std::uint64_t>(longest)) return std::nullopt;

  std::string data = read_bytes(file, offset + header_size, number_in<std::int64_t>(length) + 4);
  const auto crc = number_in<std::uint32_t>(std::string_view(data).substr(data.size() - 4));
  data.resize(data.size() - 4);
  if (crc != masked_crc(data)) return std::nullopt;
  return data;
}

// The size of the leading part of the file whose records are intact and not from steps after
// `step`.
std::int64_t kept_size(const ReadableFile& file, std::int64_t step) {
  std::int64_t size = 0;
  while (const std::optional<std::string> data = record_at(file, size)) {
    tensorboard::Event event;
    if (!event.ParseFromString(*data)) break;
    if (event.has_summary() && event.step() > step) break;
    size += static_cast<std::int64_t>(data->size()) + frame_size;
  }
  return size;
}

std::vector<std::string> event_files(const Env& env, const std::string& directory) {
  std::vector<std::string> names = env.list_directory(directory);
  std::erase_if(names, [](const std::string& name) { return !name.starts_with(name_prefix); });
  return names;
}

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// A name that sorts after all `earlier` ones, even if the clock was set back or two starts fall
// within one second.
std::string next_name(const std::vector<std::string>& earlier, const std::string& host) {
  auto seconds = static_cast<std::int64_t>(seconds_since_1970());
  for (const std::string& name : earlier) {
    const std::string digits = name.substr(name_prefix.size(), 10);
    std::int64_t other = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), other);
    seconds = std::max(seconds, other + 1);
  }
  char digits[24];
  std::snprintf(digits, sizeof digits, "%010lld", static_cast<long long>(seconds));
  return std::string(name_prefix) + digits + "." + host + "." + std::to_string(getpid()) + ".0";
}

}  // namespace

std::string tf_record(std::string_view data) {
  const std::string length = bytes_of(static_cast<std::uint64_t>(data.size()));
  return length + bytes_of(masked_crc(length)) + std::string(data) + bytes_of(masked_crc(data));
}

EventFile::EventFile(Env& env, const std::string& directory, const std::string& host,
                     std::int64_t step) {
  const std::vector<std::string> earlier = event_files(env, directory);
  for (const std::string& name : earlier) {
    const std::string path = directory + "/" + name;
    const std::int64_t kept = kept_size(*env.open(path), step);
    if (kept < env.file_size(path)) env.truncate(path, kept);
  }
  file_ = env.create(directory + "/" + next_name(earlier, host));

  tensorboard::Event version;
  version.set_file_version("brain.Event:2");
  append(std::move(version));
  tensorboard::Event start;
  start.set_step(step + 1);
  start.mutable_session_log()->set_status(tensorboard::SessionLog::START);
  append(std::move(start));
}

void EventFile::append(tensorboard::Event event) {
  event.set_wall_time(seconds_since_1970());
  const std::string record = tf_record(event.SerializeAsString());
  file_->append(std::as_bytes(std::span(record.data(), record.size())));
}

}  // namespace switchyard
