#include "interchange/hugging_face_capacity.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "interchange/hugging_face_stacks.hpp"

namespace switchyard {
namespace {

// A stack that may have sparse layers, and the capacity that an expert has in evaluation here.
struct Routed {
  const char* stack;
  bool sparse;
  std::int64_t positions;  // per row
  std::int64_t rows;       // per routing group
  std::int64_t places;     // expert capacity per routing group

  bool drops() const { return places < rows * positions; }
};

// The same arithmetic as in the layers, in double.
std::int64_t share(const MoeOptions& moe, std::int64_t tokens) {
  const auto fair = static_cast<std::int64_t>(static_cast<double>(tokens) *
                                              moe.eval_capacity_factor() / moe.num_experts());
  return std::max<std::int64_t>(std::min(fair, tokens), moe.min_capacity());
}

std::array<Routed, 2> stacks_of(const RunConfig& config) {
  const MoeOptions& moe = config.moe();
  const std::int64_t parts =
      std::int64_t{config.parallel().virtual_ranks()} * config.train().accumulation_steps();
  const std::int64_t rows = std::max<std::int64_t>(1, config.train().batch_size() / parts);
  const auto stack = [&](const char* name, int layers, std::int64_t positions) {
    const std::int64_t tokens = rows * positions;
    return Routed{name, layers > 0, positions, rows,
                  moe.eval_dropless() ? tokens : share(moe, tokens)};
  };
  const SparseLayers layers = sparse_layers_of(config);
  return {stack("encoder", layers.encoder, config.data().input_length()),
          stack("decoder", layers.decoder, config.data().target_length())};
}

bool agrees(const Routed& stack, std::int64_t capacity, bool first_comers) {
  if (!stack.sparse) return true;
  const bool drops_there = capacity < stack.positions;
  if (!stack.drops() || !drops_there) return stack.drops() == drops_there;
  return stack.rows == 1 && stack.places == capacity && first_comers;
}

std::string sentence(const std::array<Routed, 2>& stacks, std::int64_t capacity,
                     bool first_comers) {
  std::string text =
      "expert_capacity " + std::to_string(capacity) +
      " in config.json makes evaluation drop other tokens than here, where an expert takes";
  const char* join = " ";
  for (const Routed& stack : stacks) {
    if (!stack.sparse) continue;
    text += join + std::to_string(stack.places) + " of " +
            std::to_string(stack.rows * stack.positions) + " tokens in the " + stack.stack;
    join = " and ";
  }
  if (stacks[0].rows > 1) text += ", of " + std::to_string(stacks[0].rows) + " rows together";
  if (!first_comers) text += ", the most probable ones";
  return text + ": with moe.eval_dropless neither drops any";
}

}  // namespace

TheirCapacity their_capacity(const RunConfig& config, std::optional<std::int64_t> original) {
  if (original && !config.data().has_train()) return {*original, ""};
  const std::array<Routed, 2> stacks = stacks_of(config);
  const bool first_comers = config.moe().drop_policy() != MoeOptions::DropPolicy::PROBS;
  std::int64_t most = 0;
  std::vector<std::int64_t> candidates;
  if (original) candidates.push_back(*original);
  for (const Routed& stack : stacks) {
    if (!stack.sparse) continue;
    candidates.push_back(stack.drops() ? share(config.moe(), stack.positions) : stack.positions);
    most = std::max(most, candidates.back());
  }
  if (most == 0) most = config.data().input_length();  // the model has no experts
  candidates.push_back(most);
  for (const std::int64_t tokens : candidates) {
    if (std::ranges::all_of(stacks,
                            [&](const Routed& s) { return agrees(s, tokens, first_comers); }))
      return {tokens, ""};
  }
  return {most, sentence(stacks, most, first_comers)};
}

}  // namespace switchyard
