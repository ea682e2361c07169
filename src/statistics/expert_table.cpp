#include "statistics/expert_table.hpp"

#include <algorithm>
#include <cassert>
#include <numeric>

namespace switchyard {
namespace {

// Counts are sent as rows of layer, expert, piece, tokens.
constexpr std::int64_t row_width = 4;

std::vector<std::int64_t> to_rows(const ExpertTable& table) {
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < table.layers.size(); ++i) {
    for (const auto& [key, tokens] : table.layers[i].tokens)
      rows.insert(rows.end(), {static_cast<std::int64_t>(i), key.expert, key.piece, tokens});
  }
  return rows;
}

// Gathers the rows of all processes, in rank order, on process 0; empty elsewhere. Collective.
std::vector<std::int64_t> gather_on_first(const Comm& comm, std::span<const std::int64_t> own) {
  std::vector<std::int64_t> send_rows(static_cast<std::size_t>(comm.size()), 0);
  send_rows[0] = std::ssize(own) / row_width;
  const auto recv_rows = all_to_all(comm, send_rows);
  const auto rows = std::accumulate(recv_rows.begin(), recv_rows.end(), std::int64_t{0});
  std::vector<std::int64_t> all(static_cast<std::size_t>(rows * row_width));
  all_to_all_rows<std::int64_t>(comm, own, send_rows, all, recv_rows, row_width);
  return all;
}

}  // namespace

void count_pieces(std::span<const std::int32_t> pieces, std::span<const std::int32_t> expert,
                  ExpertLayer& layer) {
  assert(pieces.size() == expert.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (expert[i] >= 0) ++layer.tokens[{expert[i], pieces[i]}];
  }
}

ExpertTable join_on_first(const Comm& comm, const ExpertTable& table) {
  const std::vector<std::int64_t> rows = gather_on_first(comm, to_rows(table));
  ExpertTable joined{table.num_experts, {}};
  for (const ExpertLayer& layer : table.layers) joined.layers.push_back({layer.name, {}});
  for (std::size_t at = 0; at < rows.size(); at += row_width) {
    const ExpertPiece key{static_cast<std::int32_t>(rows[at + 1]),
                          static_cast<std::int32_t>(rows[at + 2])};
    joined.layers[static_cast<std::size_t>(rows[at])].tokens[key] += rows[at + 3];
  }
  return joined;
}

}  // namespace switchyard
