// A picture of plan/scaling: tokens per second over processes, as an SVG in the style of
// launch/figures.sh. Pure text; it knows no files.
#pragma once

#include <string>
#include <vector>

#include "plan/scaling.hpp"

namespace switchyard {

// heading: what the picture shows; details: smaller, below it. Rows without a time are left out; at
// least one must have one. tokens_of_row: positions of both stacks.
std::string scaling_picture(const std::vector<ScalingRow>& rows, double tokens_of_row,
                            const std::string& heading, const std::string& details);

}  // namespace switchyard
