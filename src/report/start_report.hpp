// The summary of a run that is printed at its start: shape, data, and which process hosts what.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/comm.hpp"
#include "comm/layout.hpp"
#include "config/settings.hpp"

namespace switchyard {

// "2+2 layers, width 128, …"
std::string model_text(const ModelConfig& config);

// "SWITCH", or "EXPERT_CHOICE in the encoder, TOPK 2 (normalised) in the decoder".
std::string routing_text(const ModelConfig& config);

// "BFLOAT16 in products and exchanged rows, FLOAT32 in all else"
std::string precision_text(Precision precision);

// "each block in backward, from its input: less memory, the same numbers"
std::string recompute_text(Recompute recompute);

// "0.6 / sqrt(max(step, 1000)), rising over the first 100 steps"
std::string schedule_text(const ScheduleConfig& schedule);

// What process p hosts: "virtual ranks 0-1, experts 0-3".
std::string share_text(const Layout& layout, Rank p);

// So many processes have a line of their own, with the name of their host.
inline constexpr std::int64_t most_process_lines = 8;

// What each process hosts: "process 0 on n1: virtual ranks 0-1, experts 0-3" for each of the first
// few, then one line for all others with a share of the same size: "processes 8-1023: 1 virtual
// rank and 2 experts each". hosts: of those that have a line of their own; empty to leave them out.
std::vector<std::string> share_lines(const Layout& layout, std::span<const std::string> hosts = {});

// What the report needs to know about the data.
struct ReportedData {
  std::string description;             // "31,000 documents, 1.2 M tokens"
  std::int64_t target_length = 0;      // T
  std::int64_t evaluated_samples = 0;  // used in each evaluation
};

// The whole summary, without a final line break. Collective.
std::string start_report(const Comm& comm, const Layout& layout, const std::string& host,
                         const Settings& settings, const ReportedData& data);

}  // namespace switchyard
