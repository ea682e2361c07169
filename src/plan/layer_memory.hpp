// What the blocks of one stack allocate on one process: kept by forward, and besides it during
// their backward, where some of it may be computed again. For memory.cpp.
#pragma once

#include <cstdint>

#include "plan/memory.hpp"

namespace switchyard {

class StackMemory {
 public:
  StackMemory(const MemoryInput& input, Rank p, Load load, bool decoder);

  // Bytes of one matrix [h*N, D]: the residual stream or a gradient of it; and rounded, as a
  // product reads it.
  std::int64_t stream() const { return floats(positions_, config_.d_model); }
  std::int64_t rounded() const { return inputs(positions_, config_.d_model); }
  std::int64_t positions() const { return positions_; }               // h*N
  std::int64_t positions_of_rank() const { return rows_ * length_; }  // N

  // What a product of these extents, and both of its gradients, take beside their operands.
  std::int64_t product_rooms(std::int64_t m, std::int64_t n, std::int64_t k) const;

  int blocks() const;
  // What forward keeps of the block.
  std::int64_t saved(int block) const;
  // The most that exists during the block's backward besides what was kept and what the stack
  // holds.
  std::int64_t backward(int block) const;

 private:
  struct Routed {              // rows of one sparse layer
    std::int64_t kept = 0;     // sent by this process
    std::int64_t owned = 0;    // computed by it
    std::int64_t largest = 0;  // of those, by one expert for one group
  };
  Routed route(Rank p, Load load) const;

  struct Attended {            // by the queries of one row in one head
    std::int64_t keys = 0;     // m
    std::int64_t scores = 0;   // computed of them all
    std::int64_t at_once = 0;  // of these, in a thread's matrix
    std::int64_t brought = 0;  // elements of queries, keys and values that a thread brings together
    std::int64_t summed = 0;   // elements of their gradients that it sums up in f32
  };
  Attended itself() const;  // self-attention
  Attended source() const;  // cross-attention
  Attended all_of(std::int64_t keys) const;

  // Bytes of a matrix in f32, and of one that enters products or travels.
  static std::int64_t floats(std::int64_t rows, std::int64_t cols);
  std::int64_t inputs(std::int64_t rows, std::int64_t cols) const;
  bool rounds() const { return config_.precision == Precision::bfloat16; }
  bool recomputes(Recompute part) const { return config_.recompute == part; }

  std::int64_t block_saved(int block) const;  // until its backward, or its recomputation, is over
  std::int64_t mlp_saved(std::int64_t rows) const;
  std::int64_t residual_saved() const;
  std::int64_t attention_saved(const Attended& attended) const;
  RoutingMethod method() const { return config_.moe.routing(decoder_); }
  bool is_soft() const { return method() == RoutingMethod::soft; }
  std::int64_t slots() const { return ranks_ * rows_ * config_.router_outputs(decoder_); }
  std::int64_t choices() const;
  std::int64_t probabilities() const;
  std::int64_t decisions() const;
  std::int64_t switch_saved() const;
  std::int64_t attention_backward(const Attended& attended, bool self) const;
  std::int64_t dense_backward() const;
  std::int64_t experts_backward() const;
  std::int64_t router_inputs() const;
  std::int64_t switch_backward() const;
  std::int64_t soft_backward() const;
  std::int64_t feed_forward_backward(int block) const;

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
