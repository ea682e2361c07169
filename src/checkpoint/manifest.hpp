// The manifest on disk: framed, validated on reading, and converted to and from the program's own
// types. A Manifest obtained from these functions can be trusted: names are plain base names, or
// such below "shards-012"; every tensor lies inside its file, and every byte of every file belongs
// to exactly one tensor.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "checkpoint.pb.h"
#include "checkpoint/run_state.hpp"
#include "files/env.hpp"
#include "files/frame.hpp"

namespace switchyard {

inline constexpr FrameKind manifest_frame = {"SWYDMNFT", 1, "checkpoint manifest", 256 << 20};
inline constexpr const char* manifest_name = "MANIFEST";
inline constexpr std::int64_t tensor_alignment = 64;  // bytes

// The framed bytes; equal manifests give equal bytes.
std::string encode_manifest(const Manifest& manifest);

// `path` is used in messages. Throws Error(damaged_data), Error(unsafe_path), or Error(mismatch)
// for a newer version.
Manifest decode_manifest(std::string_view bytes, const std::string& path);

// Reads the manifest file of a checkpoint; Error(damaged_data) where the directory has none.
std::string read_manifest_bytes(const Env& env, const std::string& checkpoint_directory);
Manifest read_manifest(const Env& env, const std::string& checkpoint_directory);

void store_run_state(const RunState& state, Manifest& manifest);
RunState run_state_of(const Manifest& manifest);

std::int64_t tensor_bytes(const ManifestTensor& tensor);
// The tensor's bytes including the zero padding up to the next multiple of tensor_alignment.
std::int64_t stored_bytes(const ManifestTensor& tensor);

// The index of the tensor with that name, if any. The manifest lists tensors in order of name.
std::optional<int> find_tensor(const Manifest& manifest, const std::string& name);

// "[512, 64]"
std::string shape_text(std::span<const std::int64_t> shape);
inline std::string shape_text(std::initializer_list<std::int64_t> shape) {
  return shape_text(std::span(shape.begin(), shape.size()));
}

}  // namespace switchyard
