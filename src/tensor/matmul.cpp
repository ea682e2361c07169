#include "tensor/matmul.hpp"

#include <omp.h>

#include <array>
#include <dnnl.hpp>
#include <map>
#include <type_traits>

namespace switchyard {
namespace {

using dnnl::memory;

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
constexpr memory::data_type type_of =
    std::is_same_v<T, float> ? memory::data_type::f32 : memory::data_type::bf16;

// A matrix as oneDNN sees it, op(view) of a view with this stride. By oneDNN's C interface, as all
// that happens for each product: its C++ classes allocate.
memory::desc describe(std::int64_t rows, std::int64_t cols, memory::data_type type,
                      Transpose transpose, std::int64_t stride) {
  const bool plain = transpose == Transpose::no;
  const dnnl_dims_t extents = {rows, cols}, strides = {plain ? stride : 1, plain ? 1 : stride};
  memory::desc result;
  dnnl::error::wrap_c_api(dnnl_memory_desc_init_by_strides(&result.data, 2, extents,
                                                           memory::convert_to_c(type), strides),
                          "oneDNN cannot describe a matrix");
  return result;
}

// A primitive whose extents and strides are known only when it runs. Creating one takes oneDNN up
// to 1.6 ms, and an expert's number of rows is new in each step; made this way eight serve all
// shapes of a type, at the same speed.
template <class In, class Out>
dnnl::matmul make_product(const dnnl::engine& engine, Transpose ta, Transpose tb,
                          Accumulate accumulate) {
  constexpr std::int64_t any = DNNL_RUNTIME_DIM_VAL;
  dnnl::primitive_attr attributes;
  if (accumulate == Accumulate::yes) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
  const dnnl::matmul::desc product(describe(any, any, type_of<In>, ta, any),
                                   describe(any, any, type_of<In>, tb, any),
                                   describe(any, any, type_of<Out>, Transpose::no, any));
  return dnnl::matmul(dnnl::matmul::primitive_desc(product, attributes, engine));
}

struct Device {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
};

// oneDNN's handles, one set a thread: a stream must not be shared, and nothing here carries numbers
// from one product to the next.
Device& this_threads_device() {
  thread_local Device device;
  return device;
}

template <class In, class Out>
const dnnl::matmul& this_threads_product(Transpose ta, Transpose tb, Accumulate accumulate) {
  thread_local dnnl::matmul products[2][2][2];
  dnnl::matmul& product =
      products[ta == Transpose::yes][tb == Transpose::yes][accumulate == Accumulate::yes];
  if (!product) product = make_product<In, Out>(this_threads_device().engine, ta, tb, accumulate);
  return product;
}

// A matrix as an argument.
class Operand {
 public:
  template <class T>
  Operand(const Device& device, std::int64_t rows, std::int64_t cols, View<T> view,
          Transpose transpose) {
    using Element = std::remove_const_t<T>;
    const memory::desc shape = describe(rows, cols, type_of<Element>, transpose, view.stride);
    dnnl::error::wrap_c_api(dnnl_memory_create(&memory_, &shape.data, device.engine.get(),
                                               const_cast<Element*>(view.data)),
                            "oneDNN cannot take a matrix");
  }
  ~Operand() { dnnl_memory_destroy(memory_); }
  Operand(const Operand&) = delete;
  Operand& operator=(const Operand&) = delete;

  dnnl_memory_t get() const { return memory_; }

 private:
  dnnl_memory_t memory_ = nullptr;
};

void execute(const dnnl::matmul& product, Device& device, dnnl_memory_t a, dnnl_memory_t b,
             dnnl_memory_t c) {
  const std::array<dnnl_exec_arg_t, 3> arguments = {
      {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}}};
  dnnl::error::wrap_c_api(
      dnnl_primitive_execute(product.get(), device.stream.get(), static_cast<int>(arguments.size()),
                             arguments.data()),
      "oneDNN cannot multiply");
  device.stream.wait();
}

// A primitive made for one shape, with its operands' descriptions: oneDNN has faster kernels for
// bf16 products whose extents it knows beforehand.
template <class Out>
class FixedProduct {
 public:
  using Shape = std::array<std::int64_t, 8>;  // m, n, k, ta, tb, strides of a, b, c

  FixedProduct(const Shape& shape, Device& device)
      : device_(device),
        a_(operand<bfloat16>(shape[0], shape[2], shape[3], shape[5])),
        b_(operand<bfloat16>(shape[2], shape[1], shape[4], shape[6])),
        c_(operand<Out>(shape[0], shape[1], 0, shape[7])),
        product_(dnnl::matmul::primitive_desc(
            dnnl::matmul::desc(a_.get_desc(), b_.get_desc(), c_.get_desc()), device.engine)) {}

  void run(const bfloat16* a, const bfloat16* b, Out* c) {
    a_.set_data_handle(const_cast<bfloat16*>(a));
    b_.set_data_handle(const_cast<bfloat16*>(b));
    c_.set_data_handle(c);
    execute(product_, device_, a_.get(), b_.get(), c_.get());
  }

 private:
  template <class T>
  memory operand(std::int64_t rows, std::int64_t cols, std::int64_t transposed,
                 std::int64_t stride) {
    const Transpose transpose = transposed ? Transpose::yes : Transpose::no;
    return memory(describe(rows, cols, type_of<T>, transpose, stride), device_.engine, nullptr);
  }

  Device& device_;
  memory a_, b_, c_;
  dnnl::matmul product_;
};

}  // namespace

template <class In, class Out>
void matmul(View<const In> a, Transpose ta, View<const In> b, Transpose tb, View<Out> c,
            Accumulate accumulate) {
  const SingleThreadGuard guard;
  Device& device = this_threads_device();
  const std::int64_t m = c.rows, n = c.cols, k = ta == Transpose::no ? a.cols : a.rows;
  const Operand left(device, m, k, a, ta), right(device, k, n, b, tb);
  const Operand result(device, m, n, c, Transpose::no);
  execute(this_threads_product<In, Out>(ta, tb, accumulate), device, left.get(), right.get(),
          result.get());
}

template <class Out>
void matmul_of_known_shape(View<const bfloat16> a, Transpose ta, View<const bfloat16> b,
                           Transpose tb, View<Out> c) {
  const SingleThreadGuard guard;
  thread_local std::map<typename FixedProduct<Out>::Shape, FixedProduct<Out>> products;
  const std::int64_t k = ta == Transpose::no ? a.cols : a.rows;
  const typename FixedProduct<Out>::Shape shape{
      c.rows, c.cols, k, ta == Transpose::yes, tb == Transpose::yes, a.stride, b.stride, c.stride};
  const auto [at, made] = products.try_emplace(shape, shape, this_threads_device());
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
