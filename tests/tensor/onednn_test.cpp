#include "tensor/onednn.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tensor/instruction_set.hpp"

namespace switchyard::onednn {
namespace {

TEST(Onednn, NamesTheVersionThatIsLoaded) {
  const dnnl_version_t* loaded = dnnl_version();
  EXPECT_EQ(loaded->major, DNNL_VERSION_MAJOR) << "built for another major version";
  EXPECT_EQ(onednn_version(), std::to_string(loaded->major) + "." + std::to_string(loaded->minor) +
                                  "." + std::to_string(loaded->patch));
}

TEST(Onednn, NamesInstructionSetsAlikeInEveryVersion) {
  EXPECT_EQ(name_of(dnnl::cpu_isa::avx2), "AVX2");
  EXPECT_EQ(name_of(dnnl::cpu_isa::avx2_vnni), "AVX2_VNNI");
  EXPECT_EQ(name_of(dnnl::cpu_isa::avx512_core_bf16), "AVX512_CORE_BF16");
  EXPECT_EQ(name_of(dnnl::cpu_isa::avx512_core_amx), "AVX512_CORE_AMX");
  EXPECT_EQ(onednn_isa(), effective_isa());
}

TEST(Onednn, GivesTheNumberOfAnInstructionSetThatHasNoNameYet) {
  EXPECT_EQ(name_of(static_cast<dnnl::cpu_isa>(0x12345)), "ISA_0x12345");
}

TEST(Onednn, AMatrixMovesToOtherElements) {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const MatrixLayout square{2, 2, 2, 1, dnnl::memory::data_type::f32};
  const dnnl::matmul product = make_product(square, square, square, true, engine);
  Matrix a(square, engine), b(square, engine), c(square, engine);
  const float twice[] = {2, 0, 0, 2}, first[] = {1, 2, 3, 4}, second[] = {5, 6, 7, 8};
  float sums[] = {100, 100, 100, 100};
  a.move_to(twice);
  c.move_to(sums);
  for (const float* elements : {first, second}) {
    b.move_to(elements);
    const dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, a.get()}, {DNNL_ARG_WEIGHTS, b.get()}, {DNNL_ARG_DST, c.get()}};
    ASSERT_EQ(dnnl_primitive_execute(product.get(), stream.get(), 3, arguments), dnnl_success);
    stream.wait();
  }
  EXPECT_EQ(std::vector<float>(sums, sums + 4), (std::vector<float>{112, 116, 120, 124}));
}

}  // namespace
}  // namespace switchyard::onednn
