// What training consumes: one example, a pure function of its sample number. Data knows neither
// experts nor ranks.
#pragma once

#include <cstdint>

#include "base/buffer.hpp"

namespace switchyard {

struct Example {
  Buffer<std::int32_t> inputs;   // no more ids than a row has positions, no padding
  Buffer<std::int32_t> targets;  // the same; EOS last where they were a text
};

class ExampleSource {
 public:
  virtual ~ExampleSource() = default;
  // Any number at any time, from any thread.
  virtual Example example(std::int64_t sample) const = 0;
};

}  // namespace switchyard
