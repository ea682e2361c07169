// The contents of a checkpoint in a form for people and for comparison: shapes, and a SHA-256 of
// each tensor's raw little-endian bytes, which does not depend on the number of processes that
// wrote it. Nothing here is collective.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/index.hpp"
#include "checkpoint/reader.hpp"
#include "checkpoint/run_state.hpp"
#include "tensor/named_tensor.hpp"

namespace switchyard {

struct TensorSummary {
  std::string name;
  std::int64_t rows = 0, cols = 0;
  std::optional<ExpertId> expert;
  std::int64_t bytes = 0;
};

struct CheckpointSummary {
  RunState state;
  std::int64_t virtual_ranks = 0, processes = 0, groups = 0,
               experts = 0;  // of the run that wrote the checkpoint
  std::int64_t files = 0, bytes = 0;
  std::vector<TensorSummary> tensors;  // in order of name
};

// Reads the manifest only.
CheckpointSummary summarize_checkpoint(const CheckpointReader& checkpoint);

struct TensorDigest {
  std::string name, sha256;
  bool operator==(const TensorDigest&) const = default;
};

// In order of name. Reads every tensor and verifies it against the manifest; throws
// Error(damaged_data).
std::vector<TensorDigest> digest_checkpoint(const CheckpointReader& checkpoint);

// SHA-256 over the lines "<sha256>  <name>\n", in the order given.
std::string overall_digest(std::span<const TensorDigest> digests);

// The same digest for a tensor in memory.
std::string digest_tensor(const NamedTensor& tensor);

}  // namespace switchyard
