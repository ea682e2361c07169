// The options of a run as a flat list, derived from the descriptors of run.proto, so that loading,
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

// Every field below `root` that is not itself a message, in the order of run.proto.
std::vector<OptionField> option_fields(const google::protobuf::Descriptor& root);

// The message that directly contains the field: `config.model()` for "model.d_model".
const google::protobuf::Message& holder(const google::protobuf::Message& config,
                                        const OptionField& option);

// The effective value in protobuf text format ("128", "RELU", "[a, b]" for a list); "unset" where
// the field is unset and has no default.
std::string value_text(const google::protobuf::Message& config, const OptionField& option);

// The path of the option that `name`, which is not in the block `in`, most likely means: an option
// of that name in another block, else the nearest name in this block, else the nearest anywhere,
// else "".
std::string suggest_option(const google::protobuf::Descriptor& root,
                           const google::protobuf::Descriptor& in, std::string_view name);

}  // namespace switchyard
