#include "interchange/safetensors_header.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.hpp"
#include "files/safe_path.hpp"

namespace switchyard {
namespace {

constexpr const char* copy_file_hint = "copy the file anew from where it came";
constexpr const char* metadata_key = "__metadata__";
constexpr std::size_t most_dimensions = 8;

struct TypeName {
  const char* name;
  ElementType type;
};
constexpr TypeName type_names[] = {
    {"F32", ElementType::float32}, {"F16", ElementType::float16}, {"BF16", ElementType::bfloat16}};

// Parses the header as a stream of events, so that memory for a hostile header is bounded by its
// size: an object of entries, each with dtype, shape and data_offsets, and one object of strings.
class HeaderHandler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  struct Entry {
    StoredTensor tensor;
    std::int64_t end = 0;
  };

  explicit HeaderHandler(const std::string& path) : path_(path) {}

  // The JSON parser treats NUL as the end of its input.
  void require_end(const std::string& json) const {
    if (const std::size_t nul = json.find('\0'); nul != json.npos)
      refuse("it is not JSON at byte " + std::to_string(nul));
  }
  std::vector<Entry> take() { return std::move(entries_); }

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a truth value"); }
  bool number_float(number_float_t, const string_t& text) override { unexpected(text); }
  bool binary(binary_t&) override { unexpected("bytes"); }
  bool number_integer(number_integer_t number) override { unexpected(std::to_string(number)); }
  bool number_unsigned(number_unsigned_t number) override {
    if (!array_ || number > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
      unexpected(std::to_string(number));
    const std::size_t most = array_ == &offsets_ ? 2 : most_dimensions;
    if (array_->size() == most) refuse(entry_text() + " has too many numbers in an array");
    array_->push_back(static_cast<std::int64_t>(number));
    return true;
  }
  bool string(string_t& text) override {
    if (in_metadata_) return true;
    if (depth_ != 2 || field_ != "dtype") unexpected("the text " + printable(text));
    for (const auto& [name, type] : type_names) {
      if (text == name) type_ = type;
    }
    if (type_) return true;
    throw Error(
        ExitCode::mismatch,
        path_ + ": " + entry_text() + " has the type " + printable(text) + ", which is not read",
        "convert the model to F32, F16 or BF16 first");
  }
  bool start_object(std::size_t) override {
    if (array_ || in_metadata_ || depth_ == 2) unexpected("an object");
    in_metadata_ = depth_ == 1 && name_ == metadata_key;
    if (++depth_ == 2) {
      fields_.clear(), shape_.clear(), offsets_.clear();
      type_.reset();
    }
    return true;
  }
  bool end_object() override {
    if (depth_ == 2 && !in_metadata_) finish_entry();
    in_metadata_ = false;
    --depth_;
    return true;
  }
  bool start_array(std::size_t) override {
    const bool may_begin = depth_ == 2 && !in_metadata_ && !array_;
    if (may_begin && field_ == "shape") {
      array_ = &shape_;
    } else if (may_begin && field_ == "data_offsets") {
      array_ = &offsets_;
    } else {
      unexpected("an array");
    }
    return true;
  }
  bool end_array() override {
    array_ = nullptr;
    return true;
  }
  bool key(string_t& key) override {
    if (depth_ == 1) {
      name_ = key;
      if (!names_.insert(key).second) refuse("it names " + printable(key) + " twice");
      return true;
    }
    field_ = key;
    if (!fields_.insert(key).second) refuse(entry_text() + " has " + printable(key) + " twice");
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    refuse("it is not JSON at byte " + std::to_string(position));
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ExitCode::damaged_data, path_ + " has a damaged header: " + what, copy_file_hint);
  }
  [[noreturn]] void unexpected(const std::string& value) const {
    refuse(depth_ == 0 ? "it is no JSON object"
                       : entry_text() + " has " + value + " where none belongs");
  }
  std::string entry_text() const { return "the entry " + printable(name_); }

  void finish_entry() {
    if (fields_.size() != 3 || !type_ || !fields_.contains("shape") || offsets_.size() != 2)
      refuse(entry_text() + " does not say type, shape and offsets, and these alone");
    entries_.push_back({{name_, *type_, shape_, offsets_[0]}, offsets_[1]});
  }

