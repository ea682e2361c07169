#include "data/example_line.hpp"

#include <array>
#include <nlohmann/json.hpp>

#include "base/error.hpp"

namespace switchyard {

namespace {

// Parses by events instead of building a document, so that a 16 MiB line of brackets takes no
// memory. The first problem ends the parsing.
class ExampleHandler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit ExampleHandler(std::int64_t vocab_size) : vocab_size_(vocab_size) {}

  bool null() override { return other("null"); }
  bool boolean(bool value) override { return other(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override {
    return value < 0 ? other(std::to_string(value))
                     : number_unsigned(static_cast<number_unsigned_t>(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (!inside_ids() || value >= static_cast<number_unsigned_t>(vocab_size_))
      return other(std::to_string(value));
    ids().push_back(static_cast<std::int32_t>(value));
    return true;
  }
  bool number_float(number_float_t, const string_t& text) override {
    constexpr std::size_t shown = 40;
    return other(text.size() <= shown ? text : text.substr(0, shown) + "…");
  }
  bool binary(binary_t&) override { return other("binary"); }
  bool string(string_t& text) override {
    if (side_ == nullptr || inside_ids()) return other("a text");
    side_->value = std::move(text);
    side_ = nullptr;
    return true;
  }

  bool start_object(std::size_t) override {
    if (side_ != nullptr) return other("an object");
    return descend();
  }
  bool end_object() override {
    --depth_;
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ == 0 || inside_ids()) return other("an array");
    if (side_ != nullptr) side_->value = std::vector<std::int32_t>();
    return descend();
  }
  bool end_array() override {
    --depth_;
    if (side_ == nullptr) return true;
    if (ids().empty()) return refuse(side_->name + " is empty");
    side_ = nullptr;
    return true;
  }
  bool key(string_t& key) override {
    if (depth_ != 1) return true;
    for (Side& side : sides_) {
      if (key != side.name) continue;
      if (side.given) return refuse(key + " stands twice");
      side.given = true;
      side_ = &side;
    }
    return true;
  }
  bool parse_error(std::size_t byte, const std::string&,
                   const nlohmann::detail::exception&) override {
    return refuse("not JSON at byte " + std::to_string(byte));
  }

  // What is wrong with the line; "" if nothing.
  std::string problem() const {
    for (const Side& side : sides_) {
      if (problem_.empty() && !side.given) return "no " + side.name;
    }
    return problem_;
  }
  ExampleLine take() { return {std::move(sides_[0].value), std::move(sides_[1].value)}; }

 private:
  static constexpr int deepest = 64;
  struct Side {
    std::string name;
    TextOrIds value{};
    bool given = false;
  };

  bool inside_ids() const { return side_ != nullptr && depth_ == 2; }
  std::vector<std::int32_t>& ids() { return std::get<1>(side_->value); }

  // Called for a value that is neither a text nor, where one is expected, an id.
  bool other(const std::string& what) {
    if (depth_ == 0) return refuse("no JSON object");
    if (side_ == nullptr) return true;
    if (!inside_ids())
      return refuse(side_->name + " is " + what + "; it must be a text or an array of ids");
    return refuse(side_->name + "[" + std::to_string(ids().size()) + "] is " + what +
                  "; an id is a whole number from 0 to " + std::to_string(vocab_size_ - 1));
  }
  bool descend() { return ++depth_ <= deepest || refuse("nested deeper than 64 levels"); }
  bool refuse(const std::string& problem) {
    problem_ = problem;
    return false;
  }

  std::int64_t vocab_size_;
  std::array<Side, 2> sides_ = {Side{"inputs"}, Side{"targets"}};
  Side* side_ = nullptr;  // the side whose value is being read
  int depth_ = 0;
  std::string problem_;
};

}  // namespace

ExampleLine parse_example_line(const std::string& line, const std::string& place,
                               std::int64_t vocab_size) {
  const auto refuse = [&](const std::string& problem) {
    throw Error(ExitCode::damaged_data, place + ": " + problem,
                "a line is {\"inputs\": X, \"targets\": Y}, each a text or an array of ids");
  };
  // The JSON parser treats NUL as the end of its input.
  if (const std::size_t nul = line.find('\0'); nul != line.npos)
    refuse("not JSON at byte " + std::to_string(nul + 1));
  ExampleHandler handler(vocab_size);
  nlohmann::json::sax_parse(line, &handler);
  if (const std::string problem = handler.problem(); !problem.empty()) refuse(problem);
  return handler.take();
}

}  // namespace switchyard
