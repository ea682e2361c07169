// Finds the smallest case that still shows a failure. A case is a row of numbers in which 0 is the
// simplest; what the numbers stand for is not known here.
#pragma once

#include <cstddef>
#include <vector>

namespace switchyard::test {

// Greedy: each number in turn becomes the lowest with which the row still fails, over again until
// none does. `row` fails; so does the result, and with any one of its numbers lower it holds.
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
