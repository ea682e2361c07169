// Rows on their way to experts and back: packing them in send order alone; then all of a Switch
// layer, whose experts are here as narrow as a vector so that what is left is the way of the rows.
#include "kernels.hpp"
#include "moe/dispatcher.hpp"

namespace switchyard::bench {
namespace {

template <class T>
void pack(benchmark::State& state, const LayerShape& shape) {
  const std::int64_t N = 2 * shape.tokens();
  const auto x = random_tensor<T>(N, shape.D, 1);
  std::vector<std::int64_t> rows;  // expert by expert, as a plan has them
  for (std::int64_t e = 0; e < shape.E; ++e)
    for (std::int64_t row = e; row < N; row += shape.E) rows.push_back(row);
  bool same = true;
  const Tensor<T> packed = gather_rows<T>(x.view(), rows);
  for (std::int64_t i = 0; i < N; ++i)
    for (std::int64_t d = 0; d < shape.D; ++d)
      same &= packed.view()(i, d) == x.view()(rows[static_cast<std::size_t>(i)], d);
  if (!verified(state, "a packed row", same ? 0 : 1, 0)) return;
  time(state, Amount::bytes, 2 * x.size() * static_cast<std::int64_t>(sizeof(T)),
       [&] { benchmark::DoNotOptimize(gather_rows<T>(x.view(), rows)); });
}

}  // namespace

void register_rows(const LayerShape& shape) {
  add_benchmark("rows/pack/FLOAT32", shape, [=](auto& state) { pack<float>(state, shape); });
  add_benchmark("rows/pack/BFLOAT16", shape, [=](auto& state) { pack<bfloat16>(state, shape); });
}

}  // namespace switchyard::bench
