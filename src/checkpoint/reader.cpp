#include "checkpoint/reader.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "base/crc32c.hpp"
#include "base/error.hpp"

namespace switchyard {
namespace {

// A process may have about a thousand files open, and the job needs others. In a checkpoint with
// more files than this, each is opened only while it is read.
constexpr int most_open = 256;

std::unique_ptr<ReadableFile> open_listed(const Env& env, const std::string& directory,
                                          const ManifestFile& entry) {
  const std::string path = directory + "/" + entry.name();
  if (!env.exists(path)) throw Error(ExitCode::damaged_data, path + " is missing");
  auto file = env.open(path);
  if (file->size() != entry.size()) {
    throw Error(ExitCode::damaged_data, path + " has " + std::to_string(file->size()) +
                                            " bytes where the manifest says " +
                                            std::to_string(entry.size()));
  }
  return file;
}

bool is(const Sha256Digest& digest, const std::string& raw) {
  return std::ranges::equal(digest, std::as_bytes(std::span(raw)));
}

bool are_zeros(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

CheckpointReader::CheckpointReader(const Env& env, std::string directory)
    : env_(env), directory_(std::move(directory)), manifest_(read_manifest(env_, directory_)) {
  open_files();
}

CheckpointReader::CheckpointReader(const Env& env, std::string directory, std::string_view manifest)
    : env_(env),
      directory_(std::move(directory)),
      manifest_(decode_manifest(manifest, directory_ + "/" + manifest_name)) {
  open_files();
}

void CheckpointReader::open_files() {
  if (manifest_.files_size() > most_open) return;
  for (const ManifestFile& entry : manifest_.files())
    files_.push_back(open_listed(env_, directory_, entry));
}

std::shared_ptr<const ReadableFile> CheckpointReader::file(int index) const {
  if (!files_.empty()) return files_[static_cast<std::size_t>(index)];
  return open_listed(env_, directory_, manifest_.files(index));
}

// Runs `reading`; an error while the checkpoint's directory is gone becomes Error(missing_input).
// This is needed because a network file system can lose even a file that is still open.
void CheckpointReader::unless_deleted(const std::function<void()>& reading) const {
  try {
    reading();
  } catch (const Error& error) {
    if (env_.exists(directory_)) throw;
    throw Error(ExitCode::missing_input,
                "the checkpoint " + directory_ + " was deleted while it was read: " + error.what(),
                "read the run once more: its newest checkpoint is another by now; "
                "checkpoint.keep_last keeps more of them");
  }
}

void CheckpointReader::verify_file(int index) const {
  unless_deleted([&] {
    const ManifestFile& entry = manifest_.files(index);
    const auto from = file(index);
    std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(piece_bytes, entry.size())));
    Sha256 hash;
    for (std::int64_t at = 0; at < entry.size(); at += piece_bytes) {
      const auto part =
          Block(buffer).first(static_cast<std::size_t>(std::min(piece_bytes, entry.size() - at)));
      from->read_at(at, part);
      hash.update(part);
    }
    if (!is(hash.finish(), entry.sha256())) {
      throw Error(ExitCode::damaged_data,
                  directory_ + "/" + entry.name() + " does not match its SHA-256");
    }
  });
}

void CheckpointReader::verify() const {
  for (int i = 0; i < manifest_.files_size(); ++i) verify_file(i);
}

// Reads and hashes the tensor's bytes piece by piece. room(at) returns the buffer for the bytes
// from offset `at` on, at most piece_bytes.
void CheckpointReader::check(const ManifestTensor& tensor,
                             const std::function<Block(std::int64_t at)>& room) const {
  unless_deleted([&] {
    const auto from = file(tensor.file());
    std::uint32_t checksum = 0;
    Sha256 hash;
    for (std::int64_t at = 0; at < tensor_bytes(tensor);) {
      const Block part = room(at);
      from->read_at(tensor.offset() + at, part);
      checksum = crc32c(part, checksum);
      hash.update(part);
      at += std::ssize(part);
    }
    std::array<std::byte, tensor_alignment> after{};
    const auto padding =
        Block(after).first(static_cast<std::size_t>(stored_bytes(tensor) - tensor_bytes(tensor)));
    from->read_at(tensor.offset() + tensor_bytes(tensor), padding);
    if (checksum == tensor.crc32c() && is(hash.finish(), tensor.sha256()) && are_zeros(padding))
      return;
    throw Error(ExitCode::damaged_data, directory_ + "/" + manifest_.files(tensor.file()).name() +
                                            " is damaged between bytes " +
                                            std::to_string(tensor.offset()) + " and " +
                                            std::to_string(tensor.offset() + stored_bytes(tensor)) +
                                            ", where " + tensor.name() + " lies");
  });
}

void CheckpointReader::read(const ManifestTensor& tensor, std::span<float> into) const {
  const Block all = std::as_writable_bytes(into);
  assert(std::ssize(all) == tensor_bytes(tensor));
  check(tensor, [&](std::int64_t at) {
    return all.subspan(static_cast<std::size_t>(at),
                       static_cast<std::size_t>(std::min(piece_bytes, std::ssize(all) - at)));
  });
}

Tensor<float> CheckpointReader::read(const ManifestTensor& tensor) const {
  auto values = Tensor<float>::uninitialized(tensor.rows(), tensor.cols());
  read(tensor, values.flat());
  return values;
}

// Blocks end where the part begins and ends, so that each lies inside or outside it.
void CheckpointReader::read_part(const ManifestTensor& tensor, std::int64_t first,
                                 std::span<float> into) const {
  const Block part = std::as_writable_bytes(into);
  const std::int64_t begin = first * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t end = begin + std::ssize(part);
  assert(0 <= begin && end <= tensor_bytes(tensor));
  std::vector<std::byte> rest(
      static_cast<std::size_t>(std::min(piece_bytes, tensor_bytes(tensor) - std::ssize(part))));
  check(tensor, [&](std::int64_t at) {
    const bool inside = begin <= at && at < end;
    const std::int64_t until = inside ? end : at < begin ? begin : tensor_bytes(tensor);
    const auto size = static_cast<std::size_t>(std::min(piece_bytes, until - at));
    return inside ? part.subspan(static_cast<std::size_t>(at - begin), size)
                  : Block(rest).first(size);
  });
}

void CheckpointReader::verify(const ManifestTensor& tensor) const {
  std::vector<std::byte> buffer(
      static_cast<std::size_t>(std::min(piece_bytes, tensor_bytes(tensor))));
  check(tensor, [&](std::int64_t at) {
    return Block(buffer).first(
        static_cast<std::size_t>(std::min(piece_bytes, tensor_bytes(tensor) - at)));
  });
}

}  // namespace switchyard
