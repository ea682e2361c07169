// The expert_capacity of Hugging Face's config.json: how many tokens of one row an expert takes, in
// order of position and counting padding; one number for encoder and decoder. In this program an
// expert has a share of a routing group, which in evaluation consists of the rows that a virtual
// rank processes at once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "run.pb.h"

namespace switchyard {

struct TheirCapacity {
  std::int64_t tokens = 0;
  std::string difference;  // "", or a sentence: evaluation there drops others than here
};

// For a resolved configuration with data.target_length. `original`: the value in the config.json
// from which the model was imported. It is kept where evaluation drops the same tokens with it, or
// where the model has not been trained on data.
TheirCapacity their_capacity(const RunConfig& config, std::optional<std::int64_t> original);

}  // namespace switchyard
