// A test program that must fail at once: one rank leaves, the other waits for it in a collective.
#include <gtest/gtest.h>

#include <stdexcept>

#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

TEST(OneRank, Throws) {
  if (test_world().rank() == Rank(1)) throw std::runtime_error("rank 1 has left");
  barrier(test_world());
}

}  // namespace
}  // namespace switchyard
