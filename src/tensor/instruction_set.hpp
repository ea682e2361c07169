// What this CPU multiplies with, as oneDNN sees it: its version, the instruction set it uses, and
// what that means for bf16. Knows nothing of matrices.
#pragma once

namespace switchyard {

// How products of bf16 operands are computed.
enum class Bfloat16Support {
  widened,   // without AVX-512: by us, as f32 products of the widened operands
  emulated,  // AVX-512 without AVX512_BF16: by oneDNN, in several steps
  native,    // AVX512_BF16
};
Bfloat16Support bfloat16_support();

// oneDNN's version and the instruction set it really uses, e.g. "2.6.3", "AVX512_CORE_BF16".
const char* onednn_version();
const char* onednn_isa();

}  // namespace switchyard
