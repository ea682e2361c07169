// What gradient norms and Adafactor's statistics are made of.
#pragma once

#include <span>

namespace switchyard {

// Sum of squares in f64. Of a row's elements, on the calling thread, lane by lane
// (tensor/rows.hpp); of any number of them, by blocks of 4,096, in block order.
double row_sum_of_squares(std::span<const float> x);
double sum_of_squares(std::span<const float> x);

}  // namespace switchyard
