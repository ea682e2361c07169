#include "moe/selection.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>

#include "moe/expert_choice.hpp"

namespace switchyard {
namespace {

using testing::ElementsAre;
using testing::Pointwise;

constexpr Fate none = Fate::none, declined = Fate::declined, dropped = Fate::dropped,
               kept = Fate::kept;

// Probabilities given as rows [N, E].
Probabilities probabilities_of(std::int64_t E, std::vector<float> p) {
  const std::int64_t N = std::ssize(p) / E;
  Probabilities result{Tensor<float>::zeros(N, E), Tensor<float>::zeros(1, N), {}, 0, 0};
  std::copy(p.begin(), p.end(), result.p.data());
  for (std::int64_t t = 0; t < N; ++t)
    result.top.push_back(
        static_cast<std::int32_t>(std::max_element(&p[t * E], &p[t * E] + E) - &p[t * E]));
  return result;
}

Selection choose(const ChoiceRule& rule, const Probabilities& probabilities) {
  return choose_experts(rule, probabilities, probabilities.p.view());
}

TEST(Selection, IsTheWorkedExample) {
  ChoiceRule rule;
  rule.choices = 2;
  rule.capacity = 1;
  const Selection s = choose(rule, probabilities_of(3, {.6f, .3f, .1f, .5f, .1f, .4f}));
  EXPECT_THAT(s.expert, ElementsAre(0, 0, 1, 2));
  EXPECT_THAT(s.fate, ElementsAre(kept, dropped, kept, kept));
  EXPECT_THAT(s.weight, ElementsAre(.6f, .5f, .3f, .4f));
}

TEST(Selection, ServesPositionsProbabilitiesOrTicketsAsThePolicySays) {
  const Probabilities p = probabilities_of(2, {.6f, .4f, .9f, .1f, .7f, .3f, .2f, .8f});
  ChoiceRule rule;
  rule.capacity = 1;
  EXPECT_THAT(choose(rule, p).fate, ElementsAre(kept, dropped, dropped, kept));
  rule.drop = DropPolicy::probs;
  EXPECT_THAT(choose(rule, p).fate, ElementsAre(dropped, kept, dropped, kept));
  rule.drop = DropPolicy::random;  // without draws, as in evaluation: by position
  EXPECT_THAT(choose(rule, p).fate, ElementsAre(kept, dropped, dropped, kept));
}

TEST(Selection, DividesGatesByTheirSumWhateverIsDropped) {
  const Probabilities p = probabilities_of(4, {.4f, .4f, .1f, .1f, .5f, .25f, .15f, .1f});
  ChoiceRule rule;
  rule.choices = 2;
  rule.normalize = true;
  rule.capacity = 1;
  const Selection s = choose(rule, p);
  EXPECT_THAT(s.expert, ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(s.fate, ElementsAre(kept, dropped, kept, dropped));
  EXPECT_THAT(s.weight, Pointwise(testing::FloatNear(1e-6f), {.5f, 2 / 3.f, .5f, 1 / 3.f}));
}

TEST(Selection, TakesSecondChoicesAboveTheThreshold) {
  const Probabilities p = probabilities_of(2, {.9f, .1f, .7f, .3f});
  ChoiceRule rule;
  rule.choices = 2;
  rule.normalize = true;
  rule.capacity = 9;
  for (const SecondPolicy policy : {SecondPolicy::threshold, SecondPolicy::random}) {
    rule.second = policy;  // without draws, as in evaluation
    EXPECT_THAT(choose(rule, p).fate, ElementsAre(kept, kept, declined, kept));
  }
  rule.second = SecondPolicy::none;
  EXPECT_THAT(choose(rule, p).fate, ElementsAre(kept, kept, declined, declined));
  rule.second = SecondPolicy::all;
  EXPECT_THAT(choose(rule, p).fate, ElementsAre(kept, kept, kept, kept));
}

// Three tokens with the same preferences, and experts with one place each: the second token gets
// its second choice and the third its third.
TEST(Selection, LeavesNoTokenBehindWhileOneOfItsChoicesHasAPlace) {
  const Probabilities p = probabilities_of(3, {.5f, .3f, .2f, .5f, .3f, .2f, .5f, .3f, .2f});
  ChoiceRule rule;
  rule.choices = 3;
  rule.until_placed = true;
  rule.capacity = 1;
  EXPECT_THAT(choose(rule, p).fate, ElementsAre(kept, dropped, dropped,   //
                                                declined, kept, dropped,  //
                                                declined, declined, kept));
}

TEST(Selection, ServesATokenThatIsNotANumberAmongDifferentExperts) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Probabilities p = probabilities_of(3, {nan, nan, nan});
  p.top = {0};
  ChoiceRule rule;
  rule.choices = 3;
  rule.capacity = 1;
  for (const DropPolicy policy : {DropPolicy::position, DropPolicy::probs}) {
    rule.drop = policy;
    EXPECT_THAT(choose(rule, p).expert, ElementsAre(0, 1, 2));
  }
}

TEST(Selection, PaddingChoosesNothing) {
  Probabilities p = probabilities_of(2, {.9f, .1f, 0, 0});
  p.top[1] = -1;
  ChoiceRule rule;
  rule.choices = 2;
  rule.capacity = 4;
  const Selection s = choose(rule, p);
  EXPECT_THAT(s.fate, ElementsAre(kept, none, kept, none));
  EXPECT_THAT(s.expert, ElementsAre(0, -1, 1, -1));
}

// Two rows of two tokens, two experts, C = 1: in the first row both experts prefer t0, so its
// weights are halved; in the second each expert takes a different token.
TEST(ExpertChoice, GivesEachExpertItsTokensOfEachRow) {
  auto logits = Tensor<float>::zeros(4, 2);
  const float values[] = {2, 1, 0, 0, 3, 0, 0, 3};
  std::copy(std::begin(values), std::end(values), logits.data());
  const std::vector<std::uint8_t> real(4, 1);
  const auto [choice, s] = choose_tokens({2, 1.0, 0}, logits.view(), real);
  EXPECT_THAT(s.expert, ElementsAre(0, -1, 0, -1, 1, -1, -1, 1));
  EXPECT_THAT(s.fate, ElementsAre(kept, none, kept, none, kept, none, none, kept));
  const auto sigmoid = [](float x) { return 1 / (1 + std::exp(-x)); };
  EXPECT_NEAR(s.weight[0], sigmoid(2) / 2, 1e-6);
  EXPECT_NEAR(s.weight[4], sigmoid(1) / 2, 1e-6);
  EXPECT_NEAR(s.weight[2], sigmoid(3), 1e-6);
  EXPECT_NEAR(s.weight[7], sigmoid(3), 1e-6);
  EXPECT_EQ(choice.places, 4);
  const double t0 = (sigmoid(2) + sigmoid(1)) / 2;
  EXPECT_NEAR(choice.balance_sum, 2 * (t0 * t0 + (1 - t0) * (1 - t0)) + 1, 1e-6);
}

TEST(ExpertChoice, HasNoMorePlacesThanARowHasTokens) {
  const auto logits = Tensor<float>::zeros(6, 2);
  const std::vector<std::uint8_t> real = {1, 0, 0, 0, 0, 0};
  const auto [choice, s] = choose_tokens({3, 4.0, 4}, logits.view(), real);
  EXPECT_EQ(choice.places, 2);
  EXPECT_THAT(choice.real, ElementsAre(1, 0));
  EXPECT_EQ(std::count(s.fate.begin(), s.fate.end(), kept), 2);
}

}  // namespace
}  // namespace switchyard
