#include "tensor/onednn.hpp"

#include <algorithm>
#include <iterator>
#include <sstream>

#include "base/processor.hpp"

namespace switchyard::onednn {
namespace {

using dnnl::error;
using dnnl::memory;

// By the C interface, as all that happens while a step runs: the C++ classes allocate.
dnnl_memory_t make_memory(const MatrixLayout& layout, const dnnl::engine& engine) {
  const dnnl_dims_t extents = {layout.rows, layout.cols};
  const dnnl_dims_t strides = {layout.row_stride, layout.col_stride};
  const dnnl_data_type_t type = memory::convert_to_c(layout.type);
  dnnl_memory_t result = nullptr;
#if DNNL_VERSION_MAJOR >= 3
  dnnl_memory_desc_t shape = nullptr;
  error::wrap_c_api(dnnl_memory_desc_create_with_strides(&shape, 2, extents, type, strides),
                    "oneDNN cannot describe a matrix");
  const dnnl_status_t made = dnnl_memory_create(&result, shape, engine.get(), DNNL_MEMORY_NONE);
  dnnl_memory_desc_destroy(shape);
#else
  dnnl_memory_desc_t shape;
  error::wrap_c_api(dnnl_memory_desc_init_by_strides(&shape, 2, extents, type, strides),
                    "oneDNN cannot describe a matrix");
  const dnnl_status_t made = dnnl_memory_create(&result, &shape, engine.get(), DNNL_MEMORY_NONE);
#endif
  error::wrap_c_api(made, "oneDNN cannot take a matrix");
  return result;
}

memory::desc describe(const MatrixLayout& layout) {
  return {{layout.rows, layout.cols}, layout.type, {layout.row_stride, layout.col_stride}};
}

std::string number_of(dnnl::cpu_isa isa) {
  std::ostringstream text;
  text << "0x" << std::hex << static_cast<unsigned>(isa);
  return text.str();
}

struct NamedIsa {
  dnnl::cpu_isa isa;
  const char* name;
};

constexpr NamedIsa named[] = {
    {dnnl::cpu_isa::sse41, "SSE41"},
    {dnnl::cpu_isa::avx, "AVX"},
    {dnnl::cpu_isa::avx2, "AVX2"},
    {dnnl::cpu_isa::avx2_vnni, "AVX2_VNNI"},
    {dnnl::cpu_isa::avx512_core, "AVX512_CORE"},
    {dnnl::cpu_isa::avx512_core_vnni, "AVX512_CORE_VNNI"},
    {dnnl::cpu_isa::avx512_core_bf16, "AVX512_CORE_BF16"},
    {dnnl::cpu_isa::avx512_core_amx, "AVX512_CORE_AMX"},
#if DNNL_VERSION_MAJOR >= 3
    {dnnl::cpu_isa::avx2_vnni_2, "AVX2_VNNI_2"},
    {dnnl::cpu_isa::avx512_core_fp16, "AVX512_CORE_FP16"},
    {dnnl::cpu_isa::avx512_core_amx_fp16, "AVX512_CORE_AMX_FP16"},
#endif
};

}  // namespace

Matrix::Matrix(const MatrixLayout& layout, const dnnl::engine& engine)
    : memory_(make_memory(layout, engine)) {}

Matrix::~Matrix() { dnnl_memory_destroy(memory_); }

void Matrix::move_to(const void* elements) {
  error::wrap_c_api(dnnl_memory_set_data_handle(memory_, const_cast<void*>(elements)),
                    "oneDNN cannot take a matrix");
}

dnnl::matmul make_product(const MatrixLayout& a, const MatrixLayout& b, const MatrixLayout& c,
                          bool accumulate, const dnnl::engine& engine) {
  dnnl::primitive_attr attributes;
  if (accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
#if DNNL_VERSION_MAJOR >= 3
  return dnnl::matmul(
      dnnl::matmul::primitive_desc(engine, describe(a), describe(b), describe(c), attributes));
#else
  return dnnl::matmul(dnnl::matmul::primitive_desc(
      dnnl::matmul::desc(describe(a), describe(b), describe(c)), attributes, engine));
#endif
}

std::string name_of(dnnl::cpu_isa isa) {
  const auto* found = std::find_if(std::begin(named), std::end(named),
                                   [&](const NamedIsa& entry) { return entry.isa == isa; });
  if (found != std::end(named)) return found->name;
  return "ISA_" + number_of(isa);
}

std::string effective_isa() {
  const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
  if constexpr (architecture == Architecture::x86_64) return name_of(isa);
  return (architecture == Architecture::arm64 ? "ARM64_" : "OTHER_") + number_of(isa);
}

bool uses(dnnl::cpu_isa isa) {
  const auto has = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto needed = static_cast<unsigned>(isa);
  return architecture == Architecture::x86_64 && (has & needed) == needed;
}

}  // namespace switchyard::onednn
