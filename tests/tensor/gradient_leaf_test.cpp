// A cleared leaf contains arbitrary values until something is added: each way of adding must give
// the same result as adding to zeros.
#include "tensor/gradient_leaf.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <vector>

namespace switchyard {
namespace {

using testing::Each;
using testing::ElementsAre;

// A leaf of [2, 2] that was used before and then cleared.
struct Used {
  Tensor<float> place = Tensor<float>::uninitialized(2, 2);
  GradientLeaf leaf{place.view()};
  Work work;

  Used() {
    std::ranges::fill(place.flat(), 7.0f);
    leaf.clear();
  }
  // Adds the outer product of (1, 2) and (3, 5).
  void add_product() {
    const std::vector<float> a{1, 2}, b{3, 5};
    leaf.add_product(work, View<const float>(a.data(), 1, 2), Transpose::yes,
                     View<const float>(b.data(), 1, 2), Transpose::no);
  }
  // Adds a product with no rows.
  void add_nothing() {
    leaf.add_product(work, View<const float>(place.data(), 0, 2), Transpose::yes,
                     View<const float>(place.data(), 0, 2), Transpose::no);
  }
};

TEST(GradientLeaf, IsZeroAfterItIsCleared) {
  Used used;
  EXPECT_THAT(used.leaf.sum().flat(), Each(0.0f));
}

TEST(GradientLeaf, TakesItsFirstProductWithoutZeros) {
  Used used;
  used.add_product();
  EXPECT_THAT(used.leaf.view().flat(), ElementsAre(3, 5, 6, 10));
}

TEST(GradientLeaf, AddsItsFurtherProducts) {
  Used used;
  used.add_product();
  used.add_product();
  EXPECT_THAT(used.leaf.sum().flat(), ElementsAre(6, 10, 12, 20));
}

TEST(GradientLeaf, AddsAProductToWhatWasAddedOtherwise) {
  Used used;
  used.leaf.sum()(1, 0) += 4;
  used.add_product();
  EXPECT_THAT(used.leaf.view().flat(), ElementsAre(3, 5, 10, 10));
}

TEST(GradientLeaf, IsZeroAfterAProductOfNoRows) {
  Used used;
  used.add_nothing();
  EXPECT_THAT(used.leaf.view().flat(), Each(0.0f));
}

TEST(GradientLeaf, AddsAgainToANewLeafWhichHoldsZeros) {
  auto place = Tensor<float>::zeros(1, 3);
  GradientLeaf leaf(place.view());
  leaf.sum()(0, 1) += 2;
  EXPECT_THAT(leaf.sum().flat(), ElementsAre(0, 2, 0));
}

}  // namespace
}  // namespace switchyard
