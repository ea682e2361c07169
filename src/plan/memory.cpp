#include "plan/memory.hpp"

#include <algorithm>

#include "comm/canonical.hpp"
#include "comm/ownership.hpp"
#include "model/transformer.hpp"
#include "plan/layer_memory.hpp"
#include "plan/parameters.hpp"

namespace switchyard {
namespace {

constexpr std::int64_t float_bytes = sizeof(float);

// Measured: resident memory of the program before it has a model, and what its libraries keep.
constexpr std::int64_t program_bytes = 44'000'000;

// A checkpoint is read directly into place (checkpoint/reader.hpp), one block of this size at a
// time. Its manifest has an entry for each tensor of the whole model.
constexpr std::int64_t block_bytes = std::int64_t{1} << 20;
constexpr std::int64_t manifest_entry_bytes = 1000;  // measured: serialized plus parsed

// Padding as in ParamSet's layout.
std::int64_t padded(std::int64_t elements) { return (elements + 15) / 16 * 16; }

// The optimizer's state of so many rows of a tensor.
std::int64_t state_bytes(const OptimizerShape& optimizer, const TensorShape& shape,
                         std::int64_t rows) {
  const auto& [moments, factor_from, shared] = optimizer;
  const bool factored =
      factor_from && std::min(shape.rows, shape.cols) >= std::max<std::int64_t>(*factor_from, 2);
  if (rows == 0) return 0;
  return float_bytes * (factored ? rows + shape.cols : moments * rows * shape.cols);
}

// Adds the state of the dense tensors where each process has that of its share of their rows.
void add_shared_state(const MemoryInput& input, Rank p, ProcessMemory& memory) {
  const std::vector<TensorShape> shapes = dense_shapes(input.config);
  const Ownership ownership(shapes, input.layout.processes());
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const RowRange rows = ownership.rows(i, p);
    memory.optimizer += state_bytes(input.optimizer, shapes[i], rows.size());
    const bool is_first_of_several = rows.first == 0 && 0 < rows.last && rows.last < shapes[i].rows;
    if (is_first_of_several)
      memory.saving += state_bytes(input.optimizer, shapes[i], shapes[i].rows);
  }
}

// Adds the tensors of process p.
void add_parameters(const MemoryInput& input, Rank p, ProcessMemory& memory) {
  const std::int64_t dense_leaves = input.layout.hosted(p).size();
  const std::int64_t expert_leaves = input.layout.groups_of(p).size();
  for (const ParamSpec& spec : parameter_specs(input.config, input.layout.owned_experts(p))) {
    const std::int64_t bytes = float_bytes * padded(spec.rows * spec.cols);
    memory.weights += bytes;
    if (input.config.precision == Precision::bfloat16) memory.copies += bytes / 2;
    memory.gradients += bytes * (spec.expert ? expert_leaves : dense_leaves);
    if (spec.expert || !input.optimizer.shared)
      memory.optimizer += state_bytes(input.optimizer, {spec.rows, spec.cols}, spec.rows);
  }
  if (input.optimizer.shared) add_shared_state(input, p, memory);
}

// Adds what the sums of gradients over processes need beside the leaves.
void add_room_of_sums(const MemoryInput& input, Rank p, ProcessMemory& memory) {
  const Layout& layout = input.layout;
  std::int64_t dense = 0, experts = 0;
  for (const ParamSpec& spec : parameter_specs(input.config, layout.owned_experts(p)))
    (spec.expert ? experts : dense) += padded(spec.rows * spec.cols);
  memory.gradients +=
      room_of_sum({layout.virtual_ranks(), layout.processes()}, p, dense, float_bytes);
  if (layout.groups() == 1) return;
  const Interval<GroupId> groups = layout.groups_of(p);
  const LeafPartition holders(layout.groups(), layout.groups() / groups.size());
  memory.gradients += room_of_sum(holders, holders.owner(groups.first.value), experts, float_bytes);
}

// The number of tensors in a checkpoint: process p's dense ones and those of all experts, with
// optimizer state.
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

// The activations of one step: what all blocks keep, and the moment of largest memory.
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
    // Gradients of residual streams: dy and dh of the stack, and the gradient of the encoder's
    // output.
    const std::int64_t in_decoder = between_stacks() + blocks_saved(encoder_, encoder_.blocks()) +
                                    fullest_block(decoder_) + 2 * decoder_.stream() +
                                    encoder_.stream();
    const std::int64_t in_encoder =
        between_stacks() + fullest_block(encoder_) + 2 * encoder_.stream() + decoder_.stream();
    return std::max({logits, in_decoder, in_encoder});
  }

 private:
  // Batch and sequences (ids, indices, masks of real positions); the last h of each stack; the
  // encoder's output as input of products; the losses.
  std::int64_t between_stacks() const {
    const std::int64_t positions = encoder_.positions() + decoder_.positions();
    return 24 * positions + encoder_.stream() + decoder_.stream() + encoder_.rounded();
  }

  // Bytes per logit: its gradient reuses its memory, except for a rounded copy.
  std::int64_t logit_bytes() const {
    return float_bytes + (config_.precision == Precision::bfloat16 ? config_.input_bytes() : 0);
  }

  static std::int64_t blocks_saved(const StackMemory& stack, int blocks) {
    std::int64_t bytes = 0;
    for (int i = 0; i < blocks; ++i) bytes += stack.saved(i);
    return bytes;
  }

  // The largest sum over blocks: backward goes from the last block to the first and frees each.
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
  add_room_of_sums(input, p, memory);
  const StepMemory step(input, p, load);
  memory.activations = step.saved();
  memory.buffers = step.fullest() - memory.activations;
  memory.program = program_bytes;
  return memory;
}

}  // namespace switchyard
