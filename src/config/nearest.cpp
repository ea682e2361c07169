#include "config/nearest.hpp"

#include <algorithm>
#include <cctype>
#include <vector>

namespace switchyard {
namespace {

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

}  // namespace

int edit_distance(std::string_view a, std::string_view b) {
  // distance[i][j]: edit distance between the first i letters of a and the first j of b.
  std::vector<std::vector<int>> distance(a.size() + 1, std::vector<int>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        distance[i][j] = static_cast<int>(i + j);
        continue;
      }
      const int replaced = distance[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      distance[i][j] = std::min({distance[i - 1][j] + 1, distance[i][j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        distance[i][j] = std::min(distance[i][j], distance[i - 2][j - 2] + 1);
      }
    }
  }
  return distance[a.size()][b.size()];
}

std::string nearest(std::string_view word, std::span<const std::string> names) {
  const std::string wanted = lower_case(word);
  int closest = std::max(1, static_cast<int>(wanted.size()) / 3) + 1;
  std::string found;
  for (const std::string& name : names) {
    const std::string candidate = lower_case(name);
    const bool begins = wanted.size() >= 3 && candidate.starts_with(wanted);
    const int distance = candidate == wanted ? 0 : begins ? 1 : edit_distance(wanted, candidate);
    if (distance < closest) {
      closest = distance;
      found = name;
    }
  }
  return found;
}

}  // namespace switchyard
