// Looks up a process's tensors by name in its ParamSet. (The list of the model's tensors itself is
// `parameter_specs` in transformer.hpp.)
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>

#include "tensor/param.hpp"

namespace switchyard {

class ParamIndex {
 public:
  explicit ParamIndex(const ParamSet& params);
  std::size_t at(const std::string& name) const { return positions_.at(name); }

 private:
  std::unordered_map<std::string, std::size_t> positions_;
};

// "encoder" or "decoder", and "encoder.block.3".
std::string stack_name(bool decoder);
std::string block_name(bool decoder, int block);

}  // namespace switchyard
