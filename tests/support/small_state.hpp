// The tensors of a small fictitious model as one process holds them: some dense ones of different
// sizes and two per expert. Their contents depend on name and element alone, so all processes
// agree.
#pragma once

#include <bit>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "comm/layout.hpp"
#include "tensor/named_tensor.hpp"

namespace switchyard::test {

class SmallState {
 public:
  // The tensors of process p in this layout; `version` selects different contents.
  SmallState(const Layout& layout, Rank p, std::uint32_t version) {
    add("embedding", 40, 6, std::nullopt);
    add("norm", 1, 6, std::nullopt);
    add("attention.q", 6, 12, std::nullopt);
    add("empty", 0, 6, std::nullopt);
    add("attention.q/adafactor.row", 1, 12, std::nullopt);
    for (const ExpertId e : layout.owned_experts(p)) {
      const std::string expert = "experts." + std::to_string(e.value);
      add(expert + ".wi", 5, 7, e);
      add(expert + ".wo", 7, 5, e);
    }
    fill(version);
  }

  void fill(std::uint32_t version) {
    for (NamedTensor& tensor : tensors_) {
      std::uint32_t word = version;
      for (const char c : tensor.name) word = word * 16777619u ^ static_cast<std::uint32_t>(c);
      for (float& x : tensor.data) {
        word = word * 1664525u + 1013904223u;
        x = std::bit_cast<float>(word & 0xbf7fffffu);  // any bits but infinities and NaNs
      }
    }
  }

  std::span<NamedTensor> tensors() { return tensors_; }
  bool operator==(const SmallState& other) const { return values_ == other.values_; }

 private:
  void add(const std::string& name, std::int64_t rows, std::int64_t cols,
           std::optional<ExpertId> expert) {
    std::vector<float>& values = values_.emplace_back(static_cast<std::size_t>(rows * cols));
    tensors_.push_back({name, rows, cols, expert, values});
  }

  std::deque<std::vector<float>> values_;  // a deque, so that elements do not move
  std::vector<NamedTensor> tensors_;
};

}  // namespace switchyard::test
