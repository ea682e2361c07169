// Small integer types, one per meaning, so that passing a rank as a virtual rank does not compile.
#pragma once

#include <compare>
#include <cstdint>

namespace switchyard {

template <class Tag>
struct Index {
  std::int64_t value = 0;

  constexpr Index() = default;
  constexpr explicit Index(std::int64_t v) : value(v) {}
  constexpr auto operator<=>(const Index&) const = default;
  constexpr Index& operator++() {
    ++value;
    return *this;
  }
};

using Rank = Index<struct RankTag>;                // a process of the job, 0 … R-1
using VirtualRank = Index<struct VirtualRankTag>;  // 0 … V-1
using ExpertId = Index<struct ExpertTag>;          // 0 … E-1
using GroupId = Index<struct GroupTag>;            // a replica group, 0 … G-1

// A half-open interval [first, last) of one index type; usable in a range-for.
template <class I>
struct Interval {
  I first, last;

  constexpr std::int64_t size() const { return last.value - first.value; }
  constexpr bool empty() const { return size() == 0; }
  constexpr bool contains(I i) const { return first <= i && i < last; }
  constexpr bool operator==(const Interval&) const = default;

  struct Iterator {
    I at;
    constexpr I operator*() const { return at; }
    constexpr Iterator& operator++() {
      ++at;
      return *this;
    }
    constexpr bool operator!=(const Iterator& other) const { return at != other.at; }
  };
  constexpr Iterator begin() const { return {first}; }
  constexpr Iterator end() const { return {last}; }
};

}  // namespace switchyard
