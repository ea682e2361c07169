#include "train/metrics.hpp"

#include <google/protobuf/util/json_util.h>

#include <cassert>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>
#include <vector>

namespace switchyard {
namespace {

namespace pb = google::protobuf;
using Json = nlohmann::ordered_json;

// A field's value, or the index-th of a repeated one. protobuf's own printer would quote 64-bit
// integers and write non-finite numbers as words.
class JsonWriter {
 public:
  Json object(const pb::Message& message) {
    Json result = Json::object();
    std::vector<const pb::FieldDescriptor*> fields;
    message.GetReflection()->ListFields(message, &fields);
    for (const pb::FieldDescriptor* field : fields) {
      result[field->json_name()] =
          field->is_repeated() ? array(message, *field) : single(message, *field);
    }
    return result;
  }
  bool nonfinite() const { return nonfinite_; }

 private:
  Json array(const pb::Message& message, const pb::FieldDescriptor& field) {
    const pb::Reflection& get = *message.GetReflection();
    Json result = Json::array();
    for (int i = 0; i < get.FieldSize(message, &field); ++i) {
      if (field.cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
        result.push_back(object(get.GetRepeatedMessage(message, &field, i)));
      } else {
        assert(field.cpp_type() == pb::FieldDescriptor::CPPTYPE_INT64);
        result.push_back(get.GetRepeatedInt64(message, &field, i));
      }
    }
    return result;
  }

  Json single(const pb::Message& message, const pb::FieldDescriptor& field) {
    const pb::Reflection& get = *message.GetReflection();
    switch (field.cpp_type()) {
      case pb::FieldDescriptor::CPPTYPE_INT64:
        return get.GetInt64(message, &field);
      case pb::FieldDescriptor::CPPTYPE_STRING:
        return get.GetString(message, &field);
      default:
        assert(field.cpp_type() == pb::FieldDescriptor::CPPTYPE_DOUBLE);
        return number(get.GetDouble(message, &field));
    }
  }

  Json number(double value) {
    if (std::isfinite(value)) return value;
    nonfinite_ = true;
    return nullptr;
  }

  bool nonfinite_ = false;
};

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace

std::string to_json(const StepRecord& record) {
  JsonWriter writer;
  Json json = writer.object(record);
  if (writer.nonfinite()) json["nonfinite"] = true;
  return json.dump();
}

std::optional<StepRecord> parse_record(const std::string& line) {
  StepRecord record;
  pb::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;  // "nonfinite", and what a later version may add
  if (!pb::util::JsonStringToMessage(line, &record, options).ok() || !record.has_step()) {
    return std::nullopt;
  }
  return record;
}

MetricsFile::MetricsFile(Env& env, std::string path, std::int64_t step)
    : env_(env), path_(std::move(path)) {
  if (env_.exists(path_)) {
    const std::string text = read_file(env_, path_, env_.file_size(path_));
    for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != text.npos; begin = end + 1) {
      const std::optional<StepRecord> record = parse_record(text.substr(begin, end - begin));
      if (!record || record->step() > step) break;
      last_ = record;
      last_begin_ = static_cast<std::int64_t>(begin);
      size_ = static_cast<std::int64_t>(end) + 1;
    }
    if (size_ < static_cast<std::int64_t>(text.size())) env_.truncate(path_, size_);
  }
  file_ = env_.open_for_append(path_);
}

void MetricsFile::append(const StepRecord& record) {
  const std::string line = to_json(record) + "\n";
  file_->append(bytes_of(line));
  last_begin_ = std::exchange(size_, size_ + static_cast<std::int64_t>(line.size()));
  last_ = record;
}

void MetricsFile::replace_last(const StepRecord& record) {
  assert(last_);
  file_->close();
  const std::string kept =
      read_file(env_, path_, size_).substr(0, static_cast<std::size_t>(last_begin_));
  const std::string line = to_json(record) + "\n";
  write_file_atomically(env_, path_, kept + line);
  size_ = last_begin_ + static_cast<std::int64_t>(line.size());
  last_ = record;
  file_ = env_.open_for_append(path_);
}

void MetricsFile::sync() { file_->sync(); }

}  // namespace switchyard
