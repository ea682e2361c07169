#include "model/window_tiles.hpp"

#include <algorithm>

namespace switchyard {
namespace {

// With as many queries per tile as the window's reach, two of three scores in a tile are visible.
// Measured, half or twice as many queries are equally fast: fewer waste less work but make products
// smaller.
std::int64_t queries_of_tile(std::int64_t reach) {
  return std::clamp<std::int64_t>((reach + 15) / 16 * 16, 16, 256);
}

}  // namespace

std::int64_t AttentionWindow::visible_pairs(std::int64_t n) const {
  const std::int64_t g = std::min(globals, n), rest = n - g;
  const std::int64_t w = std::min(reach, std::max<std::int64_t>(rest - 1, 0));
  // All pairs that involve a global position, plus the windows of the other queries, cut off at
  // both ends of the row.
  return g * n + rest * g + rest * (2 * w + 1) - w * (w + 1);
}

WindowTiles::WindowTiles(const AttentionWindow& window, std::int64_t length) {
  const std::int64_t most = queries_of_tile(window.reach);
  const std::int64_t globals = std::min(window.globals, length);
  std::int64_t offset = 0;
  const auto add = [&](const WindowedScores& scores, std::int64_t queries, std::int64_t keys) {
    tiles_.push_back({scores, queries, keys, offset});
    offset += queries * keys;
    return queries;
  };
  std::int64_t first = 0;
  while (first < globals) {
    first += add({first, 0, 0, length}, std::min(most, globals - first), length);
  }
  while (first < length) {
    const std::int64_t queries = std::min(most, length - first);
    const std::int64_t first_key = std::max(globals, first - window.reach);
    const std::int64_t last_key = std::min(length, first + queries + window.reach);
    first +=
        add({first, globals, first_key, window.reach}, queries, globals + last_key - first_key);
  }
}

std::int64_t WindowTiles::elements() const {
  return tiles_.empty() ? 0 : tiles_.back().offset + tiles_.back().elements();
}

std::int64_t WindowTiles::most_elements() const {
  std::int64_t most = 0;
  for (const WindowTile& tile : tiles_) most = std::max(most, tile.elements());
  return most;
}

std::int64_t WindowTiles::most_keys() const {
  std::int64_t most = 0;
  for (const WindowTile& tile : tiles_) most = std::max(most, tile.keys);
  return most;
}

}  // namespace switchyard
