#include "config/run_config.hpp"

#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string_view>

#include "base/error.hpp"
#include "config/built_in_configs.hpp"
#include "config/nearest.hpp"
#include "config/option_fields.hpp"
#include "config/paths.hpp"
#include "data/text_format_error.hpp"
#include "files/lfs_pointer.hpp"

namespace switchyard {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;

namespace {

constexpr char list_options[] = "`switchyard options` prints every option";

std::string did_you_mean(const std::string& name) {
  return name.empty() ? list_options : "did you mean " + name + "?";
}

// The n-th double-quoted part of `text`, counted from 0.
std::string quoted(const std::string& text, int n) {
  std::size_t begin = text.find('"');
  for (int i = 0; i < 2 * n && begin != std::string::npos; ++i) begin = text.find('"', begin + 1);
  if (begin == std::string::npos) return "";
  return text.substr(begin + 1, text.find('"', begin + 1) - begin - 1);
}

std::vector<std::string> value_names(const EnumDescriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) names.push_back(type.value(i)->name());
  return names;
}

std::string one_of(const EnumDescriptor& type) {
  std::string list;
  for (const std::string& name : value_names(type)) list += (list.empty() ? "" : ", ") + name;
  return "it is one of " + list;
}

// The parser reports an unknown field at the token after its name; users look for the name itself.
int column_of(const std::string& text, const TextFormatError& error, const std::string& name) {
  std::size_t start = 0;
  for (int line = 0; line < error.line; ++line) start = text.find('\n', start) + 1;
  const std::string before = text.substr(start, static_cast<std::size_t>(error.column));
  const std::size_t at = before.rfind(name);
  return at == std::string::npos ? error.column : static_cast<int>(at);
}

// What the user can do about a parser error.
std::string syntax_hint(const std::string& message) {
  const auto says = [&](const char* words) { return message.find(words) != std::string::npos; };
  if (says("the end of the file")) return "a value is missing, or the } that closes a block";
  if (says("non ascii"))
    return "other characters than ASCII may stand in comments and in quoted text alone";
  if (says("boolean field")) return "it is true or false";
  if (says("multiple times")) return "leave one of them";
  if (says("Expected"))
    return "write `option: value` and `block { option: value }`; text alone stands in quotes";
  return list_options;
}

[[noreturn]] void refuse_file(const std::string& file, const std::string& text,
                              const TextFormatError& error) {
  std::string message = error.message;
  if (message.ends_with("got: ")) message += "the end of the file";
  std::string hint = syntax_hint(message);
  int column = error.column;
  if (message.find("has no field named") != std::string::npos) {
    const std::string name = quoted(message, 1);
    const auto* pool = RunConfig::descriptor()->file()->pool();
    if (const Descriptor* block = pool->FindMessageTypeByName(quoted(message, 0))) {
      hint = did_you_mean(suggest_option(*RunConfig::descriptor(), *block, name));
    }
    message = "there is no option \"" + name + "\" here.";
    column = column_of(text, error, name);
  } else if (message.find("Unknown enumeration value") != std::string::npos) {
    for (const OptionField& option : option_fields(*RunConfig::descriptor())) {
      if (option.field().name() != quoted(message, 1) || !option.field().enum_type()) continue;
      hint = one_of(*option.field().enum_type());
    }
  }
  throw Error(ExitCode::usage,
              file + ":" + std::to_string(error.line + 1) + ":" + std::to_string(column + 1) +
                  ": " + message,
              hint);
}

constexpr char extension[] = ".textproto";

[[noreturn]] void refuse_name(const std::string& name) {
  const std::vector<std::string> shipped = shipped_configs();
  std::string known;
  for (const std::string& config : shipped) known += (known.empty() ? "" : ", ") + config;
  const std::string close = nearest(std::filesystem::path(name).stem().string(), shipped);
  std::error_code unknown;
  throw Error(ExitCode::missing_input,
              "--config " + name + ": " +
                  (std::filesystem::is_directory(name, unknown) ? "a directory and no file"
                                                                : "no such file") +
                  ", nor a configuration of that name",
              (close.empty() ? "" : "did you mean " + close + "? ") + ("shipped are: " + known));
}

struct ConfigText {
  // `place` names the source in messages; `text` is its content.
  std::string place, text;
};

ConfigText read_config_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) {
    throw Error(ExitCode::missing_input, "--config " + path.string() + " cannot be read",
                "check its permissions");
  }
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";  // some editors begin with it
  if (text.starts_with(byte_order_mark)) text.erase(0, byte_order_mark.size());
  return {path.string(), std::move(text)};
}

