#include "data/zipf_source.hpp"

#include <algorithm>
#include <cassert>

#include "base/buffer.hpp"
#include "base/philox.hpp"

namespace switchyard {

ZipfSource::ZipfSource(const Shape& shape, std::uint64_t seed) : shape_(shape), seed_(seed) {
  assert(shape.vocab_size >= 2);
  double sum = 0;
  for (std::int64_t id = 1; id < shape.vocab_size; ++id)
    cumulative_.push_back(sum += 1 / static_cast<double>(id));
}

Example ZipfSource::example(std::int64_t sample) const {
  return {.inputs = row(shape_.input_length, 0, sample),
          .targets = row(shape_.target_length, 1, sample)};
}

Buffer<std::int32_t> ZipfSource::row(std::int64_t length, std::uint32_t layer,
                                     std::int64_t sample) const {
  const RandomStream stream(seed_, Purpose::zipf_token, layer, 0);
  Buffer<std::int32_t> ids;
  for (std::int64_t i = 0; i < length; ++i) {
    const auto words =
        stream.block(static_cast<std::uint64_t>(sample), static_cast<std::uint64_t>(i));
    const double at = unit_double(words[0], words[1]) * cumulative_.back();
    const auto place = std::ranges::upper_bound(cumulative_, at) - cumulative_.begin();
    ids.push_back(1 + static_cast<std::int32_t>(std::min(place, std::ssize(cumulative_) - 1)));
  }
  return ids;
}

}  // namespace switchyard
