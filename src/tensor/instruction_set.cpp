#include "tensor/instruction_set.hpp"

#include <string>

#include "tensor/onednn.hpp"

namespace switchyard {
namespace {

Bfloat16Support support() {
  if (onednn::uses(dnnl::cpu_isa::avx512_core_bf16)) return Bfloat16Support::native;
  return onednn::uses(dnnl::cpu_isa::avx512_core) ? Bfloat16Support::emulated
                                                  : Bfloat16Support::widened;
}

}  // namespace

// Asked for each product, and the same for the whole life of a process.
Bfloat16Support bfloat16_support() {
  static const Bfloat16Support here = support();
  return here;
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
  static const std::string name = onednn::effective_isa();
  return name.c_str();
}

}  // namespace switchyard
