#include "config/option_fields.hpp"

#include <google/protobuf/text_format.h>

#include "config/nearest.hpp"
#include "run.pb.h"

namespace switchyard {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::TextFormat;

namespace {

bool is_block(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field.is_repeated();
}

void collect(const Descriptor& block, const OptionField& so_far, std::vector<OptionField>& found) {
  for (int i = 0; i < block.field_count(); ++i) {
    OptionField option = so_far;
    option.path += (so_far.path.empty() ? "" : ".") + block.field(i)->name();
    option.trail.push_back(block.field(i));
    if (is_block(*block.field(i))) {
      collect(*block.field(i)->message_type(), option, found);
    } else {
      found.push_back(option);
    }
  }
}

const Descriptor& block_of(const OptionField& option) { return *option.field().containing_type(); }

}  // namespace

bool OptionField::fixed_in_run() const {
  return field().options().GetExtension(switchyard::fixed_in_run);
}

std::vector<OptionField> option_fields(const Descriptor& root) {
  std::vector<OptionField> found;
  collect(root, {}, found);
  return found;
}

const Message& holder(const Message& config, const OptionField& option) {
  const Message* at = &config;
  for (const FieldDescriptor* step : option.trail) {
    if (step == &option.field()) break;
    at = &at->GetReflection()->GetMessage(*at, step);
  }
  return *at;
}

std::string value_text(const Message& config, const OptionField& option) {
  const Message& block = holder(config, option);
  const FieldDescriptor& field = option.field();
  std::string text;
  if (!field.is_repeated()) {
    if (!block.GetReflection()->HasField(block, &field) && !field.has_default_value())
      return "unset";
    TextFormat::PrintFieldValueToString(block, &field, -1, &text);
    return text;
  }
  std::string list;
  for (int i = 0; i < block.GetReflection()->FieldSize(block, &field); ++i) {
    TextFormat::PrintFieldValueToString(block, &field, i, &text);
    list += (i == 0 ? "" : ", ") + text;
  }
  return "[" + list + "]";
}

std::string suggest_option(const Descriptor& root, const Descriptor& in, std::string_view name) {
  std::vector<std::string> here, everywhere;
  const std::vector<OptionField> options = option_fields(root);
  for (const OptionField& option : options) {
    if (option.field().name() == name) return option.path;
    everywhere.push_back(option.field().name());
    if (&block_of(option) == &in) here.push_back(option.field().name());
  }
  if (&in == &root) {
    for (int i = 0; i < root.field_count(); ++i) here.push_back(root.field(i)->name());
  }
  std::string close = nearest(name, here);
  const bool is_here = !close.empty();
  if (!is_here) close = nearest(name, everywhere);
  for (const OptionField& option : options) {
    if (option.field().name() == close && (!is_here || &block_of(option) == &in))
      return option.path;
  }
  return close;
}

}  // namespace switchyard
