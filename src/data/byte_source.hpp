// The bytes of one corpus file, plain or gzip, read forward in constant memory. It knows nothing of
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
  // Fills the front of `into` and returns the number of bytes; 0 at the end. Error(io_error) names
  // the file.
  virtual std::size_t read(std::span<char> into) = 0;
  // Bytes consumed so far of the file on disk (compressed bytes, if it is compressed), for
  // progress.
  virtual std::int64_t consumed() const = 0;
  // Continues no earlier than at this byte of the file on disk.
  virtual void skip_to(std::int64_t offset) = 0;
  // To be called after the end: what was wrong where the rest of the file could not be used;
  // otherwise nullopt.
  virtual std::optional<std::string> damage() const { return std::nullopt; }
};

// Opens a file according to its name: ".gz" is gzip, including concatenated members.
// Error(missing_input) where the file is absent or not readable; Error(damaged_data) where it is
// not a regular file, or where a ".gz" does not start with a gzip header.
std::unique_ptr<ByteSource> open_bytes(const std::string& path);

}  // namespace switchyard
