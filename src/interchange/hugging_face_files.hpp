// What a Hugging Face directory holds beside its weights. An import keeps it in the run, an export
// gives it back; only config.json and the tokenizer's hash are looked into.
#pragma once

#include <optional>
#include <string>

#include "files/env.hpp"

namespace switchyard::hugging_face_files {

inline constexpr const char* config = "config.json";
inline constexpr const char* generation = "generation_config.json";
inline constexpr const char* tokenizer = "spiece.model";
// The same tokenizer in other forms, and what is said about it.
inline constexpr const char* about_tokenizer[] = {"tokenizer.json", "tokenizer_config.json",
                                                  "special_tokens_map.json", "added_tokens.json"};

// The file's bytes; nothing where it is absent. Error(damaged_data) past 64 MiB, before they are
// read.
std::optional<std::string> read(const Env& env, const std::string& directory, const char* name);

// Error(damaged_data) unless the text is a JSON object; `path` is for messages.
void require_json(const std::string& text, const std::string& path);

// A new file, durable once its directory is. Nothing is written where there are no bytes.
void write(Env& env, const std::string& directory, const char* name,
           const std::optional<std::string>& bytes);

}  // namespace switchyard::hugging_face_files
