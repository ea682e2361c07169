// Test-side reader of the Hugging Face fixture: its configuration, its tensors under this project's
// names and orientation, its batch and what the reference computed.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/batch.hpp"
#include "model/config.hpp"

namespace switchyard::test {

struct HfTiny {
  ModelConfig config;  // no dropout, jitter or auxiliary losses
  // By this project's tensor name, row-major in this project's orientation.
  std::map<std::string, std::vector<float>> weights;
  std::map<std::string, std::string> hf_name;  // ours -> theirs
  Batch batch;                                 // all rows, one a virtual rank
  nlohmann::json expected;
};

HfTiny load_hf_tiny(const std::string& directory);

// The first `rows` rows of the fixture as a step of `virtual_ranks` virtual ranks.
Batch first_rows(const HfTiny& fixture, std::int64_t rows, int virtual_ranks);

}  // namespace switchyard::test
