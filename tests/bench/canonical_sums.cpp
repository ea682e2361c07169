// The canonical sum of gradients without communication: one process folds the leaves of all its
// virtual ranks.
#include "comm/canonical.hpp"
#include "kernels.hpp"
#include "support/canonical_reference.hpp"

namespace switchyard::bench {
namespace {

void fold(benchmark::State& state, const Comm& comm, const LayerShape& shape, std::int64_t V) {
  const std::int64_t n = shape.D * shape.F;
  Tensor<float> leaves = random_tensor(V, n, 1);
  std::vector<float> expected;
  for (std::int64_t i = 0; i < n; ++i) {
    std::vector<float> of_element;
    for (std::int64_t v = 0; v < V; ++v) of_element.push_back(leaves.view()(v, i));
    expected.push_back(reference::tree_sum(of_element));
  }
  const LeafPartition partition(V, 1);
  CanonicalSum<float> sum(comm, partition, n);
  const auto run = [&] {
    std::vector<std::span<float>> rows;
    for (std::int64_t v = 0; v < V; ++v) rows.push_back(leaves.row_range(v, 1).flat());
    sum.all_reduce(rows);
  };
  run();
  const auto sums = leaves.row_range(0, 1).flat();
  const bool same = std::equal(sums.begin(), sums.end(), expected.begin());
  if (!verified(state, "the sum", same ? 0 : 1, 0)) return;
  for (float& x : leaves.flat()) x = 0;  // repeated sums would exceed the range of f32
  time(state, Amount::bytes, 4 * (V + 1) * n, run);
}

}  // namespace

void register_canonical_sums(const Comm& comm, const LayerShape& shape) {
  for (const std::int64_t V : {2, 3, 8})
    add_benchmark("canonical_sum/of_" + std::to_string(V), shape,
                  [=, &comm](auto& state) { fold(state, comm, shape, V); });
}

}  // namespace switchyard::bench
