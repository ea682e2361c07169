// The update shared out over processes gives the bits of the update of everything.
#include "optim/update_share.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/philox.hpp"
#include "optim/gradient_reducer.hpp"
#include "optim/optimizer.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

struct Rule {
  std::string name;
  OptimizerConfig config;
};

// With and without factors, with state and without.
const std::vector<Rule>& rules() {
  static const std::vector<Rule> all = {
      {"AdafactorFactored", AdafactorConfig{.min_dim_size_to_factor = 16}},
      {"AdafactorUnfactored", AdafactorConfig{.min_dim_size_to_factor = 1 << 20}},
      {"AdafactorUnscaled",
       AdafactorConfig{.min_dim_size_to_factor = 16, .multiply_by_parameter_scale = false}},
      {"AdamW", AdamWConfig{}},
      {"Sgd", SgdConfig{}},
      {"Momentum", SgdConfig{.momentum = 0.9}},
  };
  return all;
}

// Tensors that are cut once or several times, tensors that are not, and an expert's.
ParamSet some_params() {
  struct Shape {
    std::int64_t rows, cols;
  };
  constexpr Shape shapes[] = {{1100, 64}, {1, 64}, {128, 256}, {300, 100}, {5, 12}, {256, 128}};
  std::vector<ParamSpec> specs;
  for (const Shape& shape : shapes) {
    ParamSpec spec;
    spec.name = spec.init_key = "tensor." + std::to_string(specs.size());
    spec.rows = shape.rows;
    spec.cols = shape.cols;
    spec.init = {Initializer::Kind::normal, 0.3f};
    specs.push_back(spec);
  }
  specs.back().expert = ExpertId{0};
  return {std::move(specs), 1, 1, 3};
}

// The parameters of one process and their optimizer, with or without a share of the update.
class Trained {
 public:
  Trained(const OptimizerConfig& config, bool shared, bool rounded) : params_(some_params()) {
    if (rounded) params_.round_values();
    if (shared) share_.emplace(test_world(), params_);
    optimizer_ = make_optimizer(config, params_.params(), share());
  }

  void take_step(std::int64_t step) {
    for (std::size_t i = 0; i < params_.params().size(); ++i) {
      Param& param = params_[i];
      param.gradient = param.leaves[0].sum();
      for (std::int64_t e = 0; e < param.gradient.size(); ++e)
        param.gradient.data[e] = drawn_gradient(step, i, e, param.spec.cols);
    }
    clip_gradients(params_, 2, 1, share());
    optimizer_->update(params_.params(), step, 0.05);
    if (share_) share_->gather_values();
  }

  ParamSet& params() { return params_; }
  UpdateShare* share() { return share_ ? &*share_ : nullptr; }
  std::vector<NamedTensor> state() { return optimizer_->state(); }

 private:
  // Differs in size between rows and between columns.
  static float drawn_gradient(std::int64_t step, std::size_t param, std::int64_t element,
                              std::int64_t cols) {
    const auto words = philox({static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(param),
                               static_cast<std::uint32_t>(element), 0},
                              {4, 2});
    return std::ldexp(unit_float(words[0]) - 0.5f,
                      static_cast<int>(element / cols % 7 - element % cols % 5));
  }

  ParamSet params_;
  std::optional<UpdateShare> share_;
  std::unique_ptr<Optimizer> optimizer_;
};

template <class T>
bool same_bits(std::span<const T> a, std::span<const T> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

void expect_same_weights(Trained& shared, Trained& whole) {
  for (std::size_t i = 0; i < whole.params().params().size(); ++i) {
    const Param &a = shared.params()[i], &b = whole.params()[i];
    EXPECT_TRUE(same_bits<float>(a.value.flat(), b.value.flat())) << a.name();
    EXPECT_TRUE(same_bits<bfloat16>(a.rounded.flat(), b.rounded.flat())) << a.name();
  }
}

// What each process holds is a part of the whole, and gathered for a checkpoint it is the whole,
// on one process.
void expect_same_state(Trained& shared, Trained& whole) {
  const std::vector<NamedTensor> expected = whole.state(), held = shared.state();
  ASSERT_EQ(held.size(), expected.size());
  for (std::size_t i = 0; i < held.size(); ++i) {
    EXPECT_EQ(held[i].name, expected[i].name);
    EXPECT_EQ(held[i].rows, expected[i].rows);
    EXPECT_EQ(held[i].cols, expected[i].cols);
    EXPECT_EQ(held[i].first.has_value(), !held[i].expert.has_value());
    EXPECT_TRUE(same_bits<float>(
        held[i].data, expected[i].data.subspan(static_cast<std::size_t>(held[i].first.value_or(0)),
                                               held[i].data.size())))
        << held[i].name;
  }
  const UpdateShare::WholeState gathered = shared.share()->gather_state(held);
  std::vector<std::int64_t> writers;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const NamedTensor& tensor = gathered.tensors[i];
    EXPECT_EQ(tensor.name, expected[i].name);
    const bool here = !tensor.data.empty();
    writers.push_back(tensor.expert ? test_world().rank() == Rank{0} : here);
    if (!here) continue;
    EXPECT_TRUE(same_bits<float>(tensor.data, expected[i].data)) << tensor.name;
  }
  all_reduce_sum(test_world(), writers);
  EXPECT_EQ(writers, std::vector<std::int64_t>(expected.size(), 1));
}

TEST(UpdateShare, MovesNoBit) {
  for (const Rule& rule : rules()) {
    for (const bool rounded : {false, true}) {
      SCOPED_TRACE(rule.name + (rounded ? ", rounded" : ""));
      Trained whole(rule.config, false, rounded), shared(rule.config, true, rounded);
      for (std::int64_t step = 0; step < 3; ++step) {
        whole.take_step(step);
        shared.take_step(step);
        expect_same_weights(shared, whole);
      }
      expect_same_state(shared, whole);
    }
  }
}

TEST(UpdateShare, DividesTheStateOfAdamW) {
  Trained whole(AdamWConfig{}, false, false), shared(AdamWConfig{}, true, false);
  const auto elements = [](Trained& trained) {
    std::int64_t sum = 0;
    for (const NamedTensor& tensor : trained.state())
      if (!tensor.expert) sum += std::ssize(tensor.data);
    return sum;
  };
  constexpr std::int64_t unit = 64 * 64 * 25;  // of 100 columns
  EXPECT_LE(elements(shared), elements(whole) / test_world().size() + 2 * unit);
  std::vector<std::int64_t> all = {elements(shared)};
  all_reduce_sum(test_world(), all);
  EXPECT_EQ(all[0], elements(whole));
}

}  // namespace
}  // namespace switchyard
