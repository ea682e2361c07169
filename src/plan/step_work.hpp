// What the busiest process computes in a training step, part by part: matrix products by shape, and
// the elements that everything else passes over. Pure arithmetic; plan/step_time turns it into
// seconds.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.hpp"
#include "plan/step_shape.hpp"

namespace switchyard {

// `count` products of the shape [m, k] x [k, n], each computed `passes` times: forward and for the
// gradients of both operands, and again where backward recomputes it.
struct Products {
  double count = 0;
  double m = 0, n = 0, k = 0;
  double passes = 3;

  double operations() const { return 2 * count * m * n * k * passes; }
};

enum class Rule { adafactor, adamw, sgd };

struct StepWork {
  std::vector<Products> attention, feed_forward, experts, logits;
  std::vector<Products> routing;  // always in f32

  // Elements, as plan/machine.hpp names them.
  double attention_elements = 0, scores = 0, feed_forward_elements = 0, expert_elements = 0;
  double choices = 0, row_elements = 0, logit_elements = 0, embedding_elements = 0;
  double parameters = 0;  // updated
  // Added to the first of the process's leaves, before the sum over processes.
  double leaf_elements = 0;
  double gradient_elements = 0;  // read for the norm
};

// load: the rows of the busiest process's experts relative to a fair share (plan/routing_skew).
StepWork plan_step_work(const ModelConfig& config, const Layout& layout, const StepShape& shape,
                        double load = 1);

}  // namespace switchyard
