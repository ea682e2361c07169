// The one file that includes dnnl.hpp: products cut into tiles, each a single-threaded oneDNN
// matmul.
#include "tensor/gemm.hpp"

#include <omp.h>
#include <xmmintrin.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <dnnl.hpp>
#include <map>
#include <string>
#include <type_traits>
#include <utility>

#include "base/error.hpp"
#include "tensor/rows.hpp"

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

template <class In, class Out>
void multiply_tile(View<const In> a, Transpose ta, View<const In> b, Transpose tb, View<Out> c,
                   Accumulate accumulate) {
  const SingleThreadGuard guard;
  Device& device = this_threads_device();
  const std::int64_t m = c.rows, n = c.cols, k = ta == Transpose::no ? a.cols : a.rows;
  const Operand left(device, m, k, a, ta), right(device, k, n, b, tb);
  const Operand result(device, m, n, c, Transpose::no);
  execute(this_threads_product<In, Out>(ta, tb, accumulate), device, left.get(), right.get(),
          result.get());
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

template <class Out>
void multiply_fixed_tile(View<const bfloat16> a, Transpose ta, View<const bfloat16> b, Transpose tb,
                         View<Out> c) {
  const SingleThreadGuard guard;
  thread_local std::map<typename FixedProduct<Out>::Shape, FixedProduct<Out>> products;
  const std::int64_t k = ta == Transpose::no ? a.cols : a.rows;
  const typename FixedProduct<Out>::Shape shape{
      c.rows, c.cols, k, ta == Transpose::yes, tb == Transpose::yes, a.stride, b.stride, c.stride};
  const auto [at, made] = products.try_emplace(shape, shape, this_threads_device());
  at->second.run(a.data, b.data, c.data);
}

template <class T>
void copy_rows(View<const T> from, View<T> to) {
  for (std::int64_t i = 0; i < from.rows; ++i) std::copy_n(from.row(i), from.cols, to.row(i));
}

std::int64_t pieces(std::int64_t whole, std::int64_t part) { return (whole + part - 1) / part; }

struct Tiling {
  std::int64_t rows, cols;
};

constexpr std::int64_t wanted_tiles = 2, smallest_tile = 1 << 22;

// How the output is cut: a function of the shape alone. Each tile lays its operands out anew, so
// large ones are faster: 512 x 512 run as one whole call does, 128 x 128 by a fifth slower. A
// product of fewer than two is cut further, so that threads can share it, down to tiles worth the
// sharing (4 million multiply-adds: some 70 microseconds in f32).
Tiling tiling_of(std::int64_t m, std::int64_t n, std::int64_t k) {
  Tiling tile{std::min<std::int64_t>(m, 512), std::min<std::int64_t>(n, 512)};
  while (pieces(m, tile.rows) * pieces(n, tile.cols) < wanted_tiles &&
         tile.rows * tile.cols * k >= 2 * smallest_tile && std::max(tile.rows, tile.cols) > 64) {
    std::int64_t& longer = tile.rows >= tile.cols ? tile.rows : tile.cols;
    longer = pieces(longer, 64) * 32;  // half of it, rounded up to whole vectors
  }
  return tile;
}

// Narrow products are attention's, of one head: their extents follow from the configuration.
constexpr std::int64_t wide = 128;
bool is_narrow(std::int64_t n, std::int64_t k) { return std::min(n, k) < wide; }

// Whether a product goes to fixed kernels: by its shape alone, so that no bit depends on strides.
// Sums into an output gain nothing by them, weights' gradients (a transposed; their K, an expert's
// rows, is never twice the same) neither, and one with very many columns is cut in both directions.
// A narrow product into f32 gains where its K is the narrow side: attention's scores, and the
// gradients of its weights.
template <class Out>
bool has_fixed_tiles(std::int64_t m, std::int64_t n, std::int64_t k, Transpose ta,
                     Accumulate accumulate) {
  constexpr std::int64_t least = 48, most_cols = 4096;
  if (accumulate == Accumulate::yes || std::min({m, n, k}) < least || n > most_cols) return false;
  if (is_narrow(n, k)) return std::is_same_v<Out, bfloat16> || (ta == Transpose::no && k < wide);
  return ta == Transpose::no && m >= 64;
}

// Rows of a fixed tile. An expert's rows are never twice the same: their tiles are halves of 256,
// so that few shapes serve them all.
std::int64_t fixed_tile_rows(std::int64_t m, std::int64_t n, std::int64_t k) {
  std::int64_t height = is_narrow(n, k) ? m : 256;
  while (pieces(m, height) < wanted_tiles && height * n * k >= 2 * smallest_tile && height > 64)
    height = pieces(height, 128) * 64;
  while (!is_narrow(n, k) && height > m) height /= 2;
  return height;
}

template <class T>
View<T> rows_of_operand(View<T> view, Transpose transpose, std::int64_t first, std::int64_t count) {
  return transpose == Transpose::no ? view.row_range(first, count) : view.col_range(first, count);
}

template <class T>
View<T> cols_of_operand(View<T> view, Transpose transpose, std::int64_t first, std::int64_t count) {
  return transpose == Transpose::no ? view.col_range(first, count) : view.row_range(first, count);
}

}  // namespace

