// Sample products whose bits show whether two machines compute alike: operands are drawn by Philox
// and results are hashed.
#include <bit>
#include <type_traits>

#include "base/philox.hpp"
#include "tensor/gemm.hpp"
#include "tensor/instruction_set.hpp"

namespace switchyard {
namespace {

// Hashes the bits of one product; its operands are drawn by Philox from [-1, 1).
template <class T>
std::uint64_t probe(std::uint64_t hash, std::uint64_t item, std::int64_t m, std::int64_t n,
                    std::int64_t k) {
  const RandomStream stream(0, Purpose::initial_weight, 0, item);
  const auto fill = [&](Tensor<T>& tensor, std::uint64_t which) {
    std::uint64_t element = 0;
    for (T& x : tensor.flat()) {
      const float value = 2 * unit_float(stream.block(which, element++)[0]) - 1;
      if constexpr (std::is_same_v<T, float>) {
        x = value;
      } else {
        x = to_bfloat16(value);
      }
    }
  };
  auto a = Tensor<T>::uninitialized(m, k), b = Tensor<T>::uninitialized(k, n);
  auto c = Tensor<float>::uninitialized(m, n);
  fill(a, 0);
  fill(b, 1);
  Work uncounted;
  gemm<T, float>(uncounted, a.view(), Transpose::no, b.view(), Transpose::no, c.view());
  for (const float x : c.flat()) hash = (hash ^ std::bit_cast<std::uint32_t>(x)) * 0x100000001b3;
  return hash;
}

}  // namespace

std::uint64_t probe_products() {
  constexpr std::int64_t shapes[][3] = {
      {1, 64, 64},    {3, 17, 300},    {8, 512, 256},  {16, 16, 4096}, {64, 64, 1000},
      {65, 127, 129}, {100, 256, 256}, {256, 96, 512}, {300, 520, 33}, {5, 1000, 40}};
  std::uint64_t hash = 0xcbf29ce484222325, item = 0;
  for (const auto& [m, n, k] : shapes) {
    hash = probe<float>(hash, item++, m, n, k);
    hash = probe<bfloat16>(hash, item++, m, n, k);
  }
  // Shapes for which the widening kernels pack their operands.
  if (bfloat16_support() == Bfloat16Support::widened) {
    hash = probe<float>(hash, item++, 130, 1024, 1100);
    hash = probe<float>(hash, item++, 1030, 140, 200);
  }
  return hash;
}

}  // namespace switchyard
