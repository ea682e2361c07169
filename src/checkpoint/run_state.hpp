// What a checkpoint stores about its run besides tensors: its progress, what defines the run, and
// which build wrote it.
#pragma once

#include <cstdint>
#include <string>

namespace switchyard {

// Two builds with equal fields compute equal bits. probe_products is a hash of sample products that
// differs between machines which compute different bits.
struct BuildInfo {
  std::string version{}, commit{}, build_type{};
  std::string onednn_version{}, isa{}, mpi{};
  std::uint64_t probe_products = 0;
  bool operator==(const BuildInfo&) const = default;
};

struct RunState {
  std::int64_t step = 0;      // steps taken
  std::int64_t samples = 0;   // samples consumed: the data cursor
  std::string config_text{};  // the resolved configuration in protobuf text format
  std::string data_digest{}, tokenizer_digest{};  // SHA-256, hex
  BuildInfo build{};
  std::string unwritten_records{};  // lines up to this step that metrics.jsonl lacks
  bool operator==(const RunState&) const = default;

  // Whether the weights were imported and no run has trained them yet. Then there is no optimizer
  // state, and the options that a run fixes are still free. Without a tokenizer digest the weights
  // may be used with any tokenizer.
  bool is_imported() const { return step == 0 && data_digest.empty(); }
};

}  // namespace switchyard
