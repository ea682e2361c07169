// Which pieces are routed to which expert in each layer: counts over an evaluation. Pieces are ids
// here; report/expert_report.hpp prints their text.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "comm/comm.hpp"

namespace switchyard {

struct ExpertPiece {
  std::int32_t expert = 0;
  std::int32_t piece = 0;  // its id
  auto operator<=>(const ExpertPiece&) const = default;
};

// One sparse layer. A piece is the token that a position reads: the input id in the encoder, and in
// the decoder the previous target (padding at the first position).
struct ExpertLayer {
  std::string name;  // "encoder.block.1"
  // How many real positions with this piece chose this expert, before capacity; never 0.
  std::map<ExpertPiece, std::int64_t> tokens;
  bool operator==(const ExpertLayer&) const = default;
};

struct ExpertTable {
  int num_experts = 0;              // E
  std::vector<ExpertLayer> layers;  // in model order
  bool operator==(const ExpertTable&) const = default;
};

// Adds a batch of one process: pieces [h*N] and expert [h*N], as in SparseLayerStats.
void count_pieces(std::span<const std::int32_t> pieces, std::span<const std::int32_t> expert,
                  ExpertLayer& layer);

// The sum of all processes' counts, on process 0; empty elsewhere. All processes must count the
// same layers. Collective.
ExpertTable join_on_first(const Comm& comm, const ExpertTable& table);

}  // namespace switchyard
