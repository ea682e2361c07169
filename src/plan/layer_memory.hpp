// Memory that the blocks of one stack allocate on one process: what forward keeps, and what
// backward needs besides, including recomputation. Used by memory.cpp.
#pragma once

#include <cstdint>

#include "plan/memory.hpp"

namespace switchyard {

class StackMemory {
 public:
  StackMemory(const MemoryInput& input, Rank p, Load load, bool decoder);

  // stream: bytes of one matrix [h*N, D], the residual stream or its gradient. rounded: the same
  // matrix as input of a product.
  std::int64_t stream() const { return floats(positions_, config_.d_model); }
  std::int64_t rounded() const { return inputs(positions_, config_.d_model); }
  std::int64_t positions() const { return positions_; }               // h*N
  std::int64_t positions_of_rank() const { return rows_ * length_; }  // N

  // Scratch memory of a product of this shape and of its two gradient products, besides their
  // operands.
  std::int64_t product_rooms(std::int64_t m, std::int64_t n, std::int64_t k) const;

  int blocks() const;
  // Bytes that forward keeps of the block.
  std::int64_t saved(int block) const;
  // The largest number of bytes that exists during the block's backward, besides what forward kept
  // and what the stack itself holds.
  std::int64_t backward(int block) const;

 private:
  struct Routed {              // rows in one sparse layer
    std::int64_t kept = 0;     // sent by this process
    std::int64_t owned = 0;    // computed by it
    std::int64_t largest = 0;  // of those, by one expert for one group
    std::int64_t chunk = 0;    // of those, in one chunk of the exchange
  };
  Routed route(Rank p, Load load) const;

  struct Attended {            // attention of one row in one head
    std::int64_t keys = 0;     // m
    std::int64_t scores = 0;   // computed over all queries
    std::int64_t at_once = 0;  // of these, in one thread's matrix at a time
    std::int64_t brought = 0;  // elements of queries, keys and values that a thread gathers
    std::int64_t summed = 0;   // elements of their gradients that it sums in f32
  };
  Attended itself() const;  // self-attention
  Attended source() const;  // cross-attention
  Attended all_of(std::int64_t keys) const;

  // floats: bytes of a matrix in f32. inputs: bytes of a matrix that enters products or is sent.
  static std::int64_t floats(std::int64_t rows, std::int64_t cols);
  std::int64_t inputs(std::int64_t rows, std::int64_t cols) const;
  bool rounds() const { return config_.precision == Precision::bfloat16; }
  bool recomputes(Recompute part) const { return config_.recompute == part; }

  std::int64_t block_saved(int block) const;  // until backward, or the recomputation, is over
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
  std::int64_t experts_backward_in_chunks() const;
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
  bool in_order_;           // rows arrive in the order the experts need
  std::int64_t chunks_;     // of the exchange
  Routed routed_;
};

}  // namespace switchyard
