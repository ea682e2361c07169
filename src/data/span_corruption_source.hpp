// Span corruption over a token stream: the examples for pre-training and its evaluation.
#pragma once

#include "data/dataset.hpp"
#include "data/example.hpp"
#include "data/sample_order.hpp"
#include "data/span_corruption.hpp"

namespace switchyard {

class SpanCorruptionSource final : public ExampleSource {
 public:
  // Sample i of a run: segments in an order given by (seed, epoch), spans drawn from (seed, i), so
  // that each epoch removes different spans. The dataset must outlive the source. Error(usage): see
  // fit_segment(); Error(missing_input): the stream is too short for one segment.
  static SpanCorruptionSource training(const Dataset& data, const SpanCorruptionConfig& config,
                                       std::uint64_t seed);
  // Segments in stream order, with the same spans in every run.
  static SpanCorruptionSource validation(const Dataset& data, const SpanCorruptionConfig& config);

  Example example(std::int64_t sample) const override;

  // Samples per epoch. In validation, the number of samples: sample numbers must be smaller.
  std::int64_t segments() const { return order_.segments(); }
  const SpanLengths& lengths() const { return corruption_.lengths(); }
  std::int64_t target_length() const { return corruption_.target_length(); }

 private:
  SpanCorruptionSource(const TokenFile& tokens, const SpanCorruption& corruption,
                       const SampleOrder& order, std::uint64_t mask_seed);

  const TokenFile* tokens_;
  SpanCorruption corruption_;
  SampleOrder order_;
  std::uint64_t mask_seed_;
};

}  // namespace switchyard
