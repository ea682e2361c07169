#include "data/json_text.hpp"

#include <nlohmann/json.hpp>

namespace switchyard {

namespace {

// Events instead of a document tree: a line of 16 MiB of brackets then costs nothing.
class TextHandler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::optional<std::string> text;

  bool null() override { return value(); }
  bool boolean(bool) override { return value(); }
  bool number_integer(number_integer_t) override { return value(); }
  bool number_unsigned(number_unsigned_t) override { return value(); }
  bool number_float(number_float_t, const string_t&) override { return value(); }
  bool binary(binary_t&) override { return value(); }
  bool string(string_t& string) override {
    if (wanted_ && !text) text = std::move(string);
    return value();
  }
  bool start_object(std::size_t) override { return descend(); }
  bool end_object() override { return ascend(); }
  // An array is no line of ours: only inside the object may one stand.
  bool start_array(std::size_t) override { return depth_ > 0 && descend(); }
  bool end_array() override { return ascend(); }
  bool key(string_t& key) override {
    wanted_ = depth_ == 1 && key == "text";
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  static constexpr int deepest = 64;

  bool value() {
    wanted_ = false;
    return true;
  }
  bool descend() {
    wanted_ = false;
    return ++depth_ <= deepest;
  }
  bool ascend() {
    --depth_;
    return true;
  }

  int depth_ = 0;
  bool wanted_ = false;  // the next value is the one under the top-level "text"
};

}  // namespace

std::optional<std::string> json_text(const std::string& line) {
  TextHandler handler;
  if (!nlohmann::json::sax_parse(line, &handler)) return std::nullopt;
  return std::move(handler.text);
}

}  // namespace switchyard
