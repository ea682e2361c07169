// A benchmark's findings for people and for programs. Values in, text out.
#pragma once

#include <string>

#include "benchmark/benchmark.hpp"

namespace switchyard {

// Tables, with a line break at the end.
std::string benchmark_text(const Benchmark& benchmark);

// One JSON object; rates in GFLOP/s of all processes together, times in seconds or as named.
std::string benchmark_json(const Benchmark& benchmark);

}  // namespace switchyard
