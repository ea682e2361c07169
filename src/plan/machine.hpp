// What a machine and its network can do, as `benchmark --calibrate` measures it or a file states
// it: the constants of plan/step_time. Plain values; it knows neither files nor clocks.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace switchyard {

// The rate of a linear layer's three products (forward, and the gradients of both operands) over a
// grid of shapes: [rows, inputs] x [inputs, outputs].
struct ProductTable {
  std::vector<std::int64_t> rows, outputs, inputs;  // ascending
  std::vector<double> rates;  // [rows, outputs, inputs] operations per second of a process

  // Between grid points, interpolated in the logarithms; beyond the largest size, that of the
  // largest; below the smallest, falling with the size.
  double rate(double m, double n, double k) const;
};

// Seconds per element of all that is no product, forward and backward together.
struct SweepTimes {
  double attention = 0;  // an element of [positions, D] of one attention
  double scores = 0;     // a pair of query and key of one head
  double feed_forward =
      0;                 // an element of [positions, D] of a block, or of a hidden [positions, F]
  double experts = 0;    // an element of [rows, D + F] that an expert computes
  double choices = 0;    // a token's probability of one expert
  double rows = 0;       // an element of [kept rows, D] that is packed and combined
  double logits = 0;     // a logit
  double embedding = 0;  // an element of [positions, D]
  double adafactor = 0, adamw = 0;  // a parameter updated
  double step = 0;                  // once a step
};

struct LinkTimes {
  double message = 0;  // seconds per message, of the process that sends it
  double rate = 0;     // bytes per second
};

struct Machine {
  std::int64_t processes_per_host = 1, threads = 1;  // with which it was measured
  ProductTable float32, bfloat16;
  double memory_rate = 0;  // bytes per second that a process reads and writes, all at work
  SweepTimes sweeps{};
  std::optional<LinkTimes> inside_host{};    // rate: of each process, all sending
  std::optional<LinkTimes> between_hosts{};  // rate: of a host, all its processes together
  // Of the time that summing gradients takes after backward, how much less a step takes where
  // backward overlaps it.
  double overlap_gain = 0.3;
};

}  // namespace switchyard
