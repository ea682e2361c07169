// Reads TensorBoard's event files based only on the description of their format: TFRecord frames
// with both checksums, and protobuf's wire format decoded by hand. Uses neither the program's code
// nor its messages.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace switchyard::test {

struct EventHistogram {
  double min = 0, max = 0, num = 0, sum = 0, sum_squares = 0;
  std::vector<double> limits, counts;
};

struct EventValue {
  std::string tag;
  std::optional<float> scalar;
  std::optional<EventHistogram> histogram;
  std::string plugin, content;      // of the metadata
  std::uint64_t data_class = 0;     // 2: tensor
  std::uint64_t tensor_type = 0;    // 1: float, 7: string
  std::vector<std::string> texts;   // of a string tensor
  std::vector<std::uint64_t> dims;  // of any
};

struct ReadEvent {
  double wall_time = 0;
  std::uint64_t step = 0;
  std::string file_version;
  std::uint64_t session_status = 0;  // 1: start
  std::vector<EventValue> values;
};

// All complete records from the beginning; `rest` is what follows the last one.
struct ReadEvents {
  std::vector<ReadEvent> events;
  std::vector<std::string> records;  // the bytes of each, frame included
  std::string rest;
};

namespace event_reader {

// A field of a message in wire format; `bits` is the value of a varint or a fixed-width field.
struct Field {
  std::uint64_t number = 0, bits = 0;
  std::string_view bytes;  // of a length-delimited field

  double as_double() const { return std::bit_cast<double>(bits); }
  float as_float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits)); }
};

inline std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t number = 0;
  for (std::size_t i = bytes.size(); i-- > 0;)
    number = number << 8 | static_cast<std::uint8_t>(bytes[i]);
  return number;
}

inline std::string_view take(std::string_view& bytes, std::uint64_t size) {
  if (size > bytes.size()) throw std::runtime_error("a field ends too early");
  const std::string_view head = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return head;
}

inline std::uint64_t take_varint(std::string_view& bytes) {
  std::uint64_t number = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = static_cast<std::uint8_t>(take(bytes, 1)[0]);
    number |= std::uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return number;
  }
  throw std::runtime_error("a varint does not end");
}

inline std::vector<Field> fields(std::string_view message) {
  std::vector<Field> all;
  while (!message.empty()) {
    const std::uint64_t key = take_varint(message);
    Field field{.number = key >> 3, .bits = 0, .bytes = {}};
    switch (key & 7) {
      case 0:
        field.bits = take_varint(message);
        break;
      case 1:
        field.bits = little_endian(take(message, 8));
        break;
      case 2:
        field.bytes = take(message, take_varint(message));
        break;
      case 5:
        field.bits = little_endian(take(message, 4));
        break;
      default:
        throw std::runtime_error("a wire type that is not used");
    }
    all.push_back(field);
  }
  return all;
}

inline std::vector<double> packed_doubles(std::string_view bytes) {
  std::vector<double> numbers;
  while (!bytes.empty()) numbers.push_back(std::bit_cast<double>(little_endian(take(bytes, 8))));
  return numbers;
}

inline EventHistogram read_histogram(std::string_view message) {
  EventHistogram histogram;
  for (const Field& field : fields(message)) {
    if (field.number == 1) histogram.min = field.as_double();
    if (field.number == 2) histogram.max = field.as_double();
    if (field.number == 3) histogram.num = field.as_double();
    if (field.number == 4) histogram.sum = field.as_double();
    if (field.number == 5) histogram.sum_squares = field.as_double();
    if (field.number == 6) histogram.limits = packed_doubles(field.bytes);
    if (field.number == 7) histogram.counts = packed_doubles(field.bytes);
  }
  return histogram;
}

inline void read_metadata(std::string_view message, EventValue& value) {
  for (const Field& field : fields(message)) {
    if (field.number == 4) value.data_class = field.bits;
    if (field.number != 1) continue;
    for (const Field& part : fields(field.bytes))
      (part.number == 1 ? value.plugin : value.content) = part.bytes;
  }
}

