// `switchyard options`: lists what can be configured, with the comments of run.proto.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <iostream>
#include <set>
#include <sstream>
#include <vector>

#include "cli/arguments.hpp"
#include "cli/command.hpp"
#include "config/nearest.hpp"
#include "config/option_fields.hpp"
#include "run.pb.h"
#include "run_descriptors.hpp"

namespace switchyard {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::SourceLocation;

// The descriptors compiled into the program have no comments, so a descriptor set with comments is
// embedded.
class Comments {
 public:
  Comments() {
    google::protobuf::FileDescriptorSet files;
    files.ParseFromString(std::string(run_descriptor_set()));
    for (const auto& file : files.file()) pool_.BuildFile(file);
  }

  std::string above(const FieldDescriptor& field) const {
    SourceLocation location;
    pool_.FindFieldByName(field.full_name())->GetSourceLocation(&location);
    return location.leading_comments;
  }

  std::string beside(const google::protobuf::EnumValueDescriptor& value) const {
    SourceLocation location;
    pool_.FindEnumValueByName(value.full_name())->GetSourceLocation(&location);
    return location.trailing_comments;
  }

 private:
  DescriptorPool pool_;
};

// Prints each line of `text` indented; protobuf leaves the space after the slashes.
void print_indented(std::ostream& out, const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) out << "     " << line << "\n";
}

std::string type_text(const FieldDescriptor& field) {
  if (const EnumDescriptor* type = field.enum_type()) {
    std::string names;
    for (int i = 0; i < type->value_count(); ++i) {
      names += (i == 0 ? "" : " | ") + type->value(i)->name();
    }
    return names;
  }
  const std::string list = field.is_repeated() ? "list of " : "";
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return list + "text";
    case FieldDescriptor::CPPTYPE_BOOL:
      return list + "true | false";
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return list + "number";
    default:
      return list + "integer";
  }
}

void print_option(std::ostream& out, const OptionField& option, const Comments& comments) {
  const FieldDescriptor& field = option.field();
  const std::string value = value_text(RunConfig::default_instance(), option);
  out << "  " << option.path << "  (" << type_text(field)
      << (value == "unset" ? "; no default" : "; default " + value)
      << (option.fixed_in_run() ? "; fixed in a run)" : ")") << "\n";
  print_indented(out, comments.above(field));
  if (const EnumDescriptor* type = field.enum_type()) {
    for (int i = 0; i < type->value_count(); ++i) {
      const std::string comment = comments.beside(*type->value(i));
      if (!comment.empty()) print_indented(out, " " + type->value(i)->name() + ":" + comment);
    }
  }
}

// `wanted`: "" for all options, a block ("model") or one option ("model.d_model").
std::string options_text(const std::string& wanted) {
  const Comments comments;
  std::ostringstream out;
  const FieldDescriptor* block = nullptr;
  for (const OptionField& option : option_fields(*RunConfig::descriptor())) {
    const bool chosen =
        wanted.empty() || option.path == wanted || option.path.starts_with(wanted + ".");
    if (!chosen) continue;
    if (block != option.trail.front()) {
      out << (block == nullptr ? "" : "\n");
      block = option.trail.front();
      out << block->name() << ":" << comments.above(*block);
    }
    print_option(out, option, comments);
  }
  return out.str();
}

[[noreturn]] void refuse(const std::string& wanted) {
  std::set<std::string> names;
  for (const OptionField& option : option_fields(*RunConfig::descriptor())) {
    names.insert(option.path);
    names.insert(option.trail.front()->name());
  }
  const std::string close = nearest(wanted, std::vector<std::string>(names.begin(), names.end()));
  throw Error(ExitCode::usage, "options: there is no block or option '" + wanted + "'",
              close.empty() ? "`switchyard options` prints all" : "did you mean " + close + "?");
}

ExitCode run_options(const Comm& world, std::span<const std::string> arguments) {
  namespace po = boost::program_options;
  po::options_description known;
  known.add_options()("block", po::value<std::string>()->default_value(""));
  po::positional_options_description positional;
  positional.add("block", 1);
  const auto values = parse_arguments(options_command, arguments, known, positional);
  const auto wanted = values["block"].as<std::string>();
  const std::string text = options_text(wanted);
  if (text.empty()) refuse(wanted);
  if (world.rank() == Rank(0)) std::cout << text;
  return ExitCode::done;
}

}  // namespace

const Command options_command = {"options",
                                 "prints every configuration option with its default and meaning",
                                 R"help(usage: switchyard options [BLOCK | BLOCK.OPTION]

A configuration file contains options grouped by block; the command line sets single ones as
BLOCK.OPTION=VALUE. Those marked `fixed in a run` cannot change when a run is resumed.

example: switchyard options moe
)help",
                                 run_options, Processes::first};

}  // namespace switchyard
