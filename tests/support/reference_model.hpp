// The whole model in plain scalar f64 arithmetic on a tape, written from the mathematics: T5
// encoder-decoder, Switch layers with capacity, all losses, dropout and jitter with the random
// numbers of the run. It shares no arithmetic with src/.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/batch.hpp"
#include "model/config.hpp"

namespace switchyard::reference {

struct Weights {
  std::int64_t rows = 0, cols = 0;
  std::vector<double> values;
};

struct ModelRun {
  int virtual_ranks = 1;
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  bool training = true;  // dropout, jitter, training capacity
};

struct ModelResult {
  double loss = 0;                                       // the objective that training minimises
  double cross_entropy = 0;                              // mean over real targets
  std::vector<double> token_loss;                        // [V*b, T]
  std::vector<double> extra_loss;                        // [V*b, T] label smoothing and z-loss
  std::map<std::string, std::vector<double>> gradients;  // by tensor name; empty unless requested
  std::int64_t dropped_tokens = 0;
};

// `batch` contains the rows of all V virtual ranks.
ModelResult run_model(const ModelConfig& config, const std::map<std::string, Weights>& weights,
                      const Batch& batch, const ModelRun& run, bool with_gradients);

}  // namespace switchyard::reference
