// CRC-32C and frames, over as many bytes as a feed-forward kernel has.
#include "base/crc32c.hpp"
#include "files/frame.hpp"
#include "kernels.hpp"

namespace switchyard::bench {
namespace {

std::string payload(const LayerShape& shape) {
  const Tensor<float> kernel = random_tensor(shape.D, shape.F, 1);
  return {reinterpret_cast<const char*>(kernel.data()),
          static_cast<std::size_t>(kernel.size()) * sizeof(float)};
}

// Computed bit by bit with the bit-reversed polynomial.
std::uint32_t plain_crc32c(std::string_view bytes) {
  std::uint32_t remainder = ~std::uint32_t{0};
  for (const char byte : bytes) {
    remainder ^= static_cast<std::uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit)
      remainder = remainder >> 1 ^ (remainder & 1 ? 0x82f63b78U : 0);
  }
  return ~remainder;
}

void crc(benchmark::State& state, const LayerShape& shape) {
  const std::string bytes = payload(shape);
  const auto run = [&] { return crc32c(std::as_bytes(std::span(bytes))); };
  if (!verified(state, "the checksum", run() == plain_crc32c(bytes) ? 0 : 1, 0)) return;
  time(state, Amount::bytes, std::ssize(bytes), [&] { benchmark::DoNotOptimize(run()); });
}

void frames(benchmark::State& state, const LayerShape& shape) {
  const std::string bytes = payload(shape);
  const FrameKind kind{"SWBENCH\n", 1, "benchmark", std::int64_t{1} << 30};
  const auto run = [&] { return unframe(kind, frame(kind, bytes), "nowhere"); };
  if (!verified(state, "the payload", run() == bytes ? 0 : 1, 0)) return;
  time(state, Amount::bytes, std::ssize(bytes), [&] { benchmark::DoNotOptimize(run()); });
}

}  // namespace

void register_checksums(const LayerShape& shape) {
  add_benchmark("crc32c", shape, [=](auto& state) { crc(state, shape); });
  add_benchmark("frame/there_and_back", shape, [=](auto& state) { frames(state, shape); });
}

}  // namespace switchyard::bench
