// Conversion between the enums of run.proto and the program's own. Both list the same values in the
// same order (checked by settings_test.cpp), so each choice has one name, that of run.proto.
#pragma once

#include <google/protobuf/descriptor.h>

#include <string>

#include "base/bfloat16.hpp"
#include "model/config.hpp"
#include "moe/mlp.hpp"
#include "moe/moe_config.hpp"
#include "optim/schedule.hpp"

namespace switchyard {

// The descriptor of run.proto's enum for each of the program's enums.
const google::protobuf::EnumDescriptor& option_enum(RoutingMethod);
const google::protobuf::EnumDescriptor& option_enum(SecondPolicy);
const google::protobuf::EnumDescriptor& option_enum(DropPolicy);
const google::protobuf::EnumDescriptor& option_enum(LoadBalancing);
const google::protobuf::EnumDescriptor& option_enum(AuxLossScope);
const google::protobuf::EnumDescriptor& option_enum(AuxLossReduction);
const google::protobuf::EnumDescriptor& option_enum(Exploration);
const google::protobuf::EnumDescriptor& option_enum(Activation);
const google::protobuf::EnumDescriptor& option_enum(SparsePlace);
const google::protobuf::EnumDescriptor& option_enum(Precision);
const google::protobuf::EnumDescriptor& option_enum(Recompute);
const google::protobuf::EnumDescriptor& option_enum(ScheduleConfig::Shape);

// The name of a value as run.proto spells it, such as "EXPERT_CHOICE".
template <class Ours>
std::string option_name(Ours value) {
  return option_enum(value).FindValueByNumber(static_cast<int>(value))->name();
}

// The program's value for a value of run.proto's enum.
template <class Ours, class Theirs>
Ours from_option(Theirs value) {
  return static_cast<Ours>(static_cast<int>(value));
}

}  // namespace switchyard
