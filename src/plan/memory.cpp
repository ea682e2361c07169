#include "plan/memory.hpp"

#include <algorithm>

#include "model/transformer.hpp"
#include "plan/layer_memory.hpp"
#include "plan/parameters.hpp"

namespace switchyard {
namespace {

constexpr std::int64_t float_bytes = sizeof(float);

// Measured: the resident program before it has a model, and what its libraries keep.
constexpr std::int64_t program_bytes = 44'000'000;

// A checkpoint is read into place (checkpoint/reader.hpp): this much of it passes at once, and its
// manifest has an entry for each tensor of the whole model.
constexpr std::int64_t block_bytes = std::int64_t{1} << 20;
constexpr std::int64_t manifest_entry_bytes = 1000;  // measured: as bytes, and taken apart

// As ParamSet lays tensors out.
std::int64_t padded(std::int64_t elements) { return (elements + 15) / 16 * 16; }

// Adds the tensors that p holds.
void add_parameters(const MemoryInput& input, Rank p, ProcessMemory& memory) {
  const std::int64_t dense_leaves = input.layout.hosted(p).size();
  const std::int64_t expert_leaves = input.layout.groups_of(p).size();
  const auto& [moments, factor_from] = input.optimizer;
  for (const ParamSpec& spec : parameter_specs(input.config, input.layout.owned_experts(p))) {
    const std::int64_t bytes = float_bytes * padded(spec.rows * spec.cols);
    memory.weights += bytes;
    if (input.config.precision == Precision::bfloat16) memory.copies += bytes / 2;
    memory.gradients += bytes * (spec.expert ? expert_leaves : dense_leaves);
    const bool factored =
        factor_from && std::min(spec.rows, spec.cols) >= std::max<std::int64_t>(*factor_from, 2);
    memory.optimizer +=
        float_bytes * (factored ? spec.rows + spec.cols : moments * spec.rows * spec.cols);
  }
}

// How many tensors a checkpoint has: p's, with the experts of all.
std::int64_t stored_tensors(const MemoryInput& input, Rank p) {
  const auto owned = input.layout.owned_experts(p);
  std::int64_t dense = 0, of_owned = 0;
  for (const ParamSpec& spec : parameter_specs(input.config, owned))
    ++(spec.expert ? of_owned : dense);
  const std::int64_t of_all =
      owned.size() > 0 ? of_owned / owned.size() * input.layout.experts() : 0;
  const int with_state = 1 + std::max(input.optimizer.moments, input.optimizer.factor_from ? 2 : 0);
  return with_state * (dense + of_all);
}

// One step's activations: what all blocks save, and the fullest moment.
class StepMemory {
 public:
  StepMemory(const MemoryInput& input, Rank p, Load load)
      : config_(input.config), encoder_(input, p, load, false), decoder_(input, p, load, true) {}

  std::int64_t saved() const {
    return between_stacks() + blocks_saved(encoder_, encoder_.blocks()) +
           blocks_saved(decoder_, decoder_.blocks());
  }

  std::int64_t fullest() const {
    const std::int64_t chunk = std::min<std::int64_t>(512, decoder_.positions_of_rank());
    const std::int64_t logits = saved() + decoder_.rounded() + decoder_.stream() +
                                logit_bytes() * chunk * config_.vocab_size +
                                decoder_.product_rooms(chunk, config_.vocab_size, config_.d_model);
    // Gradients of the residual streams: dy and dh of the stack, and of the encoder's output.
    const std::int64_t in_decoder = between_stacks() + blocks_saved(encoder_, encoder_.blocks()) +
                                    fullest_block(decoder_) + 2 * decoder_.stream() +
                                    encoder_.stream();
    const std::int64_t in_encoder =
        between_stacks() + fullest_block(encoder_) + 2 * encoder_.stream() + decoder_.stream();
    return std::max({logits, in_decoder, in_encoder});
  }

 private:
  // Batch and sequences (ids, indices, which are real); each stack's last h, the encoder's output
  // as products read it; the losses.
  std::int64_t between_stacks() const {
    const std::int64_t positions = encoder_.positions() + decoder_.positions();
    return 24 * positions + encoder_.stream() + decoder_.stream() + encoder_.rounded();
  }

  // Of a logit: its gradient takes its place, but for what is rounded.
  std::int64_t logit_bytes() const {
    return float_bytes + (config_.precision == Precision::bfloat16 ? config_.input_bytes() : 0);
  }

  static std::int64_t blocks_saved(const StackMemory& stack, int blocks) {
    std::int64_t bytes = 0;
    for (int i = 0; i < blocks; ++i) bytes += stack.saved(i);
    return bytes;
  }

  // Backward goes from the last block to the first and frees as it goes.
  static std::int64_t fullest_block(const StackMemory& stack) {
    std::int64_t most = 0;
    for (int i = 0; i < stack.blocks(); ++i) {
      most = std::max(most, blocks_saved(stack, i + 1) + stack.backward(i));
    }
    return most;
  }

  const ModelConfig& config_;
  StackMemory encoder_, decoder_;
};

}  // namespace

ProcessMemory plan_memory(const MemoryInput& input, Rank p, Load load) {
  ProcessMemory memory;
  add_parameters(input, p, memory);
  memory.loading = block_bytes + manifest_entry_bytes * stored_tensors(input, p);
  const StepMemory step(input, p, load);
  memory.activations = step.saved();
  memory.buffers = step.fullest() - memory.activations;
  memory.program = program_bytes;
  return memory;
}

}  // namespace switchyard
