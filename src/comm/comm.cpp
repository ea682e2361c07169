#include "comm/comm.hpp"

#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/buffer.hpp"
#include "base/error.hpp"
#include "base/process.hpp"
#include "comm/job.hpp"
#include "comm/mpi.hpp"

namespace switchyard {

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw std::runtime_error(std::string(call) + ": " +
                           std::string(text, static_cast<std::size_t>(length)));
}

int int_count(std::int64_t count) {
  if (count < 0 || count > std::numeric_limits<int>::max())
    throw std::runtime_error("a message of " + std::to_string(count) +
                             " elements is more than one MPI call can move");
  return static_cast<int>(count);
}

Buffer<int> int_counts(std::span<const std::int64_t> counts) {
  Buffer<int> ints;
  ints.reserve(counts.size());
  for (const std::int64_t count : counts) ints.push_back(int_count(count));
  return ints;
}

Buffer<int> int_offsets(std::span<const std::int64_t> counts) {
  Buffer<int> offsets;
  offsets.reserve(counts.size());
  std::int64_t sum = 0;
  for (const std::int64_t count : counts) {
    offsets.push_back(int_count(sum));
    sum += count;
  }
  return offsets;
}

namespace {

std::int64_t sum(std::span<const std::int64_t> counts) {
  std::int64_t total = 0;
  for (const std::int64_t count : counts) total += count;
  return total;
}

bool is_alone(const Comm& comm) { return comm.size() == 1; }

bool may_write_into(const std::string& directory) {
  return access((directory + "/").c_str(), W_OK | X_OK) == 0;
}

// MPI_Init creates files in TMPDIR, and TMPDIR itself where it can, unless mpirun has created them
// already.
void require_temporary_directory() {
  const char* wanted = getenv("TMPDIR");
  if (getenv("OMPI_COMM_WORLD_RANK") || !wanted || may_write_into(wanted)) return;
  const std::string problem =
      std::string("TMPDIR is ") + wanted + ", which is not a directory that can be written to";
  if (!may_write_into("/tmp"))
    throw Error(ExitCode::machine_cannot, problem, "set TMPDIR to one that can");
  const char* rank = getenv(getenv("PMIX_RANK") ? "PMIX_RANK" : "PMI_RANK");
  if (rank && std::string(rank) == "0")
    std::cerr << "warning: " + problem + ": /tmp serves instead\n" << std::flush;
  setenv("TMPDIR", "/tmp", 1);
}

}  // namespace

Session::Session(int& argc, char**& argv) : has_mpi_(has_launcher()) {
  if (!has_mpi_) return;
  // Under the launcher of another MPI, Open MPI would start a daemon beside the program. A Ctrl-C
  // that means "save and stop" would kill that daemon.
  setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);
  setenv("HOME", "/", 0);  // PMIx crashes without one where the user has no name either
  require_temporary_directory();
  // Without Open MPI's mpirun its processes would go on, waiting for each other: version 4.1 ends
  // them within seconds, version 5 does not. Tasks of other launchers are their launcher's.
  if (getenv("OMPI_COMM_WORLD_RANK")) end_with_parent();
  int provided = MPI_THREAD_SINGLE;
  check_mpi(MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  // A simulator has one thread for all processes and says so.
  if (provided < MPI_THREAD_FUNNELED && !is_simulated())
    throw Error(ExitCode::machine_cannot,
                "this MPI library, " + library_version() +
                    ", does not allow threads beside the one that calls it (MPI_THREAD_FUNNELED)",
                "use a build of it with threads");
}

Session::~Session() {
  // MPI_Finalize is collective, so it is skipped while an exception unwinds: the error's reason is
  // printed first, then abort_job() ends the other processes.
  if (has_mpi_ && std::uncaught_exceptions() == 0) MPI_Finalize();
}

std::string Session::library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  check_mpi(MPI_Get_library_version(text, &length), "MPI_Get_library_version");
  const std::string version(text, static_cast<std::size_t>(length));
  return version.substr(0, version.find_first_of(",\n"));
}

Comm::Comm(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
Comm::Comm(Comm&&) noexcept = default;
Comm& Comm::operator=(Comm&&) noexcept = default;
Comm::~Comm() = default;

Comm Comm::world(const Session& session) {
  if (!session.has_mpi_) return Comm(std::make_unique<Handle>());
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup");
  return Comm(std::make_unique<Handle>(comm));
}

Comm Comm::duplicate() const {
  if (is_alone(*this)) return Comm(std::make_unique<Handle>());
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(handle_->comm, &comm), "MPI_Comm_dup");
  return Comm(std::make_unique<Handle>(comm));
}

Comm Comm::split(int color, int key) const {
  if (is_alone(*this)) return Comm(std::make_unique<Handle>());
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split(handle_->comm, color, key, &comm), "MPI_Comm_split");
  return Comm(std::make_unique<Handle>(comm));
}

int Comm::size() const { return handle_->size; }

Rank Comm::rank() const { return Rank{handle_->rank}; }

void abort_job(int exit_code) {
  int has_mpi = 0;
  MPI_Initialized(&has_mpi);
  if (has_mpi) MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);  // MPI_Abort may return before the launcher kills this process
}

