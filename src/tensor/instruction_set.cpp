#include "tensor/instruction_set.hpp"

#include <dnnl.hpp>
#include <string>

namespace switchyard {
namespace {

Bfloat16Support support_of(dnnl::cpu_isa effective) {
  const auto has = static_cast<unsigned>(effective);
  const auto includes = [&](dnnl::cpu_isa isa) {
    const auto needed = static_cast<unsigned>(isa);
    return (has & needed) == needed;
  };
  if (includes(dnnl::cpu_isa::avx512_core_bf16)) return Bfloat16Support::native;
  return includes(dnnl::cpu_isa::avx512_core) ? Bfloat16Support::emulated
                                              : Bfloat16Support::widened;
}

}  // namespace

// Asked for each product, and the same for the whole life of a process.
Bfloat16Support bfloat16_support() {
  static const Bfloat16Support support = support_of(dnnl::get_effective_cpu_isa());
  return support;
}

const char* onednn_version() {
  static const std::string text = [] {
    const dnnl_version_t* v = dnnl::version();
    return std::to_string(v->major) + "." + std::to_string(v->minor) + "." +
           std::to_string(v->patch);
  }();
  return text.c_str();
}

const char* onednn_isa() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "SSE41";
    case dnnl::cpu_isa::avx:
      return "AVX";
    case dnnl::cpu_isa::avx2:
      return "AVX2";
    case dnnl::cpu_isa::avx2_vnni:
      return "AVX2_VNNI";
    case dnnl::cpu_isa::avx512_core:
      return "AVX512_CORE";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "AVX512_CORE_VNNI";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "AVX512_CORE_BF16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "AVX512_CORE_AMX";
    default:
      return "unknown";
  }
}

}  // namespace switchyard
