// A message on its way between two processes, and its owner.
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer.hpp"
#include "comm/comm.hpp"

namespace switchyard {

// Which rows of two matrices are exchanged with each process of a Comm: counts, and the first row.
// [processes] each; ints, since MPI reads them where they are until the exchange is done.
struct RowPlaces {
  Buffer<int> send_rows, send_first, recv_rows, recv_first;
};

// One MPI_Request. Move-only. The data of the message must stay in place until it is done; the
// destructor waits for that, except while an exception unwinds, when the other side may never
// answer.
class Request {
 public:
  Request() = default;  // nothing to wait for
  // Takes over the bytes of an MPI_Request.
  explicit Request(std::uint64_t started) : handle_(started), pending_(true) {}
  Request(Request&& other) noexcept;
  Request& operator=(Request&& other) noexcept;
  ~Request();

  bool done();  // lets MPI work on its messages; does not wait
  void wait();

 private:
  std::uint64_t handle_ = 0;  // the bytes of an MPI_Request
  bool pending_ = false;
};

bool all_done(Buffer<Request>& requests);
void wait_for_all(Buffer<Request>& requests);  // and empties the buffer

// Messages between two processes of a Comm with equal tags arrive in the order in which they were
// started. tag: 0 to 32,767. width: of a row, for a message of whole rows; 1: of single elements.
// T: float, double, bfloat16 or std::int64_t.
template <class T>
Request start_send(const Comm& comm, std::span<const T> data, Rank to, int tag,
                   std::int64_t width = 1);
template <class T>
Request start_receive(const Comm& comm, std::span<T> data, Rank from, int tag,
                      std::int64_t width = 1);

// One MPI_Ialltoallv of rows of `width` elements. send, recv and places must stay in place until it
// is done. Collective over comm; all processes start their collectives in the same order. T: float,
// bfloat16 or std::int64_t.
template <class T>
Request start_all_to_all_rows(const Comm& comm, std::span<const T> send, std::span<T> recv,
                              const RowPlaces& places, std::int64_t width);

// The same for data of any length, in messages of at most 1 MB, which are added to `requests`.
std::int64_t messages_of(std::int64_t floats);
void start_sends(const Comm& comm, std::span<const float> data, Rank to, int tag,
                 Buffer<Request>& requests);
void start_receives(const Comm& comm, std::span<float> data, Rank from, int tag,
                    Buffer<Request>& requests);

}  // namespace switchyard
