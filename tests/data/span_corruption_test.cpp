#include "data/span_corruption.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "support/errors.hpp"

namespace switchyard {
namespace {

using test::fails_with;

constexpr Vocabulary vocabulary{32000};

SpanCorruptionConfig with_inputs(std::int64_t input_length) {
  SpanCorruptionConfig config;
  config.input_length = input_length;
  return config;
}

// A segment of distinct ids, so that a misplaced token is detected.
std::vector<std::int32_t> segment_of(std::int64_t length) {
  std::vector<std::int32_t> segment(static_cast<std::size_t>(length));
  std::iota(segment.begin(), segment.end(), 100);
  return segment;
}

// Replaces sentinels by the spans they stand for.
std::vector<std::int32_t> reassemble(const Example& example) {
  std::map<std::int32_t, std::vector<std::int32_t>> hidden;
  std::int32_t sentinel = -1;
  for (std::size_t i = 0; i + 1 < example.targets.size(); ++i) {
    if (vocabulary.is_sentinel(example.targets[i])) {
      sentinel = example.targets[i];
    } else {
      hidden[sentinel].push_back(example.targets[i]);
    }
  }
  std::vector<std::int32_t> segment;
  for (std::size_t i = 0; i + 1 < example.inputs.size(); ++i) {
    const std::int32_t id = example.inputs[i];
    if (vocabulary.is_sentinel(id)) {
      segment.insert(segment.end(), hidden[id].begin(), hidden[id].end());
    } else {
      segment.push_back(id);
    }
  }
  return segment;
}

TEST(SpanCorruption, FitsT5sSegmentLengths) {
  const std::vector<std::array<std::int64_t, 3>> expected = {{64, 70, 14},    {114, 126, 26},
                                                             {128, 141, 29},  {256, 284, 58},
                                                             {512, 568, 114}, {1024, 1137, 229}};
  for (const auto& [inputs, raw, targets] : expected) {
    const SpanLengths lengths = fit_segment(with_inputs(inputs));
    EXPECT_EQ(lengths.raw, raw);
    EXPECT_EQ(lengths.targets, targets);
    EXPECT_LE(lengths.inputs, inputs);
  }
}

TEST(SpanCorruption, RoundsHalvesToEven) {
  EXPECT_EQ(divide_segment(10, 0.25, 3).noise, 2);  // 2.5
  EXPECT_EQ(divide_segment(14, 0.25, 3).noise, 4);  // 3.5
  EXPECT_EQ(divide_segment(20, 0.25, 2).spans, 2);  // 5 / 2
  EXPECT_EQ(divide_segment(2, 0.15, 3), (SpanLengths{2, 1, 1, 3, 3}));
}

TEST(SpanCorruption, FillsTheSameLengthsInEverySample) {
  for (const std::int64_t inputs : {4, 16, 64, 256, 512}) {
    const SpanCorruption corruption(with_inputs(inputs), vocabulary);
    const auto segment = segment_of(corruption.lengths().raw);
    for (std::uint64_t sample = 0; sample < 50; ++sample) {
      const Example example = corruption.corrupt(segment, 7, sample);
      EXPECT_EQ(static_cast<std::int64_t>(example.inputs.size()), corruption.lengths().inputs);
      EXPECT_EQ(static_cast<std::int64_t>(example.targets.size()), corruption.lengths().targets);
    }
  }
}

TEST(SpanCorruption, InputsAndTargetsTogetherRestoreTheSegment) {
  const SpanCorruption corruption(with_inputs(256), vocabulary);
  const auto segment = segment_of(corruption.lengths().raw);
  for (std::uint64_t sample = 0; sample < 200; ++sample)
    EXPECT_EQ(reassemble(corruption.corrupt(segment, 1, sample)), segment);
}

TEST(SpanCorruption, StartsWithKeptTextAndEndsWithHiddenText) {
  const SpanCorruption corruption(with_inputs(64), vocabulary);
  const auto segment = segment_of(corruption.lengths().raw);
  for (std::uint64_t sample = 0; sample < 100; ++sample) {
    const Example example = corruption.corrupt(segment, 1, sample);
    EXPECT_EQ(example.inputs.front(), segment.front());
    EXPECT_EQ(example.targets[example.targets.size() - 2], segment.back());
    EXPECT_EQ(example.inputs.back(), Vocabulary::eos);
    EXPECT_EQ(example.targets.back(), Vocabulary::eos);
  }
}

TEST(SpanCorruption, SentinelsDescendFromTheHighestId) {
  const SpanCorruption corruption(with_inputs(512), vocabulary);
  const Example example = corruption.corrupt(segment_of(568), 1, 3);
  for (const auto& ids : {example.inputs, example.targets}) {
    std::int32_t expected = 32099;
    for (const std::int32_t id : ids) {
      if (vocabulary.is_sentinel(id)) {
        EXPECT_EQ(id, expected--);
      }
    }
    EXPECT_EQ(expected, 32099 - 28);
  }
}

TEST(SpanCorruption, HidesOtherSpansForAnotherSampleOrSeedAndTheSameForTheSame) {
  const SpanCorruption corruption(with_inputs(128), vocabulary);
  const auto segment = segment_of(corruption.lengths().raw);
  const Example example = corruption.corrupt(segment, 5, 9);
  EXPECT_EQ(corruption.corrupt(segment, 5, 9).inputs, example.inputs);
  EXPECT_NE(corruption.corrupt(segment, 5, 10).inputs, example.inputs);
  EXPECT_NE(corruption.corrupt(segment, 6, 9).inputs, example.inputs);
}

// Different spans would be as good, but not for a run that is continued by this version.
TEST(SpanCorruption, HidesWhatItHidWhenRunsBegan) {
  const SpanCorruption corruption(with_inputs(64), vocabulary);
  EXPECT_EQ(corruption.corrupt(segment_of(corruption.lengths().raw), 5, 9).targets,
            (std::vector<std::int32_t>{32099, 106, 107, 108, 32098, 116, 117, 118, 32097, 166, 167,
                                       168, 169, Vocabulary::eos}));
}

TEST(SpanCorruption, DrawsEveryCompositionEquallyOften) {
  // 8 items in 4 parts: C(7, 3) = 35 compositions. Chi-square with 34 degrees: 99.9 % lie
  // below 65.2.
  constexpr int draws_count = 35 * 400;
  std::map<std::vector<std::int64_t>, int> seen;
  const RandomStream stream(11, Purpose::span_lengths, 0, 0);
  for (std::uint64_t i = 0; i < draws_count; ++i) {
    Draws draws(stream, i);
    const auto lengths = random_composition(8, 4, draws);
    EXPECT_EQ(std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0}), 8);
    EXPECT_TRUE(std::all_of(lengths.begin(), lengths.end(), [](auto n) { return n >= 1; }));
    ++seen[{lengths.begin(), lengths.end()}];
  }
  ASSERT_EQ(seen.size(), 35U);
  double chi_square = 0;
  for (const auto& [lengths, count] : seen) chi_square += (count - 400.0) * (count - 400.0) / 400.0;
  EXPECT_LT(chi_square, 65.2);
}

