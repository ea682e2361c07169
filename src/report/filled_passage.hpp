// A span-corrupted example for people: the text with its gaps, and for each gap the true text and
// what models predict.
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

// The passage with gaps ___0___, ___1___ …; then for each gap one line with the true text and one
// per filling. Every `predictions` must be as long as example.targets.
std::string filled_passage(const Tokenizer& tokenizer, const Example& example,
                           std::span<const Filling> fillings);

}  // namespace switchyard
