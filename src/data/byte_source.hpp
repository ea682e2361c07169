// The bytes of one corpus file, plain or gzip, read forward in constant memory. Knows nothing of
// lines.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace switchyard {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills the front of `into`; 0 at the end. Error(io_error) names the file.
  virtual std::size_t read(std::span<char> into) = 0;
  // Bytes of the file itself (compressed, if it is) consumed so far, for progress.
  virtual std::int64_t consumed() const = 0;
  // Goes on no earlier than at this byte of the file itself.
  virtual void skip_to(std::int64_t offset) = 0;
  // After the end: what was wrong, where the rest of the file could not be used.
  virtual std::optional<std::string> damage() const { return std::nullopt; }
};

// By name: ".gz" is gzip, concatenated members included. Error(missing_input) where there is no
// such file, or none that may be read; Error(damaged_data) where it is no regular file, or a ".gz"
// does not even begin as gzip.
std::unique_ptr<ByteSource> open_bytes(const std::string& path);

}  // namespace switchyard
