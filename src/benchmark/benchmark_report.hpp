// Formats a benchmark's results for people and for programs. Values in, text out.
#pragma once

#include <string>

#include "benchmark/benchmark.hpp"

namespace switchyard {

// Tables; the text ends with a line break.
std::string benchmark_text(const Benchmark& benchmark);

// One JSON object. Rates are in GFLOP/s of all processes together, times in seconds unless named
// otherwise.
std::string benchmark_json(const Benchmark& benchmark);

}  // namespace switchyard
