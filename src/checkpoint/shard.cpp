#include "checkpoint/shard.hpp"

#include <array>
#include <bit>
#include <cassert>
#include <cstdio>

#include "base/crc32c.hpp"
#include "files/sha256.hpp"

namespace switchyard {
namespace {

static_assert(std::endian::native == std::endian::little);

std::string raw(const Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

ManifestTensor describe(const NamedTensor& tensor, std::int64_t offset) {
  const auto bytes = std::as_bytes(tensor.data);
  ManifestTensor entry;
  entry.set_name(tensor.name);
  entry.set_rows(tensor.rows);
  entry.set_cols(tensor.cols);
  if (tensor.expert) entry.set_expert(tensor.expert->value);
  entry.set_offset(offset);
  entry.set_crc32c(crc32c(bytes));
  entry.set_sha256(raw(Sha256().update(bytes).finish()));
  return entry;
}

std::string subdirectory_name(std::int64_t hundred) {
  char name[32];
  std::snprintf(name, sizeof name, "shards-%03lld", static_cast<long long>(hundred));
  return name;
}

}  // namespace

std::string shard_name(std::int64_t process, std::int64_t processes,
                       std::int64_t most_side_by_side) {
  char name[32];
  std::snprintf(name, sizeof name, "shard-%05lld.bin", static_cast<long long>(process));
  if (processes <= most_side_by_side) return name;
  return subdirectory_name(process / shards_in_subdirectory) + "/" + name;
}

std::vector<std::string> shard_subdirectories(std::int64_t processes,
                                              std::int64_t most_side_by_side) {
  std::vector<std::string> names;
  if (processes <= most_side_by_side) return names;
  for (std::int64_t first = 0; first < processes; first += shards_in_subdirectory)
    names.push_back(subdirectory_name(first / shards_in_subdirectory));
  return names;
}

ShardReport write_shard(Env& env, const std::string& directory, const std::string& name,
                        const TensorStream& next_tensor) {
  constexpr std::array<std::byte, tensor_alignment> zeros{};
  ShardReport report;
  Sha256 whole;
  std::int64_t offset = 0;
  const auto file = env.create(directory + "/" + name);
  while (const std::optional<NamedTensor> tensor = next_tensor()) {
    assert(std::ssize(tensor->data) == tensor->rows * tensor->cols);
    const ManifestTensor& entry = *report.add_tensors() = describe(*tensor, offset);
    const auto bytes = std::as_bytes(tensor->data);
    const auto padding =
        std::span(zeros).first(static_cast<std::size_t>(stored_bytes(entry) - tensor_bytes(entry)));
    for (const auto part : {bytes, std::span<const std::byte>(padding)}) {
      file->append(part);
      whole.update(part);
    }
    offset += stored_bytes(entry);
  }
  file->sync();
  file->close();
  report.mutable_file()->set_name(name);
  report.mutable_file()->set_size(offset);
  report.mutable_file()->set_sha256(raw(whole.finish()));
  return report;
}

}  // namespace switchyard
