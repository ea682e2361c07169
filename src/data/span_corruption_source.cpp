#include "data/span_corruption_source.hpp"

#include "base/error.hpp"

namespace switchyard {

namespace {

constexpr std::uint64_t validation_mask_seed = 0;  // independent of the run's seed

void require_segment(const SampleOrder& order, const TokenFile& tokens, const std::string& path) {
  if (order.segments() > 0) return;
  throw Error(ExitCode::missing_input,
              path + " holds " + std::to_string(tokens.tokens()) +
                  " tokens, too few for one segment of " + std::to_string(order.segment_length()),
              "prepare more text or lower data.input_length");
}

}  // namespace

SpanCorruptionSource::SpanCorruptionSource(const TokenFile& tokens,
                                           const SpanCorruption& corruption,
                                           const SampleOrder& order, std::uint64_t mask_seed)
    : tokens_(&tokens), corruption_(corruption), order_(order), mask_seed_(mask_seed) {}

SpanCorruptionSource SpanCorruptionSource::training(const Dataset& data,
                                                    const SpanCorruptionConfig& config,
                                                    std::uint64_t seed) {
  const SpanCorruption corruption(config, data.vocabulary());
  const auto order = SampleOrder::training(data.train().tokens(), corruption.lengths().raw, seed);
  require_segment(order, data.train(), data.directory() + "/" + dataset_files::train);
  return {data.train(), corruption, order, seed};
}

SpanCorruptionSource SpanCorruptionSource::validation(const Dataset& data,
                                                      const SpanCorruptionConfig& config) {
  const SpanCorruption corruption(config, data.vocabulary());
  const auto order = SampleOrder::validation(data.validation().tokens(), corruption.lengths().raw);
  require_segment(order, data.validation(), data.directory() + "/" + dataset_files::validation);
  return {data.validation(), corruption, order, validation_mask_seed};
}

Example SpanCorruptionSource::example(std::int64_t sample) const {
  const auto segment = tokens_->tokens(order_.first_token(sample), order_.segment_length());
  return corruption_.corrupt(segment, mask_seed_, static_cast<std::uint64_t>(sample));
}

}  // namespace switchyard
