// Weights between Hugging Face's directories and checkpoints, a tensor at a time: memory holds the
// largest one and little more. It knows names and orientations, and no model: the caller lists the
// tensors that a model has.
#pragma once

#include <array>
#include <span>
#include <string>

#include "checkpoint/reader.hpp"
#include "checkpoint/run_state.hpp"
#include "comm/comm.hpp"
#include "comm/layout.hpp"
#include "files/env.hpp"
#include "interchange/hugging_face_config.hpp"
#include "interchange/safetensors.hpp"
#include "tensor/param.hpp"

namespace switchyard {

// "encoder.block.1.feed_forward.experts.3.wi" ->
// "encoder.block.1.layer.1.mlp.experts.expert_3.wi.weight".
std::string hugging_face_name(const std::string& name, HuggingFaceFamily family);

// Names under which directories hold the embedding; the last one only where logits use it.
inline constexpr std::array<const char*, 4> hugging_face_embedding_names = {
    "shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight",
    "lm_head.weight"};

// Error(mismatch) unless the logits have weights of their own, as a model needs whose config.json
// ties_without_scaling().
void require_own_logits(const SafetensorsReader& from);

struct ImportTarget {
  const Comm& alone;  // this process
  const Layout& layout;
  std::string checkpoints_directory;
  const RunState& state;
};

// Stores the directory's tensors as the checkpoint of `state`. `specs`: all tensors of the
// model. Before anything is written: Error(mismatch) where one is missing or of another shape, or
// where the directory has a tensor that the model does not have; Error(damaged_data) where two
// names of the one embedding hold different bits. Later: Error(damaged_data) at an element that is
// not finite. Returns the checkpoint's directory.
std::string import_weights(Env& env, const SafetensorsReader& from, HuggingFaceFamily family,
                           std::span<const ParamSpec> specs, const ImportTarget& to);

struct ExportTarget {
  std::string directory;  // exists
  ElementType type = ElementType::float32;
  std::int64_t shard_bytes = 0;
};

// Writes the checkpoint's weights, each byte verified, but for the biases of its routers, which
// those there have not; returns how many tensors. Error(mismatch) where it lacks one of `specs` or
// where a bias is not zero; Error(damaged_data).
std::int64_t export_weights(Env& env, const CheckpointReader& from, HuggingFaceFamily family,
                            std::span<const ParamSpec> specs, const ExportTarget& to);

}  // namespace switchyard
