// The basis of the first contract: a product has the same bits for teams of any size, inside and
// outside of parallel regions, and from any thread.
#include <gtest/gtest.h>
#include <omp.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "support/random_tensor.hpp"
#include "tensor/gemm.hpp"

namespace switchyard {
namespace {

struct Shape {
  std::int64_t m, n, k;
};

// Numbers of rows around which kernels change, and small outputs with a long K, where oneDNN by
// itself would split K over threads.
std::vector<Shape> swept_shapes() {
  std::vector<Shape> shapes = {
      {512, 8, 4096},   {512, 8, 40000},  {8, 512, 40000}, {64, 64, 4096},    {64, 64, 40000},
      {16, 16, 4096},   {16, 16, 40000},  {4096, 1, 1},    {4096, 64, 64},    {4096, 8, 256},
      {256, 1024, 200}, {1024, 256, 100}, {300, 1000, 70}, {256, 1024, 1300}, {1024, 256, 1300}};
  for (const std::int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 63, 64, 65}) {
    for (const auto& [n, k] : {std::pair{1, 1},
                               {1, 4096},
                               {8, 512},
                               {4, 40000},
                               {64, 64},
                               {65, 1000},
                               {300, 33},
                               {512, 1000}}) {
      shapes.push_back({m, n, k});
    }
  }
  return shapes;
}

template <class In, class Out>
class Product {
 public:
  explicit Product(Shape shape)
      : shape_(shape),
        a_(random_tensor<In>(shape.m, shape.k, 1)),
        b_(random_tensor<In>(shape.k, shape.n, 2)),
        start_(random_tensor<Out>(shape.m, shape.n, 3)) {}

  void orient(Transpose ta, Transpose tb, Accumulate accumulate) {
    ta_ = ta;
    tb_ = tb;
    accumulate_ = accumulate;
  }

  // The bytes of the result as computed with a team of `threads`.
  std::vector<std::byte> run(int threads) const {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    const auto operand = [](const Tensor<In>& x, Transpose t) {  // the same elements, either way
      return t == Transpose::no ? x.view() : View<const In>(x.data(), x.cols(), x.rows());
    };
    auto c = Tensor<Out>::uninitialized(shape_.m, shape_.n);
    std::memcpy(c.data(), start_.data(), bytes());
    Work work;
    gemm<In, Out>(work, operand(a_, ta_), ta_, operand(b_, tb_), tb_, c.view(), accumulate_);
    EXPECT_EQ(omp_get_max_threads(), threads) << "gemm left another thread count behind";
    omp_set_num_threads(before);
    std::vector<std::byte> result(bytes());
    std::memcpy(result.data(), c.data(), bytes());
    return result;
  }

  std::string name() const {
    return std::to_string(shape_.m) + "x" + std::to_string(shape_.n) + "x" +
           std::to_string(shape_.k) + (ta_ == Transpose::yes ? " a^T" : "") +
           (tb_ == Transpose::yes ? " b^T" : "") +
           (accumulate_ == Accumulate::yes ? " accumulated" : "");
  }

 private:
  std::size_t bytes() const { return static_cast<std::size_t>(shape_.m * shape_.n) * sizeof(Out); }

  Shape shape_;
  Transpose ta_ = Transpose::no, tb_ = Transpose::no;
  Accumulate accumulate_ = Accumulate::no;
  Tensor<In> a_, b_;
  Tensor<Out> start_;
};

template <class In, class Out>
void expect_one_answer(const Product<In, Out>& product) {
  SCOPED_TRACE(product.name());
  const auto expected = product.run(1);
  for (const int threads : {2, 3, 7, 16}) {
    EXPECT_EQ(product.run(threads), expected) << "team of " << threads;
  }
  for (const int team : {1, 2}) {
    std::vector<std::vector<std::byte>> inside(static_cast<std::size_t>(team));
#pragma omp parallel num_threads(team)
    inside[static_cast<std::size_t>(omp_get_thread_num())] = product.run(3);
    for (const auto& result : inside) EXPECT_EQ(result, expected) << "inside a team of " << team;
  }
  std::vector<std::byte> elsewhere;
  std::thread([&] { elsewhere = product.run(2); }).join();
  EXPECT_EQ(elsewhere, expected) << "on a std::thread";
}

// Every orientation, and the accumulating products of gradients.
template <class In, class Out>
void sweep() {
  for (const Shape& shape : swept_shapes()) {
    Product<In, Out> product(shape);
    for (const Transpose ta : {Transpose::no, Transpose::yes}) {
      for (const Transpose tb : {Transpose::no, Transpose::yes}) {
        product.orient(ta, tb, Accumulate::no);
        expect_one_answer(product);
      }
    }
    if constexpr (std::is_same_v<Out, float>) {
      product.orient(Transpose::yes, Transpose::no, Accumulate::yes);
      expect_one_answer(product);
    }
    if (testing::Test::HasFailure()) return;
  }
}

// The test is registered again for each limit of ONEDNN_MAX_CPU_ISA, which has no effect on a CPU
// below the limit.
bool is_a_repetition() {
  if (std::getenv("ONEDNN_MAX_CPU_ISA") == nullptr) return false;
  std::ifstream processors("/proc/cpuinfo");
  const std::string text(std::istreambuf_iterator<char>(processors), {});
  return text.find(" avx512f ") == text.npos;
}

TEST(GemmSweep, Float32BitsDependOnTheShapeAlone) {
  if (!is_a_repetition()) sweep<float, float>();
}

TEST(GemmSweep, Bfloat16BitsDependOnTheShapeAlone) {
  if (is_a_repetition()) return;
  sweep<bfloat16, float>();
  sweep<bfloat16, bfloat16>();
}

TEST(GemmSweep, TheProbeIsTheSameFromEveryTeam) {
  const std::uint64_t expected = probe_products();
  for (const int threads : {2, 5}) {
    omp_set_num_threads(threads);
    EXPECT_EQ(probe_products(), expected);
  }
  std::uint64_t elsewhere = 0;
  std::thread([&] { elsewhere = probe_products(); }).join();
  EXPECT_EQ(elsewhere, expected);
}

}  // namespace
}  // namespace switchyard
