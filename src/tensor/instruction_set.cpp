#include "tensor/instruction_set.hpp"

#include <string>

#include "tensor/onednn.hpp"

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
  static const std::string name = onednn::name_of(dnnl::get_effective_cpu_isa());
  return name.c_str();
}

}  // namespace switchyard
