// Weights are converted one tensor at a time: an import or export holds the largest tensor plus a
// constant, however many tensors there are.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>

#include "base/philox.hpp"
#include "checkpoint/store.hpp"
#include "interchange/hugging_face.hpp"
#include "support/allocations.hpp"
#include "support/mpi_main.hpp"
#include "support/scratch_directory.hpp"

namespace switchyard::hugging_face_memory_test {
namespace {

constexpr std::int64_t mebibyte = 1 << 20;
constexpr auto family = HuggingFaceFamily::switch_transformers;

// 8 MiB of embedding and kernels of 4 MiB, 56 MiB together.
std::vector<ParamSpec> tensors() {
  std::vector<ParamSpec> specs = {{"shared.embedding", "", 16384, 128, {}, {}}};
  for (std::int64_t e = 0; e < 12; ++e) {
    specs.push_back({"encoder.block.0.feed_forward.experts." + std::to_string(e) + ".wi",
                     "",
                     128,
                     8192,
                     ExpertId{e},
                     {}});
  }
  return specs;
}

// Random bits without NaNs, in bf16, in several files.
void write_directory(Env& env, const std::string& directory, std::span<const ParamSpec> specs) {
  std::vector<StoredTensor> stored;
  for (const ParamSpec& spec : specs) {
    const bool is_kernel = spec.expert.has_value();
    stored.push_back({hugging_face_name(spec.name, family),
                      ElementType::bfloat16,
                      {is_kernel ? spec.cols : spec.rows, is_kernel ? spec.rows : spec.cols}});
  }
  std::ranges::sort(stored, {}, &StoredTensor::name);  // as an export writes them
  SafetensorsWriter writer(env, directory, stored, 10 * mebibyte);
  const RandomStream stream(1, Purpose::data_order, 0, 0);
  std::vector<float> piece(1 << 16);
  for (std::uint64_t at = 0; at < 14 * 16; ++at) {
    for (std::size_t i = 0; i < piece.size(); ++i)
      piece[i] = std::bit_cast<float>(stream.block(at, i)[0] & 0xbfff0000u);
    writer.append(piece);
  }
  writer.finish();
}

TEST(HuggingFaceMemory, IsTheLargestTensorAndAConstant) {
  test::ScratchDirectory directory;
  PosixEnv env;
  const auto path = [&](const char* name) { return directory.path() + "/" + name; };
  for (const char* name : {"source", "out"}) env.make_directories(path(name));
  const std::vector<ParamSpec> specs = tensors();
  write_directory(env, path("source"), specs);
  const Layout layout(1, 1, 1, 12);
  const RunState state{.config_text = "train {}"};
  std::string checkpoint;
  {
    const test::PeakAllocation peak;
    const SafetensorsReader reader(env, path("source"));
    checkpoint = import_weights(env, reader, family, specs,
                                {.alone = test_world(),
                                 .layout = layout,
                                 .checkpoints_directory = path("checkpoints"),
                                 .state = state});
    EXPECT_LT(peak.bytes(), (8 + 3) * mebibyte);
  }
  verify_checkpoint(env, checkpoint);
  {
    const test::PeakAllocation peak;
    export_weights(
        env, {env, checkpoint}, family, specs,
        {.directory = path("out"), .type = ElementType::bfloat16, .shard_bytes = 10 * mebibyte});
    EXPECT_LT(peak.bytes(), (8 + 3) * mebibyte);
  }
  ASSERT_EQ(env.list_directory(path("out")), env.list_directory(path("source")));
  EXPECT_EQ(env.list_directory(path("out")).size(), 4u);
  for (const std::string& name : env.list_directory(path("out")))
    EXPECT_TRUE(read_file(env, path("out") + ("/" + name), 16 * mebibyte) ==
                read_file(env, path("source") + ("/" + name), 16 * mebibyte))
        << name;
}

}  // namespace
}  // namespace switchyard::hugging_face_memory_test