namespace {

// Threads take the next tile as they come free.
template <class F>
void for_each_tile(std::int64_t count, F f) {
  if (count > 1 && team_possible()) {
#pragma omp parallel for schedule(dynamic)
    for (std::int64_t i = 0; i < count; ++i) f(i);
  } else {
    for (std::int64_t i = 0; i < count; ++i) f(i);
  }
}

template <class In, class Out>
void multiply_by_tiles(View<const In> a, Transpose ta, View<const In> b, Transpose tb, View<Out> c,
                       Accumulate accumulate) {
  const Tiling tile = tiling_of(c.rows, c.cols, ta == Transpose::no ? a.cols : a.rows);
  const std::int64_t across = pieces(c.cols, tile.cols), tiles = pieces(c.rows, tile.rows) * across;
  for_each_tile(tiles, [&](std::int64_t i) {
    const std::int64_t row = i / across * tile.rows, col = i % across * tile.cols;
    const std::int64_t rows = std::min(tile.rows, c.rows - row);
    const std::int64_t cols = std::min(tile.cols, c.cols - col);
    multiply_tile(rows_of_operand(a, ta, row, rows), ta, cols_of_operand(b, tb, col, cols), tb,
                  c.row_range(row, rows).col_range(col, cols), accumulate);
  });
}

// The last tile, where it is not a whole one, is as any other product.
template <class Out>
void multiply_by_fixed_tiles(View<const bfloat16> a, Transpose ta, View<const bfloat16> b,
                             Transpose tb, View<Out> c) {
  const std::int64_t k = ta == Transpose::no ? a.cols : a.rows;
  const std::int64_t height = fixed_tile_rows(c.rows, c.cols, k), tiles = pieces(c.rows, height);
  for_each_tile(tiles, [&](std::int64_t i) {
    const std::int64_t row = i * height, rows = std::min(height, c.rows - row);
    const View<const bfloat16> a_tile = rows_of_operand(a, ta, row, rows);
    if (rows == height) {
      multiply_fixed_tile(a_tile, ta, b, tb, c.row_range(row, rows));
    } else {
      multiply_tile(a_tile, ta, b, tb, c.row_range(row, rows), Accumulate::no);
    }
  });
}

// Itself where its rows follow each other, as fixed kernels want them; otherwise a copy.
template <class T>
class Dense {
 public:
  explicit Dense(View<const T> x) : view_(x) {
    if (x.stride == x.cols) return;
    copy_ = Tensor<T>::uninitialized(x.rows, x.cols);
    copy_rows(x, copy_.view());
    view_ = std::as_const(copy_).view();
  }
  View<const T> view() const { return view_; }

 private:
  Tensor<T> copy_;
  View<const T> view_;
};

template <class Out>
void multiply_fixed(View<const bfloat16> a, Transpose ta, View<const bfloat16> b, Transpose tb,
                    View<Out> c) {
  const Dense<bfloat16> dense_a(a), dense_b(b);
  if (c.stride == c.cols) {
    multiply_by_fixed_tiles(dense_a.view(), ta, dense_b.view(), tb, c);
    return;
  }
  auto room = Tensor<Out>::uninitialized(c.rows, c.cols);
  multiply_by_fixed_tiles(dense_a.view(), ta, dense_b.view(), tb, room.view());
  copy_rows(std::as_const(room).view(), c);
}

}  // namespace

