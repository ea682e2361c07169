// What the blocks of one stack allocate on one process: saved by forward, and besides it during
// their backward. For memory.cpp.
#pragma once

#include <cstdint>

#include "plan/memory.hpp"

namespace switchyard {

class StackMemory {
 public:
  StackMemory(const MemoryInput& input, Rank p, Load load, bool decoder);

  // Bytes of one activation matrix [h*N, D].
  std::int64_t stream() const { return matrix(positions_, config_.d_model); }
  std::int64_t positions() const { return positions_; }               // h*N
  std::int64_t positions_of_rank() const { return rows_ * length_; }  // N

  int blocks() const;
  std::int64_t saved(int block) const;
  // The most that exists during the block's backward besides what is saved and what the stack
  // holds.
  std::int64_t backward(int block) const;

 private:
  struct Routed {              // rows of one sparse layer
    std::int64_t kept = 0;     // sent by this process
    std::int64_t owned = 0;    // computed by it
    std::int64_t largest = 0;  // of those, by one expert for one group
  };
  Routed route(Rank p, Load load) const;

  static std::int64_t matrix(std::int64_t rows, std::int64_t cols);
  std::int64_t scores(std::int64_t keys) const;
  std::int64_t mlp_saved(std::int64_t rows) const;
  std::int64_t residual_saved() const;
  std::int64_t attention_saved(std::int64_t keys) const;
  std::int64_t switch_saved() const;
  std::int64_t attention_backward(std::int64_t keys, bool self) const;
  std::int64_t switch_backward() const;

  const ModelConfig& config_;
  const Layout& layout_;
  StepShape shape_;
  bool decoder_;
  int threads_;
  std::int64_t ranks_;      // h
  std::int64_t rows_;       // b
  std::int64_t length_;     // n
  std::int64_t positions_;  // h*b*n
  std::int64_t source_;     // S: keys of cross-attention
  bool in_order_;           // rows arrive as the experts want them
  Routed routed_;
};

}  // namespace switchyard
