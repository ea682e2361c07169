#include "checkpoint/shard.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstdio>

#include "base/crc32c.hpp"
#include "base/error.hpp"
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

}  // namespace

std::string shard_name(std::int64_t process) {
  char name[32];
  std::snprintf(name, sizeof name, "shard-%05lld.bin", static_cast<long long>(process));
  return name;
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

ShardReader::ShardReader(const Env& env, std::string checkpoint_directory, const Manifest& manifest)
    : env_(env),
      directory_(std::move(checkpoint_directory)),
      manifest_(manifest),
      files_(static_cast<std::size_t>(manifest.files_size())) {}

const ReadableFile& ShardReader::file(int index) {
  auto& file = files_[static_cast<std::size_t>(index)];
  if (!file) file = open_listed_file(env_, directory_, manifest_.files(index));
  return *file;
}

Tensor<float> ShardReader::read(const ManifestTensor& tensor) {
  auto stored = Tensor<float>::uninitialized(
      1, stored_bytes(tensor) / static_cast<std::int64_t>(sizeof(float)));
  file(tensor.file()).read_at(tensor.offset(), std::as_writable_bytes(stored.flat()));
  const auto bytes = std::as_bytes(stored.flat());
  const auto content = bytes.first(static_cast<std::size_t>(tensor_bytes(tensor)));
  const auto padding = bytes.subspan(content.size());
  const bool whole =
      crc32c(content) == tensor.crc32c() &&
      raw(Sha256().update(content).finish()) == tensor.sha256() &&
      std::all_of(padding.begin(), padding.end(), [](std::byte b) { return b == std::byte{0}; });
  if (!whole) {
    throw Error(ExitCode::damaged_data, directory_ + "/" + manifest_.files(tensor.file()).name() +
                                            " is damaged between bytes " +
                                            std::to_string(tensor.offset()) + " and " +
                                            std::to_string(tensor.offset() + stored_bytes(tensor)) +
                                            ", where " + tensor.name() + " lies");
  }
  return stored;
}

std::unique_ptr<ReadableFile> open_listed_file(const Env& env,
                                               const std::string& checkpoint_directory,
                                               const ManifestFile& entry) {
  const std::string path = checkpoint_directory + "/" + entry.name();
  if (!env.exists(path)) throw Error(ExitCode::damaged_data, path + " is missing");
  auto file = env.open(path);
  if (file->size() != entry.size()) {
    throw Error(ExitCode::damaged_data, path + " has " + std::to_string(file->size()) +
                                            " bytes where the manifest says " +
                                            std::to_string(entry.size()));
  }
  return file;
}

}  // namespace switchyard
