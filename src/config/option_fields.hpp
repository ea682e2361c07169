// The options of a run as a flat list, read from run.proto's own descriptors; so that loading,
// checking, comparing and printing them need no second list.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

struct OptionField {
  std::string path;                                             // "model.d_model"
  std::vector<const google::protobuf::FieldDescriptor*> trail;  // from the root to the field

  const google::protobuf::FieldDescriptor& field() const { return *trail.back(); }
  bool fixed_in_run() const;
};

// Every field below `root` that is not a block of others, in the order of the file.
std::vector<OptionField> option_fields(const google::protobuf::Descriptor& root);

// The message that holds the field itself: `config.model()` for "model.d_model".
const google::protobuf::Message& holder(const google::protobuf::Message& config,
                                        const OptionField& option);

// The value in effect as text format writes it ("128", "RELU", "[a, b]" for a list); "unset" where
// nothing is set and there is no default.
std::string value_text(const google::protobuf::Message& config, const OptionField& option);

// The path of the option that `name`, not found in the block `in`, most likely means: one of that
// name in another block, else the nearest in this one, else the nearest anywhere, else "".
std::string suggest_option(const google::protobuf::Descriptor& root,
                           const google::protobuf::Descriptor& in, std::string_view name);

}  // namespace switchyard
