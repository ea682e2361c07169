#include "tensor/matmul.hpp"

#include <omp.h>

#include <array>
#include <map>
#include <optional>
#include <type_traits>

#include "tensor/onednn.hpp"

namespace switchyard {
namespace {

using onednn::Matrix;
using onednn::MatrixLayout;

// oneDNN asks the calling thread's OpenMP thread count, when it creates a primitive and when it
// runs one, and may split K by it. With one thread it never does, in whatever team the caller is.
class SingleThreadGuard {
 public:
  SingleThreadGuard() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~SingleThreadGuard() { omp_set_num_threads(before_); }
  SingleThreadGuard(const SingleThreadGuard&) = delete;
  SingleThreadGuard& operator=(const SingleThreadGuard&) = delete;

 private:
  int before_;
};

template <class T>
constexpr dnnl::memory::data_type type_of =
    std::is_same_v<T, float> ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;

// op(view), of a view whose rows are `stride` elements apart.
template <class T>
MatrixLayout layout_of(std::int64_t rows, std::int64_t cols, Transpose transpose,
                       std::int64_t stride) {
  if (transpose == Transpose::no) return {rows, cols, stride, 1, type_of<T>};
  return {rows, cols, 1, stride, type_of<T>};
}

struct Device {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
};

// oneDNN's handles, one set per thread: a stream must not be shared, and nothing here carries
// numbers from one product to the next.
Device& this_threads_device() {
  thread_local Device device;
  return device;
}

// A primitive whose extents and strides are known only when it runs. Creating one takes oneDNN up
// to 1.6 ms, and an expert's number of rows is new in each step; made this way, eight serve all
// shapes of a type, at the same speed.
template <class In, class Out>
const dnnl::matmul& this_threads_product(Transpose ta, Transpose tb, Accumulate accumulate) {
  constexpr std::int64_t any = MatrixLayout::any;
  thread_local dnnl::matmul products[2][2][2];
  dnnl::matmul& product =
      products[ta == Transpose::yes][tb == Transpose::yes][accumulate == Accumulate::yes];
  if (!product) {
    product =
        onednn::make_product(layout_of<In>(any, any, ta, any), layout_of<In>(any, any, tb, any),
                             layout_of<Out>(any, any, Transpose::no, any),
                             accumulate == Accumulate::yes, this_threads_device().engine);
  }
  return product;
}

// Matrices that were used lately, since oneDNN allocates for each. Shapes come again in each layer
// and step, except that an expert's number of rows is new each time: a new layout takes the place
// of another one, so that there are never more than fit here.
class KeptMatrices {
 public:
  Matrix& get(const MatrixLayout& layout, const dnnl::engine& engine) {
    Place& place = places_[place_of(layout)];
    if (!place.matrix || place.layout != layout) {
      place.matrix.emplace(layout, engine);
      place.layout = layout;
    }
    return *place.matrix;
  }

 private:
  struct Place {
    MatrixLayout layout;
    std::optional<Matrix> matrix;
  };
  static constexpr std::size_t size = 128;

  static std::size_t place_of(const MatrixLayout& x) {
    std::uint64_t mixed = 0;
    for (const std::int64_t part : {x.rows, x.cols, x.row_stride, x.col_stride})
      mixed = (mixed ^ static_cast<std::uint64_t>(part)) * 0x9e3779b97f4a7c15;
    return (mixed ^ static_cast<std::uint64_t>(x.type)) * 0x9e3779b97f4a7c15 >> 57;
  }

