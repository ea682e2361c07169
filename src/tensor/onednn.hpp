// oneDNN's interface, which differs between 2.6 and 2.7 on the one hand and 3.x on the other: how a
// matrix and a product are described to it, and what it calls an instruction set. No other file
// knows that there are two interfaces. Knows nothing of how products are cut or when they run.
#pragma once

#include <cstdint>
#include <dnnl.hpp>
#include <string>

namespace switchyard::onednn {

// A matrix as oneDNN sees it. Extents and strides (in elements) that are known only when the
// product runs are `any`.
struct MatrixLayout {
  static constexpr std::int64_t any = DNNL_RUNTIME_DIM_VAL;

  std::int64_t rows = any, cols = any;
  std::int64_t row_stride = any, col_stride = any;
  dnnl::memory::data_type type = dnnl::memory::data_type::f32;

  friend bool operator==(const MatrixLayout&, const MatrixLayout&) = default;
};

// A layout with elements somewhere. Making one allocates, inside oneDNN; moving it to other
// elements does not.
class Matrix {
 public:
  Matrix(const MatrixLayout& layout, const dnnl::engine& engine);  // no `any` in it
  ~Matrix();
  Matrix(const Matrix&) = delete;
  Matrix& operator=(const Matrix&) = delete;

  // oneDNN asks for elements that may be written, but writes only to a product's result.
  void move_to(const void* elements);
  dnnl_memory_t get() const { return memory_; }

 private:
  dnnl_memory_t memory_ = nullptr;
};

// c = a b, or c += a b where `accumulate`.
dnnl::matmul make_product(const MatrixLayout& a, const MatrixLayout& b, const MatrixLayout& c,
                          bool accumulate, const dnnl::engine& engine);

// The name of an instruction set of x86-64, such as "AVX512_CORE_BF16"; of one that this file does
// not list, its number.
std::string name_of(dnnl::cpu_isa isa);

// The instruction set that products use here: its name on x86-64, such as "AVX2". On other
// architectures oneDNN's numbers mean other sets, for which it has no names: "ARM64_0x27".
std::string effective_isa();

// Whether products use this set of x86-64 or one that includes it.
bool uses(dnnl::cpu_isa isa);

}  // namespace switchyard::onednn
