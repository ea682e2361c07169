// Converts config.json of Hugging Face's Switch Transformers and T5 to and from this program's
// options. What is converted means the same on both sides; what only one side has is preserved or
// left unset.
#pragma once

#include <string>

#include "interchange/safetensors_header.hpp"
#include "run.pb.h"

namespace switchyard {

enum class HuggingFaceFamily { switch_transformers, t5 };

// T5 for a model without experts.
HuggingFaceFamily hugging_face_family(const RunConfig& config);

// Reads `model` and `moe` of a run from `text`, the content of `path`. Error(damaged_data) where it
// is not JSON or a value has the wrong type; Error(mismatch) for a model that this program does not
// support, with the key that says so.
RunConfig read_hugging_face_config(const std::string& text, const std::string& path);

// Whether a config.json that read_hugging_face_config() accepted has tie_word_embeddings true and
// scale_decoder_outputs false. This program supports such a model only if its logits have weights
// of their own.
bool ties_without_scaling(const std::string& text, const std::string& path);

struct ExportedConfig {
  std::string text;        // config.json
  std::string difference;  // "", or a sentence: evaluation there differs from that here
};

// The config.json for a model with this resolved configuration, which includes data.target_length,
// and with tensors of this type. `original`: the config.json from which the model was imported, or
// ""; its keys are kept except where the configuration has changed since. Error(mismatch) for a
// model that Hugging Face does not support.
ExportedConfig hugging_face_config(const RunConfig& config, const std::string& original,
                                   ElementType type);

// The generation_config.json for such a model.
std::string hugging_face_generation_config();

}  // namespace switchyard
