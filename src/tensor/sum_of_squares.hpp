// Sums of squares for gradient norms and Adafactor's statistics.
#pragma once

#include <span>

namespace switchyard {

// Sums of squares in f64. row_sum_of_squares: of one row, on the calling thread, in lanes
// (tensor/rows.hpp). sum_of_squares: of any number of elements, in blocks of 4,096, in block order.
double row_sum_of_squares(std::span<const float> x);
double sum_of_squares(std::span<const float> x);

}  // namespace switchyard
