// A span-corrupted example for people: the text with its gaps, and beside each other what stood in
// a gap and what models put there.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/example.hpp"
#include "data/tokenizer.hpp"

namespace switchyard {

// One model's most likely token at each target, given the true targets before it.
struct Filling {
  std::string model;  // "trained"
  std::vector<std::int32_t> predictions;
};

// The passage, its gaps as ___0___, ___1___ …; then for each gap a line of the truth and one of
// each filling. Every predictions is as long as example.targets.
std::string filled_passage(const Tokenizer& tokenizer, const Example& example,
                           std::span<const Filling> fillings);

}  // namespace switchyard
