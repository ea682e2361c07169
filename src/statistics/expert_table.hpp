// Which pieces go to which expert, layer by layer: counts of an evaluation. Pieces are ids here;
// who prints them (report/expert_report.hpp) says how they read.
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

// One sparse layer. A piece is what a position reads: its input's id in the encoder, and in the
// decoder that of the target before (padding, before the first).
struct ExpertLayer {
  std::string name;  // "encoder.block.1"
  // How often the piece wanted the expert, before capacity; over real positions, none is 0.
  std::map<ExpertPiece, std::int64_t> tokens;
  bool operator==(const ExpertLayer&) const = default;
};

struct ExpertTable {
  int num_experts = 0;              // E
  std::vector<ExpertLayer> layers;  // in order of the model
  bool operator==(const ExpertTable&) const = default;
};

// Adds a batch of one process: pieces [h*N], and expert [h*N] as SparseLayerStats has it.
void count_pieces(std::span<const std::int32_t> pieces, std::span<const std::int32_t> expert,
                  ExpertLayer& layer);

// The counts of all processes, added up, on process 0; the others get none. All count the same
// layers. Collective.
ExpertTable join_on_first(const Comm& comm, const ExpertTable& table);

}  // namespace switchyard