template <class In, class Out>
void gemm(Work& work, View<const In> a, Transpose ta, View<const In> b, Transpose tb, View<Out> c,
          Accumulate accumulate) {
  const std::int64_t m = c.rows, n = c.cols, k = ta == Transpose::no ? a.cols : a.rows;
  assert((ta == Transpose::no ? a.rows : a.cols) == m);
  assert((tb == Transpose::no ? b.rows : b.cols) == k);
  assert((tb == Transpose::no ? b.cols : b.rows) == n);
  assert(accumulate == Accumulate::no || (std::is_same_v<Out, float>));
  if (m == 0 || n == 0) return;  // oneDNN would divide by zero
  work.count(m, n, k);
  if (k == 0) {
    if (accumulate == Accumulate::yes) return;
    for (std::int64_t i = 0; i < m; ++i) std::fill_n(c.row(i), n, Out{});
    return;
  }
  if constexpr (std::is_same_v<In, bfloat16>) {
    if (has_fixed_tiles<Out>(m, n, k, ta, accumulate)) {
      multiply_fixed(a, ta, b, tb, c);
      return;
    }
  }
  multiply_by_tiles(a, ta, b, tb, c, accumulate);
}

template void gemm(Work&, View<const float>, Transpose, View<const float>, Transpose, View<float>,
                   Accumulate);
template void gemm(Work&, View<const bfloat16>, Transpose, View<const bfloat16>, Transpose,
                   View<float>, Accumulate);
template void gemm(Work&, View<const bfloat16>, Transpose, View<const bfloat16>, Transpose,
                   View<bfloat16>, Accumulate);

template <class In>
void uncut_product(View<const In> a, View<const In> b, View<float> c) {
  multiply_tile(a, Transpose::no, b, Transpose::no, c, Accumulate::no);
}

template void uncut_product(View<const float>, View<const float>, View<float>);
template void uncut_product(View<const bfloat16>, View<const bfloat16>, View<float>);

namespace {

constexpr unsigned flush_bits = 0x8040;  // MXCSR: flush to zero, denormals are zero

}  // namespace

bool flushes_to_zero() { return (_mm_getcsr() & flush_bits) == flush_bits; }

void set_flush_to_zero() {
  _mm_setcsr(_mm_getcsr() | flush_bits);
  bool all = true;
#pragma omp parallel reduction(&& : all)
  all = flushes_to_zero();
  if (!all) {
    throw Error(ExitCode::machine_cannot,
                "a thread of this process does not flush denormals to zero",
                "run on x86-64 and start no OpenMP thread before main");
  }
}

Bfloat16Support bfloat16_support() {
  const auto has = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto includes = [&](dnnl::cpu_isa isa) {
    const auto needed = static_cast<unsigned>(isa);
    return (has & needed) == needed;
  };
  if (includes(dnnl::cpu_isa::avx512_core_bf16)) return Bfloat16Support::native;
  return includes(dnnl::cpu_isa::avx512_core) ? Bfloat16Support::emulated : Bfloat16Support::none;
}

const char* onednn_version() {
  static const std::string text = [] {
    const dnnl_version_t* v = dnnl::version();
    return std::to_string(v->major) + "." + std::to_string(v->minor) + "." +
           std::to_string(v->patch);
  }();
  return text.c_str();
}

const char* onednn_isa() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "SSE41";
    case dnnl::cpu_isa::avx:
      return "AVX";
    case dnnl::cpu_isa::avx2:
      return "AVX2";
    case dnnl::cpu_isa::avx2_vnni:
      return "AVX2_VNNI";
    case dnnl::cpu_isa::avx512_core:
      return "AVX512_CORE";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "AVX512_CORE_VNNI";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "AVX512_CORE_BF16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "AVX512_CORE_AMX";
    default:
      return "unknown";
  }
}

}  // namespace switchyard
