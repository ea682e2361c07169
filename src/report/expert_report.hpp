// Which pieces are routed to which expert, for programs and for people.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "statistics/expert_table.hpp"

namespace switchyard {

using PieceText = std::function<std::string(std::int32_t id)>;

// A header, then one line per layer, expert and piece that occurred together, most frequent piece
// first. Fields are separated by tabs and never quoted; a piece's tab, line feed, carriage return
// and backslash are written \t, \n, \r and \\, other control characters \xHH.
std::string expert_tsv(const ExpertTable& table, const PieceText& text);

// For each expert its load, the share of the layer's tokens that it takes, and the five pieces
// whose share at this expert exceeds that load most. With many experts, only the first sixteen.
std::string expert_summary(const ExpertTable& table, const PieceText& text);

}  // namespace switchyard
