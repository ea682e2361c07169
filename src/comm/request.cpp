#include "comm/request.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

#include "comm/mpi.hpp"

namespace switchyard {
namespace {

static_assert(sizeof(MPI_Request) <= sizeof(std::uint64_t));

std::uint64_t stored(MPI_Request request) {
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, &request, sizeof request);
  return bytes;
}

MPI_Request request_of(std::uint64_t bytes) {
  MPI_Request request = MPI_REQUEST_NULL;
  std::memcpy(&request, &bytes, sizeof request);
  return request;
}

// Calls f with the type of an element, or of a row of `width` elements; MPI keeps what it needs of
// it.
template <class T, class F>
void with_type(std::int64_t width, F f) {
  if (width == 1) return f(mpi_type<T>());
  const RowType row(mpi_type<T>(), width);
  f(row.get());
}

constexpr std::int64_t most_in_message = 1 << 18;  // floats

template <class T, class F>
void for_each_message(std::span<T> data, F f) {
  constexpr auto most = static_cast<std::size_t>(most_in_message);
  for (; !data.empty(); data = data.subspan(std::min(most, data.size())))
    f(data.first(std::min(most, data.size())));
}

}  // namespace

Request::Request(Request&& other) noexcept
    : handle_(other.handle_), pending_(std::exchange(other.pending_, false)) {}

Request& Request::operator=(Request&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(pending_, other.pending_);
  return *this;
}

Request::~Request() {
  if (!pending_ || std::uncaught_exceptions() > 0) return;
  MPI_Request request = request_of(handle_);
  MPI_Wait(&request, MPI_STATUS_IGNORE);
}

bool Request::done() {
  if (!pending_) return true;
  MPI_Request request = request_of(handle_);
  int flag = 0;
  check_mpi(MPI_Test(&request, &flag, MPI_STATUS_IGNORE), "MPI_Test");
  if (flag != 0) pending_ = false;
  return flag != 0;
}

void Request::wait() {
  if (!std::exchange(pending_, false)) return;
  MPI_Request request = request_of(handle_);
  check_mpi(MPI_Wait(&request, MPI_STATUS_IGNORE), "MPI_Wait");
}

bool all_done(Buffer<Request>& requests) {
  bool done = true;
  for (Request& request : requests) done &= request.done();
  return done;
}

void wait_for_all(Buffer<Request>& requests) {
  for (Request& request : requests) request.wait();
  requests.clear();
}

template <class T>
Request start_send(const Comm& comm, std::span<const T> data, Rank to, int tag,
                   std::int64_t width) {
  MPI_Request request = MPI_REQUEST_NULL;
  with_type<T>(width, [&](MPI_Datatype type) {
    check_mpi(MPI_Isend(data.data(), int_count(std::ssize(data) / width), type, int_count(to.value),
                        tag, comm.handle().comm, &request),
              "MPI_Isend");
  });
  return Request(stored(request));
}

template <class T>
Request start_receive(const Comm& comm, std::span<T> data, Rank from, int tag, std::int64_t width) {
  MPI_Request request = MPI_REQUEST_NULL;
  with_type<T>(width, [&](MPI_Datatype type) {
    check_mpi(MPI_Irecv(data.data(), int_count(std::ssize(data) / width), type,
                        int_count(from.value), tag, comm.handle().comm, &request),
              "MPI_Irecv");
  });
  return Request(stored(request));
}

template <class T>
Request start_all_to_all_rows(const Comm& comm, std::span<const T> send, std::span<T> recv,
                              const RowPlaces& places, std::int64_t width) {
  const RowType row(mpi_type<T>(), width);  // MPI keeps what it needs of it
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ialltoallv(send.data(), places.send_rows.data(), places.send_first.data(),
                           row.get(), recv.data(), places.recv_rows.data(),
                           places.recv_first.data(), row.get(), comm.handle().comm, &request),
            "MPI_Ialltoallv");
  return Request(stored(request));
}

#define SWITCHYARD_INSTANTIATE(T)                                                        \
  template Request start_send(const Comm&, std::span<const T>, Rank, int, std::int64_t); \
  template Request start_receive(const Comm&, std::span<T>, Rank, int, std::int64_t);

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(double)
SWITCHYARD_INSTANTIATE(bfloat16)
SWITCHYARD_INSTANTIATE(std::int64_t)
#undef SWITCHYARD_INSTANTIATE

#define SWITCHYARD_INSTANTIATE(T)                                                       \
  template Request start_all_to_all_rows(const Comm&, std::span<const T>, std::span<T>, \
                                         const RowPlaces&, std::int64_t);

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
SWITCHYARD_INSTANTIATE(std::int64_t)
#undef SWITCHYARD_INSTANTIATE

std::int64_t messages_of(std::int64_t floats) {
  return (floats + most_in_message - 1) / most_in_message;
}

void start_sends(const Comm& comm, std::span<const float> data, Rank to, int tag,
                 Buffer<Request>& requests) {
  for_each_message(data, [&](std::span<const float> part) {
    requests.push_back(start_send<float>(comm, part, to, tag));
  });
}

void start_receives(const Comm& comm, std::span<float> data, Rank from, int tag,
                    Buffer<Request>& requests) {
  for_each_message(data, [&](std::span<float> part) {
    requests.push_back(start_receive<float>(comm, part, from, tag));
  });
}

}  // namespace switchyard
