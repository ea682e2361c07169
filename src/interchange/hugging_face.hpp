// Converts weights between Hugging Face directories and checkpoints, one tensor at a time, so that
// memory holds little more than the largest tensor. It knows tensor names and orientations, but no
// model: the caller lists the model's tensors.
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

// The names under which directories store the embedding; the last one only if the logits use it.
inline constexpr std::array<const char*, 4> hugging_face_embedding_names = {
    "shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight",
    "lm_head.weight"};

// Error(mismatch) unless the logits have weights of their own, which a model must have if its
// config.json ties_without_scaling().
void require_own_logits(const SafetensorsReader& from);

struct ImportTarget {
  const Comm& alone;  // a communicator of this process alone
  const Layout& layout;
  std::string checkpoints_directory;
  const RunState& state;
};

// Writes the directory's tensors as the checkpoint of `state`. `specs`: all tensors of the model.
// Before anything is written: Error(mismatch) where a tensor is missing, has another shape, or is
// not in the model; Error(damaged_data) where two names of the same embedding hold different bits.
// While writing: Error(damaged_data) at an element that is not finite. Returns the checkpoint's
// directory.
std::string import_weights(Env& env, const SafetensorsReader& from, HuggingFaceFamily family,
                           std::span<const ParamSpec> specs, const ImportTarget& to);

struct ExportTarget {
  std::string directory;  // must exist
  ElementType type = ElementType::float32;
  std::int64_t shard_bytes = 0;
};

// Writes the checkpoint's weights, with every byte verified, except for router biases, which
// Hugging Face models do not have. Returns the number of tensors written. Error(mismatch) where the
// checkpoint lacks one of `specs` or where a router bias is not zero; Error(damaged_data).
std::int64_t export_weights(Env& env, const CheckpointReader& from, HuggingFaceFamily family,
                            std::span<const ParamSpec> specs, const ExportTarget& to);

}  // namespace switchyard