// Finds a configuration: a file of that name; else a shipped configuration, from the file beside
// the program or from those built into it.
ConfigText find_config(const std::string& name) {
  const auto is_file = [](const std::filesystem::path& path) {
    std::error_code unknown;
    // Anything but a directory will do: a pipe, as from a shell's <(…), is accepted too.
    const auto status = std::filesystem::status(path, unknown);
    return std::filesystem::exists(status) && !std::filesystem::is_directory(status);
  };
  if (is_file(name)) return read_config_file(name);
  if (name.find('/') != name.npos) refuse_name(name);
  const std::filesystem::path beside = shipped_configs_directory();
  const std::filesystem::path shipped = beside / (name + extension);
  if (!beside.empty() && is_file(shipped)) return read_config_file(shipped);
  for (const BuiltInConfig& config : built_in_configs()) {
    if (config.name == name) return {name + " (built in)", std::string(config.text)};
  }
  refuse_name(name);
}

// An empty file would silently mean all defaults, and the parser has no useful message for binary
// input.
void require_text(const std::string& text, const std::string& file) {
  const auto is_control = [](unsigned char c) { return c < ' ' && !std::isspace(c); };
  if (std::any_of(text.begin(), text.end(), is_control)) {
    throw Error(ExitCode::usage, file + " is not a text file",
                "a configuration is text, such as `train { steps: 100 }`");
  }
  if (std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isspace(c); })) {
    throw Error(ExitCode::usage, file + " is empty",
                "write options into it, or leave it out for the defaults");
  }
}

void clear_replaced_lists(const Message& from, Message& into) {
  const Reflection& reflection = *from.GetReflection();
  std::vector<const FieldDescriptor*> set;
  reflection.ListFields(from, &set);
  for (const FieldDescriptor* field : set) {
    if (field->is_repeated()) {
      reflection.ClearField(&into, field);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      clear_replaced_lists(reflection.GetMessage(from, field),
                           *reflection.MutableMessage(&into, field));
    }
  }
}

bool is_quoted(const std::string& value) {
  return value.size() >= 2 && (value.front() == '"' || value.front() == '\'') &&
         value.back() == value.front();
}

std::string upper_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string demand(const FieldDescriptor& field) {
  if (field.enum_type()) return one_of(*field.enum_type());
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return "it takes a text";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "it is true or false";
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "it takes a number, such as 0.5";
    default:
      return "it takes a whole number";
  }
}

// Sets the field, or appends to it if it is a list. The value is in protobuf text format, except
// that `--set` also accepts strings without quotes and enum values in lower case.
void parse_value(Message& block, const FieldDescriptor& field, const std::string& value,
                 const std::string& assignment) {
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING && !is_quoted(value)) {
    const Reflection& reflection = *block.GetReflection();
    return field.is_repeated() ? reflection.AddString(&block, &field, value)
                               : reflection.SetString(&block, &field, value);
  }
  TextFormatError error;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  const bool is_enum = field.enum_type() != nullptr;
  if (value.empty())
    throw Error(ExitCode::usage, "--set " + assignment + ": there is no value", demand(field));
  if (parser.ParseFieldValueFromString(is_enum ? upper_case(value) : value, &field, &block)) return;
  if (error.message.empty()) error.message = "there is more than one value.";
  throw Error(ExitCode::usage, "--set " + assignment + ": " + error.message, demand(field));
}

// "a,b" -> a, b; "" -> nothing.
std::vector<std::string> split_list(const std::string& list) {
  std::vector<std::string> items;
  for (std::size_t begin = 0; begin < list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    items.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return items;
}

struct Assignment {
  std::string path, value;
};

// Splits "model.d_model=128"; spaces around "=" are allowed where the shell passes one word.
Assignment split_assignment(const std::string& assignment) {
  const std::size_t equals = assignment.find('=');
  const std::string path = assignment.substr(0, equals);
  const std::size_t end = path.find_last_not_of(' ') + 1;
  if (equals == std::string::npos || end == 0) {
    throw Error(ExitCode::usage,
                "--set " + assignment + ": there is no " + (end == 0 ? "option before '='" : "'='"),
                "write --set block.option=value, e.g. --set model.d_model=128");
  }
  std::string value = assignment.substr(equals + 1);
  if (end < path.size()) value.erase(0, value.find_first_not_of(' '));
  return {path.substr(0, end), value};
}

void fill_derived(RunConfig& config) {
  ModelOptions& model = *config.mutable_model();
  if (!model.has_num_decoder_layers()) model.set_num_decoder_layers(model.num_layers());
  const bool divides = model.num_heads() > 0 && model.d_model() % model.num_heads() == 0;
  if (!model.has_d_kv() && divides) model.set_d_kv(model.d_model() / model.num_heads());
}

void write_out_defaults(Message& message) {
  const Reflection& reflection = *message.GetReflection();
  const Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    if (field->is_repeated()) continue;
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      write_out_defaults(*reflection.MutableMessage(&message, field));
    } else if (field->has_default_value() && !reflection.HasField(message, field)) {
      std::string value;
      TextFormat::PrintFieldValueToString(message, field, -1, &value);
      TextFormat::ParseFieldValueFromString(value, field, &message);
    }
  }
}