void barrier(const Comm& comm) {
  if (!is_alone(comm)) check_mpi(MPI_Barrier(comm.handle().comm), "MPI_Barrier");
}

template <class T>
void broadcast(const Comm& comm, std::span<T> data, Rank root) {
  if (is_alone(comm)) return;
  check_mpi(MPI_Bcast(data.data(), int_count(ssize(data)), mpi_type<T>(), int_count(root.value),
                      comm.handle().comm),
            "MPI_Bcast");
}

std::string broadcast_string(const Comm& comm, const std::string& text, Rank root) {
  std::int64_t size = ssize(text);
  broadcast(comm, std::span<std::int64_t>(&size, 1), root);
  std::string result = text;
  result.resize(static_cast<std::size_t>(size));
  broadcast(comm, std::span<char>(result), root);
  return result;
}

template <class T>
Buffer<T> all_gather(const Comm& comm, std::span<const T> data) {
  if (is_alone(comm)) return Buffer<T>(data.begin(), data.end());
  Buffer<T> result(data.size() * static_cast<std::size_t>(comm.size()));
  const int count = int_count(ssize(data));
  check_mpi(MPI_Allgather(data.data(), count, mpi_type<T>(), result.data(), count, mpi_type<T>(),
                          comm.handle().comm),
            "MPI_Allgather");
  return result;
}

namespace {

template <class T>
Buffer<T> all_gather_counted(const Comm& comm, std::span<const T> data,
                             std::span<const std::int64_t> counts) {
  if (is_alone(comm)) return Buffer<T>(data.begin(), data.end());
  Buffer<T> result(static_cast<std::size_t>(sum(counts)));
  check_mpi(MPI_Allgatherv(data.data(), int_count(ssize(data)), mpi_type<T>(), result.data(),
                           int_counts(counts).data(), int_offsets(counts).data(), mpi_type<T>(),
                           comm.handle().comm),
            "MPI_Allgatherv");
  return result;
}

Buffer<std::int64_t> gather_size(const Comm& comm, std::int64_t size) {
  return all_gather(comm, std::span<const std::int64_t>(&size, 1));
}

}  // namespace

template <class T>
Buffer<T> all_gather_v(const Comm& comm, std::span<const T> data) {
  return all_gather_counted(comm, data, gather_size(comm, ssize(data)));
}

std::vector<std::string> all_gather_strings(const Comm& comm, const std::string& text) {
  const std::span<const char> characters(text);
  const Buffer<std::int64_t> sizes = gather_size(comm, ssize(characters));
  const Buffer<char> joined = all_gather_counted(comm, characters, sizes);
  std::vector<std::string> result;
  const char* next = joined.data();
  for (const std::int64_t size : sizes) {
    result.emplace_back(next, static_cast<std::size_t>(size));
    next += size;
  }
  return result;
}

namespace {

// The sizes of all processes' texts in rank order on `root`; empty elsewhere.
Buffer<std::int64_t> sizes_on(const Comm& comm, std::int64_t size, Rank root) {
  Buffer<std::int64_t> sizes(comm.rank() == root ? static_cast<std::size_t>(comm.size())
                                                 : std::size_t{0});
  check_mpi(MPI_Gather(&size, 1, MPI_INT64_T, sizes.data(), 1, MPI_INT64_T, int_count(root.value),
                       comm.handle().comm),
            "MPI_Gather");
  return sizes;
}

// The sum of the sizes of all lower ranks.
std::int64_t offset_of(const Comm& comm, std::int64_t size) {
  std::int64_t offset = 0;  // MPI leaves it alone on rank 0
  check_mpi(MPI_Exscan(&size, &offset, 1, MPI_INT64_T, MPI_SUM, comm.handle().comm), "MPI_Exscan");
  return offset;
}

// A round moves the bytes [begin, end) of all texts joined.
struct Round {
  std::int64_t begin = 0, end = 0;

  // Which bytes of a text move, if it begins at `offset` of the joined ones: [first, first + size).
  struct Part {
    std::int64_t first = 0, size = 0;
  };
  Part part(std::int64_t offset, std::int64_t size) const {
    const std::int64_t first = std::clamp(begin - offset, std::int64_t{0}, size);
    return {first, std::clamp(end - offset, first, size) - first};
  }
};

// Appends to each of `texts` on root what moves in this round.
void gather_round(const Comm& comm, const Round& round, const std::string& text,
                  std::int64_t offset, std::span<const std::int64_t> sizes, Rank root,
                  std::vector<std::string>& texts) {
  Buffer<std::int64_t> counts;
  std::int64_t at = 0;
  for (const std::int64_t size : sizes) {
    counts.push_back(round.part(at, size).size);
    at += size;
  }
  Buffer<char> joined(static_cast<std::size_t>(sum(counts)));
  const Round::Part own = round.part(offset, ssize(text));
  check_mpi(MPI_Gatherv(text.data() + own.first, int_count(own.size), MPI_CHAR, joined.data(),
                        int_counts(counts).data(), int_offsets(counts).data(), MPI_CHAR,
                        int_count(root.value), comm.handle().comm),
            "MPI_Gatherv");
  const char* next = joined.data();
  for (std::size_t p = 0; p < texts.size(); ++p) {
    texts[p].append(next, static_cast<std::size_t>(counts[p]));
    next += counts[p];
  }
}

}  // namespace

