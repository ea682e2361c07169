// The choices of run.proto as the program's own enums. Both have the same values in the same order
// (settings_test.cpp holds them to it), so a choice has one name, that of run.proto.
#pragma once

#include <google/protobuf/descriptor.h>

#include <string>

#include "base/bfloat16.hpp"
#include "model/config.hpp"
#include "moe/mlp.hpp"
#include "moe/moe_config.hpp"
#include "optim/schedule.hpp"

namespace switchyard {

// run.proto's enum beside each of ours.
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

// "EXPERT_CHOICE"
template <class Ours>
std::string option_name(Ours value) {
  return option_enum(value).FindValueByNumber(static_cast<int>(value))->name();
}

// Ours of run.proto's value.
template <class Ours, class Theirs>
Ours from_option(Theirs value) {
  return static_cast<Ours>(static_cast<int>(value));
}

}  // namespace switchyard