// "path: before -> after" for every option that differs and for which `counts` is true.
template <class Predicate>
std::vector<std::string> changes(const RunConfig& before, const RunConfig& after,
                                 const Predicate& counts) {
  std::vector<std::string> found;
  for (const OptionField& option : option_fields(*RunConfig::descriptor())) {
    const std::string was = value_text(before, option), is = value_text(after, option);
    if (counts(option) && was != is) found.push_back(option.path + ": " + was + " -> " + is);
  }
  return found;
}

}  // namespace

std::vector<std::string> shipped_configs() {
  std::set<std::string> names;
  for (const BuiltInConfig& config : built_in_configs()) names.emplace(config.name);
  std::error_code missing;
  for (const auto& entry :
       std::filesystem::directory_iterator(shipped_configs_directory(), missing)) {
    if (entry.path().extension() == extension) names.insert(entry.path().stem());
  }
  return {names.begin(), names.end()};
}

RunConfig parse_config(const std::string& text, const std::string& name) {
  TextFormatError error;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  RunConfig config;
  if (!parser.ParseFromString(text, &config)) refuse_file(name, text, error);
  return config;
}

void merge_config(const Message& from, Message& into) {
  clear_replaced_lists(from, into);
  into.MergeFrom(from);
}

void set_option(Message& config, const std::string& assignment) {
  const auto [path, value] = split_assignment(assignment);
  Message* block = &config;
  for (std::size_t begin = 0;;) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    const Descriptor& type = *block->GetDescriptor();
    const FieldDescriptor* field = type.FindFieldByName(name);
    const bool is_last = end == path.size();
    const bool is_block = field != nullptr && field->message_type() != nullptr;
    if (field == nullptr || (!is_last && !is_block)) {
      throw Error(ExitCode::usage, "--set " + assignment + ": there is no option " + path,
                  did_you_mean(suggest_option(*config.GetDescriptor(), type, name)));
    }
    if (is_last && is_block) {
      throw Error(ExitCode::usage, "--set " + assignment + ": " + path + " is a block of options",
                  "`switchyard options " + path + "` prints them");
    }
    if (is_last) {
      block->GetReflection()->ClearField(block, field);
      for (const std::string& item :
           field->is_repeated() ? split_list(value) : std::vector<std::string>{value}) {
        parse_value(*block, *field, item, assignment);
      }
      return;
    }
    block = block->GetReflection()->MutableMessage(block, field);
    begin = end + 1;
  }
}

RunConfig load_config(std::span<const std::string> files, std::span<const std::string> sets) {
  RunConfig config;
  for (const std::string& name : files) {
    const ConfigText found = find_config(name);
    refuse_lfs_pointer(found.place, found.text);
    require_text(found.text, found.place);
    merge_config(parse_config(found.text, found.place), config);
  }
  for (const std::string& assignment : sets) set_option(config, assignment);
  fill_derived(config);
  return config;
}

std::string resolved_text(const RunConfig& config) {
  RunConfig resolved = config;
  write_out_defaults(resolved);
  std::string text;
  TextFormat::PrintToString(resolved, &text);
  return "# proto-file: proto/run.proto\n# proto-message: switchyard.RunConfig\n\n" + text;
}

std::vector<std::string> changed_fields(const RunConfig& before, const RunConfig& after) {
  return changes(before, after, [](const OptionField&) { return true; });
}

std::vector<std::string> changed_fixed_fields(const RunConfig& before, const RunConfig& after) {
  return changes(before, after, [](const OptionField& option) { return option.fixed_in_run(); });
}

}  // namespace switchyard
