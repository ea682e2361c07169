#include "config/option_enums.hpp"

#include "run.pb.h"

namespace switchyard {

using google::protobuf::EnumDescriptor;

const EnumDescriptor& option_enum(RoutingMethod) { return *MoeOptions::Routing_descriptor(); }
const EnumDescriptor& option_enum(SecondPolicy) {
  return *MoeOptions::SecondPolicy::Value_descriptor();
}
const EnumDescriptor& option_enum(DropPolicy) {
  return *MoeOptions::DropPolicy::Value_descriptor();
}
const EnumDescriptor& option_enum(LoadBalancing) {
  return *MoeOptions::LoadBalancing::Value_descriptor();
}
const EnumDescriptor& option_enum(AuxLossScope) { return *MoeOptions::AuxLossScope_descriptor(); }
const EnumDescriptor& option_enum(AuxLossReduction) {
  return *MoeOptions::AuxLossReduction_descriptor();
}
const EnumDescriptor& option_enum(Exploration) { return *MoeOptions::Exploration_descriptor(); }
const EnumDescriptor& option_enum(Activation) { return *ModelOptions::Activation_descriptor(); }
const EnumDescriptor& option_enum(SparsePlace) { return *MoeOptions::SparsePlace_descriptor(); }
const EnumDescriptor& option_enum(Precision) { return *TrainOptions::Precision_descriptor(); }
const EnumDescriptor& option_enum(Recompute) { return *TrainOptions::Recompute_descriptor(); }
const EnumDescriptor& option_enum(ScheduleConfig::Shape) {
  return *OptimizerOptions::Schedule_descriptor();
}

}  // namespace switchyard
