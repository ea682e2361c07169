#include "record/metrics.hpp"

#include <google/protobuf/util/json_util.h>

#include <cassert>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace switchyard {
namespace {

namespace pb = google::protobuf;
using Json = nlohmann::ordered_json;

// Writes a field's value, or the index-th of a repeated field. protobuf's own JSON printer would
// quote 64-bit integers and write non-finite numbers as strings.
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

std::int64_t length(const std::string& text) { return static_cast<std::int64_t>(text.size()); }

// Calls visit(record, begin, end) for each line. Stops at the first line that is truncated or not a
// record, or for which visit returns false.
template <class Visit>
void for_each_record(const std::string& text, Visit&& visit) {
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != text.npos; begin = end + 1) {
    const std::optional<StepRecord> record = parse_record(text.substr(begin, end - begin));
    if (!record || !visit(*record, begin, end + 1)) return;
  }
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

std::optional<StepRecord> last_record(const Env& env, const std::string& path) {
  std::optional<StepRecord> last;
  if (!env.exists(path)) return last;
  for_each_record(read_file(env, path, env.file_size(path)),
                  [&](const StepRecord& record, std::size_t, std::size_t) {
                    last = record;
                    return true;
                  });
  return last;
}

MetricsFile::MetricsFile(Env& env, Log& log, std::string path, std::int64_t step,
                         const std::string& unwritten)
    : env_(env), log_(log), path_(std::move(path)) {
  if (env_.exists(path_)) {
    const std::string text = read_file(env_, path_, env_.file_size(path_));
    for_each_record(text, [&](const StepRecord& record, std::size_t begin, std::size_t end) {
      if (record.step() > step) return false;
      last_ = record;
      last_begin_ = static_cast<std::int64_t>(begin);
      size_ = static_cast<std::int64_t>(end);
      return true;
    });
    if (size_ < length(text)) env_.truncate(path_, size_);
  }
  durable_ = size_;
  file_ = env_.open_for_append(path_);
  for_each_record(unwritten, [&](const StepRecord& record, std::size_t begin, std::size_t end) {
    if (last_ && record.step() <= last_->step()) return true;
    file_->append(bytes_of(unwritten).subspan(begin, end - begin));
    last_ = record;
    last_begin_ = std::exchange(size_, size_ + static_cast<std::int64_t>(end - begin));
    return true;
  });
}

void MetricsFile::append(const StepRecord& record) {
  last_begin_ = size_ + length(unwritten_);
  unwritten_ += to_json(record) + "\n";
  last_ = record;
  write();
}

void MetricsFile::write() {
  attempt([this] {
    // The file may end with a partial line, and a descriptor that has failed is not used again.
    if (faulty_) {
      env_.truncate(path_, size_);
      file_ = env_.open_for_append(path_);
    }
    file_->append(bytes_of(unwritten_));
    size_ += length(unwritten_);
    unwritten_.clear();
  });
}

void MetricsFile::attempt(const std::function<void()>& action) {
  try {
    action();
    if (!faulty_ || !unwritten_.empty()) return;
    faulty_ = false;
    log_.info(path_ + " is written again, and no step is missing in it");
  } catch (const Error& error) {
    if (!faulty_) {
      log_.warning("the run goes on, but " + std::string(error.what()) +
                   ": lines are kept, tried again with each step, and saved with checkpoints");
    }
    faulty_ = true;
  }
}

void MetricsFile::replace_last(const StepRecord& record) {
  assert(last_ && unwritten_.empty());
  file_->close();
  const std::string kept =
      read_file(env_, path_, size_).substr(0, static_cast<std::size_t>(last_begin_));
  const std::string line = to_json(record) + "\n";
  write_file_atomically(env_, path_, kept + line);
  durable_ = size_ = last_begin_ + length(line);
  last_ = record;
  file_ = env_.open_for_append(path_);
}

void MetricsFile::sync() {
  if (!unwritten_.empty()) write();
  bool done = false;
  attempt([&] {
    file_->sync();
    done = true;
  });
  if (!done) take_back();
  durable_ = size_;
}

// Moves the lines that a failed sync may have lost back to unwritten_; they can still be read now.
void MetricsFile::take_back() {
  std::string lines(static_cast<std::size_t>(size_ - durable_), '\0');
  env_.open(path_)->read_at(durable_, std::as_writable_bytes(std::span(lines)));
  unwritten_.insert(0, lines);
  size_ = durable_;
}

}  // namespace switchyard