inline void read_tensor(std::string_view message, EventValue& value) {
  for (const Field& field : fields(message)) {
    if (field.number == 1) value.tensor_type = field.bits;
    if (field.number == 8) value.texts.emplace_back(field.bytes);
    if (field.number != 2) continue;
    for (const Field& dim : fields(field.bytes))
      for (const Field& size : fields(dim.bytes)) value.dims.push_back(size.bits);
  }
}

inline EventValue read_value(std::string_view message) {
  EventValue value;
  for (const Field& field : fields(message)) {
    if (field.number == 1) value.tag = field.bytes;
    if (field.number == 2) value.scalar = field.as_float();
    if (field.number == 5) value.histogram = read_histogram(field.bytes);
    if (field.number == 8) read_tensor(field.bytes, value);
    if (field.number == 9) read_metadata(field.bytes, value);
  }
  return value;
}

inline ReadEvent read_event(std::string_view message) {
  ReadEvent event;
  for (const Field& field : fields(message)) {
    if (field.number == 1) event.wall_time = field.as_double();
    if (field.number == 2) event.step = field.bits;
    if (field.number == 3) event.file_version = field.bytes;
    if (field.number == 5)
      for (const Field& value : fields(field.bytes))
        event.values.push_back(read_value(value.bytes));
    if (field.number == 7)
      for (const Field& status : fields(field.bytes)) event.session_status = status.bits;
  }
  return event;
}

inline std::uint64_t masked_checksum(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char byte : bytes) {
    crc ^= static_cast<std::uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78 : 0);
  }
  crc = ~crc;
  return static_cast<std::uint32_t>((crc >> 15 | crc << 17) + 0xA282EAD8u);
}

// The size of the record at the beginning of `bytes`, including its frame; 0 if it is incomplete.
inline std::uint64_t record_size(std::string_view bytes) {
  if (bytes.size() < 16) return 0;
  const std::uint64_t length = little_endian(bytes.substr(0, 8));
  if (little_endian(bytes.substr(8, 4)) != masked_checksum(bytes.substr(0, 8))) return 0;
  if (length > bytes.size() - 16) return 0;
  const std::uint64_t checksum = little_endian(bytes.substr(12 + length, 4));
  return checksum == masked_checksum(bytes.substr(12, length)) ? 16 + length : 0;
}

}  // namespace event_reader

inline ReadEvents read_events(std::string_view bytes) {
  ReadEvents read;
  while (const std::uint64_t size = event_reader::record_size(bytes)) {
    read.events.push_back(event_reader::read_event(bytes.substr(12, size - 16)));
    read.records.emplace_back(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  read.rest = bytes;
  return read;
}

// The event files of a run in the order of their names, which is the order in which they are read.
inline std::vector<std::string> event_file_paths(const std::string& run) {
  std::map<std::string, std::string> by_name;
  for (const auto& entry : std::filesystem::directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    if (name.find("tfevents") != name.npos) by_name[name] = entry.path().string();
  }
  std::vector<std::string> paths;
  for (const auto& [name, path] : by_name) paths.push_back(path);
  return paths;
}

// name -> value, for the plugin "hparams": a number, a string, or a flag.
using HyperParameter = std::variant<double, std::string, bool>;

inline std::map<std::string, HyperParameter> read_hyper_parameters(std::string_view content) {
  std::map<std::string, HyperParameter> values;
  for (const auto& start : event_reader::fields(content)) {
    if (start.number != 3) throw std::runtime_error("no start of a session");
    for (const auto& entry : event_reader::fields(start.bytes)) {
      const auto pair = event_reader::fields(entry.bytes);
      const auto value = event_reader::fields(pair.at(1).bytes).at(0);
      HyperParameter& into = values[std::string(pair.at(0).bytes)];
      if (value.number == 2) into = value.as_double();
      if (value.number == 3) into = std::string(value.bytes);
      if (value.number == 4) into = value.bits != 0;
    }
  }
  return values;
}

}  // namespace switchyard::test
