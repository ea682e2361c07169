// The files of a Hugging Face directory besides its weights. An import keeps them in the run, and
// an export writes them back; only config.json and the tokenizer's hash are interpreted.
#pragma once

#include <optional>
#include <string>

#include "files/env.hpp"

namespace switchyard::hugging_face_files {

inline constexpr const char* config = "config.json";
inline constexpr const char* generation = "generation_config.json";
inline constexpr const char* tokenizer = "spiece.model";
// The tokenizer in other formats, and its settings.
inline constexpr const char* about_tokenizer[] = {"tokenizer.json", "tokenizer_config.json",
                                                  "special_tokens_map.json", "added_tokens.json"};

// The file's bytes; nullopt where it is absent. Error(damaged_data) where it is larger than 64 MiB,
// before it is read.
std::optional<std::string> read(const Env& env, const std::string& directory, const char* name);

// Error(damaged_data) unless the text is a JSON object; `path` is used in messages.
void require_json(const std::string& text, const std::string& path);

// Writes a new file, which is durable once its directory is. Writes nothing if there are no bytes.
void write(Env& env, const std::string& directory, const char* name,
           const std::optional<std::string>& bytes);

}  // namespace switchyard::hugging_face_files
