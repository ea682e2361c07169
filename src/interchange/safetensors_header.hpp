// The header of a safetensors file: name, type, shape and byte range of each tensor. Text in and
// out; it opens no file. A parsed header can be trusted: the tensors' byte ranges are contiguous
// and cover the whole data part of the file.
//
//   8 bytes: N, little-endian | N bytes of JSON, spaces at its end | the tensors, row-major
//   {"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace switchyard {

// The types that the program reads; it writes f32 and bf16. The format has more.
enum class ElementType { float32, float16, bfloat16 };
std::int64_t element_bytes(ElementType type);

struct StoredTensor {
  std::string name;
  ElementType type = ElementType::float32;
  std::vector<std::int64_t> shape;  // empty: a scalar
  std::int64_t begin = 0;           // first byte, relative to the end of the header

  std::int64_t elements() const;
  std::int64_t bytes() const { return elements() * element_bytes(type); }
};

// Bytes; the limit of the format.
inline constexpr std::int64_t largest_safetensors_header = 100'000'000;

// Returns tensors in file order. `data_bytes`: the bytes after the header. `path` is used in
// messages. Error(damaged_data): not the expected JSON, a duplicate key, an entry that is
// incomplete, negative or inconsistent with its shape, gaps, overlaps, or bytes past the end;
// Error(mismatch): an unsupported type.
std::vector<StoredTensor> parse_safetensors_header(const std::string& json, std::int64_t data_bytes,
                                                   const std::string& path);

// The beginning of a file up to the first tensor's bytes. `tensors` in file order; their `begin` is
// ignored.
std::string safetensors_header(std::span<const StoredTensor> tensors);

}  // namespace switchyard
