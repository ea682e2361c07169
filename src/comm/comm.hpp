// RAII owners of the MPI session (init to finalize) and of a communicator, and the collectives that
// the program needs, on spans. comm/ is the only folder that includes <mpi.h>. Every MPI call is
// checked; a failure throws with the call's name and MPI's own text. Every function here that takes
// a Comm is collective over it unless its comment says otherwise. In a Comm of one process no data
// has to travel, and no function calls MPI.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bfloat16.hpp"
#include "base/buffer.hpp"
#include "base/index.hpp"

namespace switchyard {

// MPI_Init_thread … MPI_Finalize where an MPI launcher started this process. Without a launcher the
// job is this process alone and MPI is not used: it would need a writable temporary directory, a
// home directory and helper processes. One per program, created before any Comm and destroyed after
// all.
class Session {
 public:
  Session(int& argc, char**& argv);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  static std::string library_version();  // "Open MPI v4.1.4 …", the first line only

 private:
  friend class Comm;
  bool has_mpi_ = false;
};

// A duplicated communicator, or this process alone. Move-only. MPI_ERRORS_RETURN is installed.
class Comm {
 public:
  static Comm world(const Session& session);
  Comm(Comm&&) noexcept;
  Comm& operator=(Comm&&) noexcept;
  ~Comm();

  Comm duplicate() const;
  // Processes with the same color form a new communicator, in the order of `key`.
  Comm split(int color, int key) const;

  int size() const;
  Rank rank() const;

  struct Handle;  // holds the MPI_Comm; comm/ only
  const Handle& handle() const { return *handle_; }

 private:
  explicit Comm(std::unique_ptr<Handle> handle);
  std::unique_ptr<Handle> handle_;
};

// Ends the whole job at once with this exit code. Not collective; does not return.
[[noreturn]] void abort_job(int exit_code);

void barrier(const Comm& comm);

// T: float, double, std::int32_t, std::int64_t, std::uint64_t, char, std::byte.
template <class T>
void broadcast(const Comm& comm, std::span<T> data, Rank root);
// Returns the string of `root` on every process; the lengths may differ.
std::string broadcast_string(const Comm& comm, const std::string& text, Rank root);
// Returns one string per process, in rank order, on every process.
std::vector<std::string> all_gather_strings(const Comm& comm, const std::string& text);
// Returns one string per process, in rank order, on `root`, and nothing elsewhere. Their total may
// exceed what one MPI call can move: they travel in rounds of at most `round_bytes`.
std::vector<std::string> gather_strings(const Comm& comm, const std::string& text, Rank root,
                                        std::int64_t round_bytes = 64 << 20);

// Every process contributes `count` elements; the result holds them in rank order.
template <class T>
Buffer<T> all_gather(const Comm& comm, std::span<const T> data);
// Sizes may differ between processes; the result is their concatenation in rank order.
template <class T>
Buffer<T> all_gather_v(const Comm& comm, std::span<const T> data);

// Element-wise maximum. It is exact, so it does not depend on the order of the processes.
void all_reduce_max(const Comm& comm, std::span<std::int64_t> data);
void all_reduce_sum(const Comm& comm, std::span<std::int64_t> data);
// The sum of values of which at most one process has one that is not zero: exact in any order.
void all_reduce_apart(const Comm& comm, std::span<double> data);

// The lowest rank that calls this with true, on every process; nullopt where none does. Eight bytes
// travel, however many processes there are.
std::optional<Rank> find_lowest(const Comm& comm, bool here);

// Sends one element to each process: result[p] is what process p sent to this one.
Buffer<std::int64_t> all_to_all(const Comm& comm, std::span<const std::int64_t> data);

// Sends rows of `width` elements: send_rows[p] rows go to process p, in order; recv_rows[p] come
// from it. One MPI_Alltoallv on a contiguous row datatype, so that counts are rows and do not
// overflow an int. send: [sum send_rows, width], recv: [sum recv_rows, width], both packed. T:
// float, bfloat16, std::int64_t.
template <class T>
void all_to_all_rows(const Comm& comm, std::span<const T> send,
                     std::span<const std::int64_t> send_rows, std::span<T> recv,
                     std::span<const std::int64_t> recv_rows, std::int64_t width);

}  // namespace switchyard
