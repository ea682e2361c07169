// Window attention with a window that covers the row, or with only global positions, is full
// attention computed in a different way; each implementation verifies the other.
#include "model/window_attention.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include <map>
#include <string>

#include "gradient_check.hpp"
#include "model/full_attention.hpp"
#include "small_model.hpp"
#include "tensor/rounding.hpp"

namespace switchyard::window_attention_test {
namespace {

using namespace test;

constexpr std::int64_t D = 12, H = 3, K = 5, ranks = 2, rows = 2, length = 70;

struct Setting {
  std::optional<AttentionWindow> window{};
  float dropout = 0;
  bool keep_weights = true;
  std::int32_t positions = length;
};

// The output and all gradients of one layer, by name.
template <class In>
std::map<std::string, Values> run(const Setting& setting) {
  OneProcess process(ranks);
  const std::int32_t n = setting.positions;
  const Sequence sequence = make_sequence(ranks, rows, n, {n, n - 29, 1, n - 6});
  ParamSet params = make_params({{"q", D, random_values(D * H * K, 1)},
                                 {"k", D, random_values(D * H * K, 2)},
                                 {"v", D, random_values(D * H * K, 3)},
                                 {"o", H * K, random_values(D * H * K, 4)},
                                 {"table", H, random_values(H * relative_buckets, 5)}},
                                ranks);
  if constexpr (!std::is_same_v<In, float>) params.round_values();
  const Attention attention({H,
                             K,
                             false,
                             true,
                             {setting.dropout, Purpose::attention_dropout, 4},
                             0,
                             1,
                             2,
                             3,
                             setting.keep_weights,
                             setting.window});
  const RelativeBias relative(4, true);
  const PositionBias bias = relative.forward(params, n);
  const Tensor<float> stream = to_tensor(random_values(sequence.positions() * D, 6),
                                         sequence.positions()),
                      dy = to_tensor(random_values(sequence.positions() * D, 7),
                                     sequence.positions());
  const Converted<In, float> x(stream.view());
  const AttentionInput<In> input{sequence, x.view(), sequence, x.view()};
  auto y = Tensor<float>::uninitialized(sequence.positions(), D);
  auto dx = Tensor<float>::uninitialized(sequence.positions(), D);
  const AttentionSaved<In> saved =
      attention.forward(process.context, params, input, &bias, y.view());
  EXPECT_EQ(saved.weights.size() > 0, setting.keep_weights);
  const Tensor<float> pieces = attention.backward(process.context, params, input, saved, &bias,
                                                  {dy.view(), dx.view(), dx.view()});
  relative.backward(params, sequence, pieces.view());
  std::map<std::string, Values> results = {{"y", to_values(y.view())},
                                           {"dx", to_values(dx.view())},
                                           {"by distance", to_values(pieces.view())}};
  for (const Param& param : params.params()) {
    for (const GradientLeaf& leaf : param.leaves) {
      Values& all = results[param.name()];
      for (const double value : to_values(leaf.view())) all.push_back(value);
    }
  }
  return results;
}

void expect_alike(const std::map<std::string, Values>& actual,
                  const std::map<std::string, Values>& expected, double tolerance) {
  for (const auto& [name, values] : expected) {
    Values difference = values;
    for (std::size_t i = 0; i < values.size(); ++i) difference[i] -= actual.at(name)[i];
    EXPECT_GT(norm(values), 1e-3) << name;
    EXPECT_LE(norm(difference), tolerance * norm(values)) << name;
  }
}

const AttentionWindow covering[] = {{length - 1, 0}, {1000, 0}, {length - 1, 9},
                                    {2, length},     {2, 1000}, {2, length - 3}};

TEST(WindowAttention, IsFullAttentionWhereEverythingIsSeen) {
  for (const AttentionWindow& window : covering) {
    for (const float dropout : {0.0f, 0.3f}) {
      SCOPED_TRACE(std::to_string(window.reach) + " " + std::to_string(window.globals));
      expect_alike(run<float>({window, dropout}), run<float>({{}, dropout}), 1e-5);
    }
  }
}

// Sums in a different order round differently: 2^-8 per product input, for a few in succession.
TEST(WindowAttention, IsFullAttentionInBfloat16UpToRounding) {
  for (const AttentionWindow& window : covering) {
    expect_alike(run<bfloat16>({window, 0.3f}), run<bfloat16>({{}, 0.3f}), 0x1p-6);
  }
}

TEST(WindowAttention, IsNotFullAttentionOtherwise) {
  const auto part = run<float>({AttentionWindow{length - 10, 0}}), all = run<float>({});
  Values difference = all.at("y");
  for (std::size_t i = 0; i < difference.size(); ++i) difference[i] -= part.at("y")[i];
  EXPECT_GT(norm(difference), 1e-3 * norm(all.at("y")));
}

template <class In>
void expect_same_bits_however_it_runs(Setting setting) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto expected = run<In>(setting);
  for (const int threads : {1, 2, 3, 7}) {
    omp_set_num_threads(threads);
    for (const bool keep : {true, false}) {
      setting.keep_weights = keep;
      EXPECT_EQ(run<In>(setting), expected) << threads << " " << keep;
    }
  }
  omp_set_num_threads(before);
}

TEST(WindowAttention, HasTheSameBitsOnAnyThreadsKeptOrComputedAgain) {
  const Setting setting{AttentionWindow{4, 3}, 0.3f};
  expect_same_bits_however_it_runs<float>(setting);
  expect_same_bits_however_it_runs<bfloat16>(setting);
}

// Row lengths for which full attention computes the keys' gradients transposed; and for which it
// processes queries in several blocks, the last one smaller.
constexpr std::int32_t one_large_block = 401, several_blocks = 700;

TEST(FullAttention, OfLongRowsIsAWindowThatCoversThem) {
  ASSERT_EQ(queries_at_once(one_large_block, one_large_block), one_large_block);
  ASSERT_LT(queries_at_once(several_blocks, several_blocks), several_blocks);
  ASSERT_NE(several_blocks % queries_at_once(several_blocks, several_blocks), 0);
  for (const std::int32_t positions : {one_large_block, several_blocks}) {
    SCOPED_TRACE(positions);
    const auto results = [&]<class In>(In, std::optional<AttentionWindow> window) {
      return run<In>({window, 0.3f, true, positions});
    };
    const AttentionWindow covering_all{positions, 0};
    expect_alike(results(float{}, {}), results(float{}, covering_all), 1e-5);
    expect_alike(results(bfloat16{}, {}), results(bfloat16{}, covering_all), 0x1p-6);
  }
}

TEST(FullAttention, HasTheSameBitsOnAnyThreadsKeptOrComputedAgain) {
  for (const std::int32_t positions : {70, one_large_block, several_blocks}) {
    const Setting setting{{}, 0.3f, true, positions};
    expect_same_bits_however_it_runs<float>(setting);
    expect_same_bits_however_it_runs<bfloat16>(setting);
  }
}

}  // namespace
}  // namespace switchyard::window_attention_test
