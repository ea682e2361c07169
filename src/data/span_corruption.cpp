#include "data/span_corruption.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <string>

#include "base/buffer.hpp"
#include "base/error.hpp"

namespace switchyard {

namespace {

constexpr std::int64_t longest_segment = std::int64_t{1} << 20;

// Rounds halves to even, as in the default rounding mode.
std::int64_t round_to_even(double x) { return static_cast<std::int64_t>(std::nearbyint(x)); }

void check_config(const SpanCorruptionConfig& config) {
  if (config.input_length < 4 || config.input_length > longest_segment)
    throw Error(ExitCode::usage,
                "data.input_length is " + std::to_string(config.input_length) +
                    "; span corruption needs 4 to " + std::to_string(longest_segment) +
                    " positions",
                "T5 takes 512; see `switchyard options data`");
  if (!(config.noise_density > 0 && config.noise_density < 1))
    throw Error(ExitCode::usage, "data.noise_density is " + std::to_string(config.noise_density) +
                                     "; it must lie between 0 and 1");
  if (!(config.mean_noise_span_length >= 1 && std::isfinite(config.mean_noise_span_length)))
    throw Error(ExitCode::usage, "data.mean_noise_span_length is " +
                                     std::to_string(config.mean_noise_span_length) +
                                     "; it must be at least 1 token");
}

void check_lengths(const SpanLengths& lengths, const SpanCorruptionConfig& config) {
  if (lengths.raw > longest_segment)
    throw Error(ExitCode::usage,
                "data.noise_density " + std::to_string(config.noise_density) +
                    " hides so much that " + std::to_string(config.input_length) +
                    " inputs hold more than " + std::to_string(longest_segment) + " tokens",
                "lower data.noise_density");
  if (lengths.spans > Vocabulary::sentinels)
    throw Error(ExitCode::usage,
                "data.input_length " + std::to_string(config.input_length) + " makes " +
                    std::to_string(lengths.spans) + " hidden spans, but there are only " +
                    std::to_string(Vocabulary::sentinels) + " sentinels",
                "shorten data.input_length or raise data.mean_noise_span_length");
  if (lengths.spans > lengths.raw - lengths.noise)
    throw Error(ExitCode::usage,
                "data.noise_density " + std::to_string(config.noise_density) + " leaves " +
                    std::to_string(lengths.raw - lengths.noise) + " tokens to part " +
                    std::to_string(lengths.spans) + " hidden spans",
                "lower data.noise_density or raise data.mean_noise_span_length");
  if (config.target_length && *config.target_length < lengths.targets)
    throw Error(
        ExitCode::usage,
        "data.target_length is " + std::to_string(*config.target_length) +
            ", but span corruption of " + std::to_string(config.input_length) + " inputs fills " +
            std::to_string(lengths.targets) + " target positions",
        "raise data.target_length to " + std::to_string(lengths.targets) + " or leave it unset");
}

}  // namespace

SpanLengths divide_segment(std::int64_t raw, double noise_density, double mean_noise_span_length) {
  assert(raw >= 2);
  SpanLengths lengths;
  lengths.raw = raw;
  lengths.noise =
      std::clamp<std::int64_t>(round_to_even(static_cast<double>(raw) * noise_density), 1, raw - 1);
  lengths.spans = std::max<std::int64_t>(
      round_to_even(static_cast<double>(lengths.noise) / mean_noise_span_length), 1);
  lengths.inputs = raw - lengths.noise + lengths.spans + 1;
  lengths.targets = lengths.noise + lengths.spans + 1;
  return lengths;
}

SpanLengths fit_segment(const SpanCorruptionConfig& config) {
  check_config(config);
  const auto divide = [&](std::int64_t raw) {
    return divide_segment(raw, config.noise_density, config.mean_noise_span_length);
  };
  // A segment one token shorter than the row always fits, since each span removes at least one
  // token and adds one sentinel.
  SpanLengths lengths = divide(config.input_length - 1);
  for (SpanLengths longer = lengths; lengths.raw <= longest_segment; lengths = longer) {
    longer = divide(lengths.raw + 1);
    if (longer.inputs > config.input_length) break;
  }
  check_lengths(lengths, config);
  return lengths;
}

Buffer<std::int64_t> random_composition(std::int64_t items, std::int64_t parts, Draws& draws) {
  assert(parts >= 1 && parts <= items);
  Buffer<std::int64_t> lengths;
  lengths.reserve(static_cast<std::size_t>(parts));
  // Selection sampling (Knuth, TAOCP 2, 3.4.2 S): of the items-1 gaps between items, parts-1 are
  // chosen as cuts.
  std::int64_t cuts_left = parts - 1, length = 1;
  for (std::int64_t gaps_left = items - 1; gaps_left > 0; --gaps_left) {
    if (draws.below(static_cast<std::uint64_t>(gaps_left)) < cuts_left) {
      --cuts_left;
      lengths.push_back(length);
      length = 0;
    }
    ++length;
  }
  lengths.push_back(length);
  return lengths;
}

SpanCorruption::SpanCorruption(const SpanCorruptionConfig& config, const Vocabulary& vocabulary)
    : vocabulary_(vocabulary),
      lengths_(fit_segment(config)),
      target_length_(config.target_length.value_or(lengths_.targets)) {}

Example SpanCorruption::corrupt(std::span<const std::int32_t> segment, std::uint64_t seed,
                                std::uint64_t sample) const {
  assert(static_cast<std::int64_t>(segment.size()) == lengths_.raw);
  Draws draws(RandomStream(seed, Purpose::span_lengths, 0, 0), sample);
  const auto hidden = random_composition(lengths_.noise, lengths_.spans, draws);
  const auto kept = random_composition(lengths_.raw - lengths_.noise, lengths_.spans, draws);

  Example example;
  example.inputs.reserve(static_cast<std::size_t>(lengths_.inputs));
  example.targets.reserve(static_cast<std::size_t>(lengths_.targets));
  auto at = segment.begin();
  for (std::size_t span = 0; span < hidden.size(); ++span) {
    const std::int32_t sentinel = vocabulary_.sentinel(static_cast<std::int32_t>(span));
    example.inputs.insert(example.inputs.end(), at, at + kept[span]);
    at += kept[span];
    example.inputs.push_back(sentinel);
    example.targets.push_back(sentinel);
    example.targets.insert(example.targets.end(), at, at + hidden[span]);
    at += hidden[span];
  }
  example.inputs.push_back(Vocabulary::eos);
  example.targets.push_back(Vocabulary::eos);
  return example;
}

}  // namespace switchyard
