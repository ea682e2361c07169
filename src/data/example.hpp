// What training consumes: one example as a pure function of its sample number. It knows neither
// experts nor ranks.
#pragma once

#include <cstdint>

#include "base/buffer.hpp"

namespace switchyard {

struct Example {
  Buffer<std::int32_t> inputs;   // at most one id per row position, no padding
  Buffer<std::int32_t> targets;  // the same; EOS is last if they were text
};

class ExampleSource {
 public:
  virtual ~ExampleSource() = default;
  // Samples may be requested in any order and from any thread.
  virtual Example example(std::int64_t sample) const = 0;
};

}  // namespace switchyard
