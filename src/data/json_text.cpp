#include "data/json_text.hpp"

#include <nlohmann/json.hpp>

#include "files/safe_path.hpp"

namespace switchyard {

namespace {

// Parses by events instead of building a document, so that a 16 MiB line of brackets takes no
// memory.
class TextHandler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit TextHandler(const std::string& key) : key_(key) {}

  bool null() override { return value("null"); }
  bool boolean(bool) override { return value("true or false"); }
  bool number_integer(number_integer_t) override { return value("a number"); }
  bool number_unsigned(number_unsigned_t) override { return value("a number"); }
  bool number_float(number_float_t, const string_t&) override { return value("a number"); }
  bool binary(binary_t&) override { return value("binary"); }
  bool string(string_t& string) override {
    if (!wanted_) return value("a string");
    if (!text_) text_ = std::move(string);
    wanted_ = false;
    return true;
  }
  bool start_object(std::size_t) override { return descend("an object"); }
  bool end_object() override { return ascend(); }
  bool start_array(std::size_t) override {
    // An array is only allowed inside the object, not as the line itself.
    return depth_ > 0 ? descend("an array") : refuse("a JSON array, not an object");
  }
  bool end_array() override { return ascend(); }
  bool key(string_t& key) override {
    wanted_ = depth_ == 1 && key == key_;
    if (depth_ == 1 && !text_) add_key(key);
    return true;
  }
  bool parse_error(std::size_t byte, const std::string&,
                   const nlohmann::detail::exception&) override {
    return refuse("not JSON at byte " + std::to_string(byte));
  }

  JsonText result() {
    if (!problem_.empty()) return {std::nullopt, problem_};
    if (text_) return {std::move(text_), ""};
    if (!other_.empty()) return {std::nullopt, "what is under " + quoted(key_) + " is " + other_};
    return {std::nullopt, "no string under " + quoted(key_) + "; " +
                              (keys_.empty() ? "it has no keys" : "its keys are " + keys_)};
  }

 private:
  static constexpr int deepest = 64;
  static constexpr int keys_shown = 8;

  static std::string quoted(const std::string& key) { return '"' + printable(key) + '"'; }

  void add_key(const std::string& key) {
    if (++key_count_ > keys_shown + 1) return;
    keys_ += (keys_.empty() ? "" : ", ") + (key_count_ > keys_shown ? "…" : quoted(key));
  }
  // Called for a value that is not a string.
  bool value(const char* what) {
    if (depth_ == 0) return refuse(std::string(what) + ", not a JSON object");
    if (wanted_ && other_.empty()) other_ = what;
    wanted_ = false;
    return true;
  }
  bool descend(const char* what) {
    if (depth_ > 0) value(what);
    return ++depth_ <= deepest || refuse("nested deeper than 64 levels");
  }
  bool ascend() {
    --depth_;
    return true;
  }
  bool refuse(const std::string& problem) {
    problem_ = problem;
    return false;
  }

  const std::string& key_;
  std::optional<std::string> text_;
  std::string keys_;  // the object's keys, as shown in messages
  int key_count_ = 0;
  std::string other_;  // the kind of value under the key where it is no string
  std::string problem_;
  int depth_ = 0;
  bool wanted_ = false;  // whether the next value is that of the wanted top-level key
};

}  // namespace

JsonText json_text(const std::string& line, const std::string& key) {
  TextHandler handler(key);
  nlohmann::json::sax_parse(line, &handler);
  return handler.result();
}

}  // namespace switchyard
