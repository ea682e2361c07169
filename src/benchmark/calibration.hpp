// Measures the constants of plan/machine.hpp on this job's machine: products by shape and memory,
// all processes at once; messages within a host and between hosts; and everything that is no
// product from steps of three small models, whose phases it compares with plan/step_work. It knows
// no files.
#pragma once

#include <span>
#include <vector>

#include "base/log.hpp"
#include "comm/comm.hpp"
#include "plan/machine.hpp"

namespace switchyard {

// Collective. The result is the same on all processes.
Machine calibrate(const Comm& comm, Log& log);

// Coefficients, none below 0, with which the columns add up to `values` with the least sum of
// squared relative errors. columns[j][i] belongs to values[i]; one or two columns.
std::vector<double> fit_nonnegative(std::span<const std::vector<double>> columns,
                                    std::span<const double> values);

}  // namespace switchyard