TEST(SpanCorruption, ComposesTheExtremes) {
  Draws draws(RandomStream(1, Purpose::span_lengths, 0, 0), 0);
  EXPECT_EQ(random_composition(5, 1, draws), (std::vector<std::int64_t>{5}));
  EXPECT_EQ(random_composition(5, 5, draws), (std::vector<std::int64_t>{1, 1, 1, 1, 1}));
}

TEST(SpanCorruption, TakesALongerTargetLengthAndRefusesAShorterOne) {
  SpanCorruptionConfig config = with_inputs(256);
  config.target_length = 64;
  EXPECT_EQ(SpanCorruption(config, vocabulary).target_length(), 64);
  EXPECT_EQ(SpanCorruption(config, vocabulary).lengths().targets, 58);
  EXPECT_EQ(SpanCorruption(with_inputs(256), vocabulary).target_length(), 58);
  config.target_length = 57;
  EXPECT_TRUE(fails_with(ExitCode::usage, "57", [&] { fit_segment(config); }));
  EXPECT_TRUE(fails_with(ExitCode::usage, "58", [&] { fit_segment(config); }));
}

TEST(SpanCorruption, RefusesWhatItCannotDo) {
  EXPECT_TRUE(fails_with(ExitCode::usage, "sentinels", [] { fit_segment(with_inputs(2048)); }));
  EXPECT_TRUE(fails_with(ExitCode::usage, "input_length", [] { fit_segment(with_inputs(0)); }));
  EXPECT_TRUE(fails_with(ExitCode::usage, "input_length", [] { fit_segment(with_inputs(-5)); }));
  SpanCorruptionConfig config = with_inputs(64);
  for (const double density : {-0.1, 0.0, 1.0, 2.0, std::nan("")}) {
    config.noise_density = density;
    EXPECT_TRUE(fails_with(ExitCode::usage, "noise_density", [&] { fit_segment(config); }));
  }
  config.noise_density = 0.9;
  config.mean_noise_span_length = 1;
  EXPECT_TRUE(fails_with(ExitCode::usage, "part", [&] { fit_segment(config); }));
  config.noise_density = 1 - 1e-12;
  config.mean_noise_span_length = 1e12;
  EXPECT_TRUE(fails_with(ExitCode::usage, "hides so much", [&] { fit_segment(config); }));
  config = with_inputs(64);
  config.mean_noise_span_length = 0.5;
  EXPECT_TRUE(fails_with(ExitCode::usage, "span_length", [&] { fit_segment(config); }));
}

TEST(Vocabulary, KnowsItsKindsOfIds) {
  EXPECT_EQ(vocabulary.rows(), 32128);
  EXPECT_EQ(vocabulary.sentinel(0), 32099);
  EXPECT_EQ(vocabulary.sentinel(99), 32000);
  EXPECT_EQ((Vocabulary{28}.rows()), 128);
  for (std::int32_t id = 0; id < vocabulary.rows(); ++id) {
    EXPECT_EQ(vocabulary.is_text(id), id >= 2 && id < 32000);
    EXPECT_EQ(vocabulary.is_sentinel(id), id >= 32000 && id < 32100);
    EXPECT_EQ(vocabulary.is_eos(id), id == 1);
  }
}

}  // namespace
}  // namespace switchyard
