// config.json of Hugging Face's Switch Transformers and T5, to and from this program's options. The
// two sides mean the same by what is translated; what only one side has is kept or left alone.
#pragma once

#include <string>

#include "interchange/safetensors_header.hpp"
#include "run.pb.h"

namespace switchyard {

enum class HuggingFaceFamily { switch_transformers, t5 };

// T5 where there are no experts.
HuggingFaceFamily hugging_face_family(const RunConfig& config);

// `model` and `moe` of a run, from the text of `path`. Error(damaged_data): no
// JSON, or a value of another type than it must have; Error(mismatch): a model that this program
// does not have, with the key that says so.
RunConfig read_hugging_face_config(const std::string& text, const std::string& path);

// Whether a config.json that read_hugging_face_config() took has tie_word_embeddings true and
// scale_decoder_outputs false. Such a model is one of this program only where its logits have
// weights of their own.
bool ties_without_scaling(const std::string& text, const std::string& path);

struct ExportedConfig {
  std::string text;        // config.json
  std::string difference;  // "", or a sentence: evaluation there differs from that here
};

// Of a model with this resolved configuration, data.target_length included, its tensors of that
// type. `original`: the config.json it was imported with, or "": all that it says stays, but for
// what has changed since. Error(mismatch): a model that Hugging Face does not have.
ExportedConfig hugging_face_config(const RunConfig& config, const std::string& original,
                                   ElementType type);

// generation_config.json of such a model.
std::string hugging_face_generation_config();

}  // namespace switchyard
