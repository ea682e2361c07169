// The data of the Hugging Face fixture besides its weights: a batch and the reference's results.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "model/batch.hpp"

namespace switchyard::test {

struct HfTiny {
  Batch batch;  // all rows, one per virtual rank
  nlohmann::json expected;
};

HfTiny load_hf_tiny(const std::string& directory);

// The first `rows` rows of the fixture as a step of `virtual_ranks` virtual ranks.
Batch first_rows(const HfTiny& fixture, std::int64_t rows, int virtual_ranks);

}  // namespace switchyard::test