  std::array<Place, size> places_;
};

enum class Argument { a, b, c };

// A matrix for one argument of a product; the arguments of one product are different objects.
template <class T>
Matrix& this_threads_matrix(const Device& device, Argument argument, std::int64_t rows,
                            std::int64_t cols, View<T> view, Transpose transpose) {
  thread_local std::array<KeptMatrices, 3> kept;
  const MatrixLayout layout = layout_of<std::remove_const_t<T>>(rows, cols, transpose, view.stride);
  Matrix& matrix = kept[static_cast<std::size_t>(argument)].get(layout, device.engine);
  matrix.move_to(view.data);
  return matrix;
}

void execute(const dnnl::matmul& product, Device& device, const Matrix& a, const Matrix& b,
             const Matrix& c) {
  const std::array<dnnl_exec_arg_t, 3> arguments = {
      {{DNNL_ARG_SRC, a.get()}, {DNNL_ARG_WEIGHTS, b.get()}, {DNNL_ARG_DST, c.get()}}};
  dnnl::error::wrap_c_api(
      dnnl_primitive_execute(product.get(), device.stream.get(), static_cast<int>(arguments.size()),
                             arguments.data()),
      "oneDNN cannot multiply");
  device.stream.wait();
}

// A primitive made for one shape, with its operands' descriptions: oneDNN has faster kernels for
// bf16 products whose extents it knows beforehand.
class FixedProduct {
 public:
  struct Layouts {
    MatrixLayout a, b, c;
  };

  FixedProduct(const Layouts& layouts, Device& device)
      : device_(device),
        a_(layouts.a, device.engine),
        b_(layouts.b, device.engine),
        c_(layouts.c, device.engine),
        product_(onednn::make_product(layouts.a, layouts.b, layouts.c, false, device.engine)) {}

  void run(const void* a, const void* b, void* c) {
    a_.move_to(a);
    b_.move_to(b);
    c_.move_to(c);
    execute(product_, device_, a_, b_, c_);
  }

 private:
  Device& device_;
  Matrix a_, b_, c_;
  dnnl::matmul product_;
};

}  // namespace

template <class In, class Out>
void matmul(View<const In> a, Transpose ta, View<const In> b, Transpose tb, View<Out> c,
            Accumulate accumulate) {
  const SingleThreadGuard guard;
  Device& device = this_threads_device();
  const std::int64_t m = c.rows, n = c.cols, k = ta == Transpose::no ? a.cols : a.rows;
  execute(this_threads_product<In, Out>(ta, tb, accumulate), device,
          this_threads_matrix(device, Argument::a, m, k, a, ta),
          this_threads_matrix(device, Argument::b, k, n, b, tb),
          this_threads_matrix(device, Argument::c, m, n, c, Transpose::no));
}

template <class Out>
void matmul_of_known_shape(View<const bfloat16> a, Transpose ta, View<const bfloat16> b,
                           Transpose tb, View<Out> c) {
  const SingleThreadGuard guard;
  Device& device = this_threads_device();
  using Shape = std::array<std::int64_t, 8>;
  thread_local std::map<Shape, FixedProduct> products;
  const std::int64_t m = c.rows, n = c.cols, k = ta == Transpose::no ? a.cols : a.rows;
  const Shape shape{m,        n,        k,       ta == Transpose::yes, tb == Transpose::yes,
                    a.stride, b.stride, c.stride};
  auto at = products.find(shape);
  if (at == products.end()) {
    const FixedProduct::Layouts layouts{layout_of<bfloat16>(m, k, ta, a.stride),
                                        layout_of<bfloat16>(k, n, tb, b.stride),
                                        layout_of<Out>(m, n, Transpose::no, c.stride)};
    at = products.try_emplace(shape, layouts, device).first;
  }
  at->second.run(a.data, b.data, c.data);
}

template void matmul(View<const float>, Transpose, View<const float>, Transpose, View<float>,
                     Accumulate);
template void matmul(View<const bfloat16>, Transpose, View<const bfloat16>, Transpose, View<float>,
                     Accumulate);
template void matmul(View<const bfloat16>, Transpose, View<const bfloat16>, Transpose,
                     View<bfloat16>, Accumulate);
template void matmul_of_known_shape(View<const bfloat16>, Transpose, View<const bfloat16>,
                                    Transpose, View<float>);
template void matmul_of_known_shape(View<const bfloat16>, Transpose, View<const bfloat16>,
                                    Transpose, View<bfloat16>);

}  // namespace switchyard
