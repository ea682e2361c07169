// The header of a safetensors file: which tensors, of which type and shape, at which bytes. Text in
// and out; it opens no file. A header read here can be trusted: the tensors' bytes are end to end,
// and they are all that the file holds.
//
//   8 bytes: N, little-endian | N bytes of JSON, spaces at its end | the tensors, row-major
//   {"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace switchyard {

// What the program reads; it writes f32 and bf16. The format has more types.
enum class ElementType { float32, float16, bfloat16 };
std::int64_t element_bytes(ElementType type);

struct StoredTensor {
  std::string name;
  ElementType type = ElementType::float32;
  std::vector<std::int64_t> shape;  // empty: one element
  std::int64_t begin = 0;           // its first byte, from the header's end

  std::int64_t elements() const;
  std::int64_t bytes() const { return elements() * element_bytes(type); }
};

inline constexpr std::int64_t largest_safetensors_header = 100'000'000;  // bytes, by the format

// By place in the file. `data_bytes`: what follows the header. `path` is for messages.
// Error(damaged_data): not the JSON it should be, a key twice, an entry that is incomplete,
// negative or of another size than its shape, holes, overlaps or bytes past the end;
// Error(mismatch): a type that is not read.
std::vector<StoredTensor> parse_safetensors_header(const std::string& json, std::int64_t data_bytes,
                                                   const std::string& path);

// A file's beginning up to its first tensor's bytes. `tensors` in the order of the file; their
// `begin` is not looked at.
std::string safetensors_header(std::span<const StoredTensor> tensors);

}  // namespace switchyard
