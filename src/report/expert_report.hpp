// Which pieces go to which expert, for programs and for people.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "statistics/expert_table.hpp"

namespace switchyard {

using PieceText = std::function<std::string(std::int32_t id)>;

// A header and a line for each layer, expert and piece that met, most frequent piece first. Fields
// are separated by tabs and never quoted; \t, \n, \r and \\ stand for themselves in a piece, \xHH
// for another control character.
std::string expert_tsv(const ExpertTable& table, const PieceText& text);

// For each expert its load, which is its share of the layer's tokens, and the five pieces of which
// it takes most more than this share of them. Of many experts the first sixteen.
std::string expert_summary(const ExpertTable& table, const PieceText& text);

}  // namespace switchyard
