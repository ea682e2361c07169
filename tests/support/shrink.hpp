// Finds the smallest case that still fails. A case is a row of numbers, of which 0 is the simplest;
// the meaning of the numbers is unknown here.
#pragma once

#include <cstddef>
#include <vector>

namespace switchyard::test {

// Greedy: each number in turn is reduced to the lowest one with which the row still fails,
// repeatedly until none can be reduced. `row` must fail; so does the result, and reducing any
// single number of it makes it pass.
template <class Fails>
std::vector<std::size_t> shrink(std::vector<std::size_t> row, Fails fails) {
  for (bool shrunk = true; shrunk;) {
    shrunk = false;
    for (std::size_t i = 0; i < row.size(); ++i) {
      std::vector<std::size_t> smaller = row;
      for (smaller[i] = 0; smaller[i] < row[i]; ++smaller[i]) {
        if (!fails(smaller)) continue;
        row = smaller;
        shrunk = true;
      }
    }
  }
  return row;
}

}  // namespace switchyard::test
