// How unevenly experts' loads fall on the processes that own them: from a stated imbalance to the
// busiest process. Pure arithmetic.
#pragma once

#include <cstdint>

namespace switchyard {

// The rows of the busiest owner relative to those of one with as many experts and a fair load,
// where `experts` experts are shared out among `owners` processes: the mean over several drawn
// orders of the experts. Loads fall like a power from the busiest expert's, which is `imbalance`
// times the mean; no expert computes more than `most` times the mean, its capacity. 1 where
// imbalance is 1. experts >= 1, owners >= 1, imbalance >= 1.
double busiest_owner(std::int64_t experts, std::int64_t owners, double imbalance, double most);

}  // namespace switchyard
