// expert_capacity of Hugging Face's config.json: how many tokens of one row an expert takes, the
// first comers, padding among them; one number for encoder and decoder. Here experts have a share
// of a routing group, which evaluation fills with the rows that a virtual rank has at once.
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

// For a resolved configuration with data.target_length. `original`: that of the config.json with
// which the model was imported; it stays where evaluation agrees with it, or where the model has
// seen no data.
TheirCapacity their_capacity(const RunConfig& config, std::optional<std::int64_t> original);

}  // namespace switchyard
