// Who wants to know during a backward pass which gradients are final.
#pragma once

#include <cstddef>

namespace switchyard {

class GradientListener {
 public:
  virtual ~GradientListener() = default;
  // The leaves of all dense parameters from this one on, in the model's order, are final: backward
  // goes through the model in the opposite order of its definition.
  virtual void complete_from(std::size_t param) = 0;
};

}  // namespace switchyard
