// What a checkpoint remembers of its run besides tensors: how far it is, what defines it, what
// wrote it.
#pragma once

#include <cstdint>
#include <string>

namespace switchyard {

// Two builds with equal fields give equal bits; probe_products is the hash that tells unequal
// machines.
struct BuildInfo {
  std::string version{}, commit{}, build_type{};
  std::string onednn_version{}, isa{}, mpi{};
  std::uint64_t probe_products = 0;
  bool operator==(const BuildInfo&) const = default;
};

struct RunState {
  std::int64_t step = 0;                          // steps done
  std::int64_t samples = 0;                       // samples consumed: the data cursor
  std::string config_text{};                      // the resolved configuration, text format
  std::string data_digest{}, tokenizer_digest{};  // SHA-256, hex
  BuildInfo build{};
  std::string unwritten_records{};  // lines of the run's record up to this step that it lacks
  bool operator==(const RunState&) const = default;

  // Weights from elsewhere, which no run has trained yet: there is no optimizer state, and what is
  // fixed in a run is not fixed yet. Without a tokenizer digest any tokenizer may be theirs.
  bool is_imported() const { return step == 0 && data_digest.empty(); }
};

}  // namespace switchyard