std::vector<std::string> gather_strings(const Comm& comm, const std::string& text, Rank root,
                                        std::int64_t round_bytes) {
  if (is_alone(comm)) return {text};
  const Buffer<std::int64_t> sizes = sizes_on(comm, ssize(text), root);
  const std::int64_t offset = offset_of(comm, ssize(text));
  std::int64_t total = ssize(text);
  all_reduce_sum(comm, std::span(&total, 1));
  std::vector<std::string> texts(sizes.size());
  for (std::int64_t at = 0; at < total; at += round_bytes)
    gather_round(comm, {at, at + round_bytes}, text, offset, sizes, root, texts);
  return texts;
}

void all_reduce_max(const Comm& comm, std::span<std::int64_t> data) {
  if (is_alone(comm)) return;
  check_mpi(MPI_Allreduce(MPI_IN_PLACE, data.data(), int_count(ssize(data)), MPI_INT64_T, MPI_MAX,
                          comm.handle().comm),
            "MPI_Allreduce");
}

void all_reduce_sum(const Comm& comm, std::span<std::int64_t> data) {
  if (is_alone(comm)) return;
  check_mpi(MPI_Allreduce(MPI_IN_PLACE, data.data(), int_count(ssize(data)), MPI_INT64_T, MPI_SUM,
                          comm.handle().comm),
            "MPI_Allreduce");
}

void all_reduce_apart(const Comm& comm, std::span<double> data) {
  if (is_alone(comm)) return;
  check_mpi(MPI_Allreduce(MPI_IN_PLACE, data.data(), int_count(ssize(data)), MPI_DOUBLE, MPI_SUM,
                          comm.handle().comm),
            "MPI_Allreduce");
}

std::optional<Rank> find_lowest(const Comm& comm, bool here) {
  // The lowest rank has the largest `order`; 0 where it is on no process.
  std::int64_t order = here ? comm.size() - comm.rank().value : 0;
  all_reduce_max(comm, std::span(&order, 1));
  if (order == 0) return std::nullopt;
  return Rank{comm.size() - order};
}

Buffer<std::int64_t> all_to_all(const Comm& comm, std::span<const std::int64_t> data) {
  assert(ssize(data) == comm.size());
  if (is_alone(comm)) return Buffer<std::int64_t>(data.begin(), data.end());
  Buffer<std::int64_t> result(data.size());
  check_mpi(
      MPI_Alltoall(data.data(), 1, MPI_INT64_T, result.data(), 1, MPI_INT64_T, comm.handle().comm),
      "MPI_Alltoall");
  return result;
}

template <class T>
void all_to_all_rows(const Comm& comm, std::span<const T> send,
                     std::span<const std::int64_t> send_rows, std::span<T> recv,
                     std::span<const std::int64_t> recv_rows, std::int64_t width) {
  assert(ssize(send_rows) == comm.size() && ssize(recv_rows) == comm.size());
  assert(ssize(send) == sum(send_rows) * width && ssize(recv) == sum(recv_rows) * width);
  if (is_alone(comm)) {
    assert(send.size() == recv.size());
    std::copy(send.begin(), send.end(), recv.begin());
    return;
  }
  const RowType row(mpi_type<T>(), width);
  check_mpi(MPI_Alltoallv(send.data(), int_counts(send_rows).data(), int_offsets(send_rows).data(),
                          row.get(), recv.data(), int_counts(recv_rows).data(),
                          int_offsets(recv_rows).data(), row.get(), comm.handle().comm),
            "MPI_Alltoallv");
}

#define SWITCHYARD_INSTANTIATE(T)                                 \
  template void broadcast(const Comm&, std::span<T>, Rank);       \
  template Buffer<T> all_gather(const Comm&, std::span<const T>); \
  template Buffer<T> all_gather_v(const Comm&, std::span<const T>);

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(double)
SWITCHYARD_INSTANTIATE(std::int32_t)
SWITCHYARD_INSTANTIATE(std::int64_t)
SWITCHYARD_INSTANTIATE(std::uint64_t)
SWITCHYARD_INSTANTIATE(char)
SWITCHYARD_INSTANTIATE(std::byte)
#undef SWITCHYARD_INSTANTIATE

template void all_to_all_rows(const Comm&, std::span<const float>, std::span<const std::int64_t>,
                              std::span<float>, std::span<const std::int64_t>, std::int64_t);
template void all_to_all_rows(const Comm&, std::span<const bfloat16>, std::span<const std::int64_t>,
                              std::span<bfloat16>, std::span<const std::int64_t>, std::int64_t);
template void all_to_all_rows(const Comm&, std::span<const std::int64_t>,
                              std::span<const std::int64_t>, std::span<std::int64_t>,
                              std::span<const std::int64_t>, std::int64_t);

}  // namespace switchyard
