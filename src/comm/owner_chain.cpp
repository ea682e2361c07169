#include "comm/owner_chain.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

namespace switchyard {

OwnerChain::OwnerChain(const Comm& comm, std::vector<Rank> owners, int tag)
    : comm_(&comm), owners_(std::move(owners)), tag_(tag) {
  const auto here = std::ranges::find(owners_, comm.rank());
  assert(here != owners_.end());
  place_ = static_cast<std::size_t>(here - owners_.begin());
}

void OwnerChain::open(std::span<double> sums) {
  if (is_first()) {
    std::ranges::fill(sums, 0.0);
  } else {
    start_receive<double>(*comm_, sums, at(place_ - 1), tag_).wait();
  }
}

void OwnerChain::close(std::span<double> sums) {
  if (!is_last()) sends_.push_back(start_send<double>(*comm_, sums, at(place_ + 1), tag_));
}

// From the last along a binomial tree: the owner i places before the last has the sums from the one
// i without its lowest set bit before it.
void OwnerChain::result(std::span<double> sums) {
  wait_for_all(sends_);
  const std::size_t count = owners_.size(), before_last = count - 1 - place_;
  const auto owner = [&](std::size_t i) { return at(count - 1 - i); };
  std::size_t lowest = std::bit_ceil(count);
  if (before_last > 0) {
    lowest = std::size_t{1} << std::countr_zero(before_last);
    start_receive<double>(*comm_, sums, owner(before_last - lowest), tag_).wait();
  }
  for (std::size_t distance = lowest / 2; distance > 0; distance /= 2)
    if (before_last + distance < count)
      sends_.push_back(start_send<double>(*comm_, sums, owner(before_last + distance), tag_));
  wait_for_all(sends_);
}

}  // namespace switchyard