  const std::string& path_;
  std::vector<Entry> entries_;
  std::set<std::string> names_, fields_;  // keys seen in the header, and in the current entry
  int depth_ = 0;                         // nesting depth of objects
  bool in_metadata_ = false;
  std::string name_, field_;  // keys of the value being read
  std::optional<ElementType> type_;
  std::vector<std::int64_t> shape_, offsets_;
  std::vector<std::int64_t>* array_ = nullptr;
};

bool is_empty(const std::vector<std::int64_t>& shape) {
  return std::ranges::find(shape, 0) != shape.end();
}

// Whether the product of `shape` and the element size equals `bytes`, computed without overflow.
bool has_bytes(const StoredTensor& tensor, std::int64_t bytes) {
  if (is_empty(tensor.shape)) return bytes == 0;
  std::int64_t product = element_bytes(tensor.type);
  for (const std::int64_t size : tensor.shape) {
    if (product > bytes / size) return false;
    product *= size;
  }
  return product == bytes;
}

std::string shape_json(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape)
    text.append(text.size() > 1 ? "," : "").append(std::to_string(size));
  return text.append("]");
}

std::string type_name(ElementType type) {
  return std::ranges::find(type_names, type, &TypeName::type)->name;
}

}  // namespace

std::int64_t element_bytes(ElementType type) { return type == ElementType::float32 ? 4 : 2; }

std::int64_t StoredTensor::elements() const {
  if (is_empty(shape)) return 0;  // the other dimensions may have any size
  std::int64_t product = 1;
  for (const std::int64_t size : shape) product *= size;
  return product;
}

std::vector<StoredTensor> parse_safetensors_header(const std::string& json, std::int64_t data_bytes,
                                                   const std::string& path) {
  HeaderHandler handler(path);
  nlohmann::json::sax_parse(json, &handler);
  handler.require_end(json);
  std::vector<HeaderHandler::Entry> entries = handler.take();
  // Ordered so that an empty tensor precedes one that starts at the same byte.
  std::ranges::sort(entries, {}, [](const HeaderHandler::Entry& entry) {
    return std::tuple(entry.tensor.begin, entry.end, std::string_view(entry.tensor.name));
  });
  const auto refuse = [&](const std::string& what) {
    throw Error(ExitCode::damaged_data, path + " has a damaged header: " + what, copy_file_hint);
  };
  std::vector<StoredTensor> tensors;
  std::int64_t reached = 0;
  for (HeaderHandler::Entry& entry : entries) {
    const std::string name = printable(entry.tensor.name);
    const auto& [begin, end] = std::pair(entry.tensor.begin, entry.end);
    if (end < begin || end > data_bytes)
      refuse(name + " lies at bytes " + std::to_string(begin) + " to " + std::to_string(end) +
             " of " + std::to_string(data_bytes));
    if (!has_bytes(entry.tensor, end - begin))
      refuse(name + " has " + std::to_string(end - begin) + " bytes, which is not the size of " +
             type_name(entry.tensor.type) + " " + shape_json(entry.tensor.shape));
    if (begin != reached)
      refuse((begin < reached ? "tensors overlap at " : "bytes belong to no tensor before ") +
             name);
    reached = end;
    tensors.push_back(std::move(entry.tensor));
  }
  if (reached != data_bytes)
    refuse(std::to_string(data_bytes - reached) + " bytes at the end belong to no tensor");
  return tensors;
}

std::string safetensors_header(std::span<const StoredTensor> tensors) {
  std::string json = R"({"__metadata__":{"format":"pt"})";  // readers of PyTorch models ask for it
  std::int64_t begin = 0;
  for (const StoredTensor& tensor : tensors) {
    const std::int64_t end = begin + tensor.bytes();
    json.append(",").append(nlohmann::json(tensor.name).dump());
    json.append(R"(:{"dtype":")").append(type_name(tensor.type));
    json.append(R"(","shape":)").append(shape_json(tensor.shape));
    json.append(R"(,"data_offsets":)").append(shape_json({begin, end})).append("}");
    begin = end;
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  std::string header;
  for (std::size_t i = 0; i < 8; ++i) header += static_cast<char>(json.size() >> (8 * i) & 0xff);
  return header + json;
}

}  // namespace switchyard
