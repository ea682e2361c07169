// Replaces the MPI calls that send something by functions that count it first. A message is what
// one process gets from another in one call, if it is not empty: in a gather, each process sends
// its piece to all others, as plan/traffic counts it; in a reduction of few figures, log2 R times.
#include <mpi.h>

#include <bit>
#include <cstdint>

#include "rank_counters.hpp"

namespace switchyard::simulated {
namespace {

std::int64_t size_of(MPI_Datatype type) {
  int bytes = 0;
  PMPI_Type_size(type, &bytes);
  return bytes;
}

// Rows have a type of their own, made of elements. One of at most eight bytes is a single count or
// index.
Cargo cargo_of(MPI_Datatype type) {
  if (type == MPI_FLOAT || type == MPI_UINT16_T) return Cargo::gradients;
  int integers = 0, addresses = 0, types = 0, made_by = MPI_COMBINER_NAMED;
  PMPI_Type_get_envelope(type, &integers, &addresses, &types, &made_by);
  return made_by != MPI_COMBINER_NAMED && size_of(type) > 8 ? Cargo::rows : Cargo::figures;
}

void count(std::int64_t messages, std::int64_t elements_each, MPI_Datatype type) {
  if (elements_each == 0) return;
  Sent& sent = own_counters().sent[static_cast<std::size_t>(cargo_of(type))];
  sent.messages += messages;
  sent.bytes += messages * elements_each * size_of(type);
}

int size_of(MPI_Comm comm) {
  int size = 1;
  PMPI_Comm_size(comm, &size);
  return size;
}

int rank_in(MPI_Comm comm) {
  int rank = 0;
  PMPI_Comm_rank(comm, &rank);
  return rank;
}

void count_each(const int* counts, MPI_Datatype type, MPI_Comm comm) {
  const int processes = size_of(comm), own = rank_in(comm);
  for (int p = 0; p < processes; ++p) {
    if (p != own) count(1, counts[p], type);
  }
}

void count_to_all(int elements, MPI_Datatype type, MPI_Comm comm) {
  count(size_of(comm) - 1, elements, type);
}

void count_rounds(int elements, MPI_Datatype type, MPI_Comm comm) {
  count(std::bit_width(static_cast<unsigned>(size_of(comm) - 1)), elements, type);
}

}  // namespace
}  // namespace switchyard::simulated

using namespace switchyard::simulated;

extern "C" {

int MPI_Send(const void* data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  count(1, n, type);
  return PMPI_Send(data, n, type, to, tag, comm);
}
int MPI_Isend(const void* data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm,
              MPI_Request* request) {
  count(1, n, type);
  return PMPI_Isend(data, n, type, to, tag, comm, request);
}
int MPI_Sendrecv(const void* data, int n, MPI_Datatype type, int to, int tag, void* room,
                 int room_n, MPI_Datatype room_type, int from, int room_tag, MPI_Comm comm,
                 MPI_Status* status) {
  count(1, n, type);
  return PMPI_Sendrecv(data, n, type, to, tag, room, room_n, room_type, from, room_tag, comm,
                       status);
}
int MPI_Bcast(void* data, int n, MPI_Datatype type, int root, MPI_Comm comm) {
  if (rank_in(comm) == root) count_to_all(n, type, comm);
  return PMPI_Bcast(data, n, type, root, comm);
}
int MPI_Allreduce(const void* data, void* result, int n, MPI_Datatype type, MPI_Op op,
                  MPI_Comm comm) {
  count_rounds(n, type, comm);
  return PMPI_Allreduce(data, result, n, type, op, comm);
}
int MPI_Iallreduce(const void* data, void* result, int n, MPI_Datatype type, MPI_Op op,
                   MPI_Comm comm, MPI_Request* request) {
  count_rounds(n, type, comm);
  return PMPI_Iallreduce(data, result, n, type, op, comm, request);
}
int MPI_Allgather(const void* data, int n, MPI_Datatype type, void* result, int result_n,
                  MPI_Datatype result_type, MPI_Comm comm) {
  count_to_all(n, type, comm);
  return PMPI_Allgather(data, n, type, result, result_n, result_type, comm);
}
int MPI_Allgatherv(const void* data, int n, MPI_Datatype type, void* result, const int* counts,
                   const int* places, MPI_Datatype result_type, MPI_Comm comm) {
  count_to_all(n, type, comm);
  return PMPI_Allgatherv(data, n, type, result, counts, places, result_type, comm);
}
int MPI_Iallgatherv(const void* data, int n, MPI_Datatype type, void* result, const int* counts,
                    const int* places, MPI_Datatype result_type, MPI_Comm comm,
                    MPI_Request* request) {
  count_to_all(n, type, comm);
  return PMPI_Iallgatherv(data, n, type, result, counts, places, result_type, comm, request);
}
int MPI_Alltoall(const void* data, int n, MPI_Datatype type, void* result, int result_n,
                 MPI_Datatype result_type, MPI_Comm comm) {
  count_to_all(n, type, comm);
  return PMPI_Alltoall(data, n, type, result, result_n, result_type, comm);
}
int MPI_Alltoallv(const void* data, const int* counts, const int* places, MPI_Datatype type,
                  void* result, const int* result_counts, const int* result_places,
                  MPI_Datatype result_type, MPI_Comm comm) {
  count_each(counts, type, comm);
  return PMPI_Alltoallv(data, counts, places, type, result, result_counts, result_places,
                        result_type, comm);
}
int MPI_Ialltoallv(const void* data, const int* counts, const int* places, MPI_Datatype type,
                   void* result, const int* result_counts, const int* result_places,
                   MPI_Datatype result_type, MPI_Comm comm, MPI_Request* request) {
  count_each(counts, type, comm);
  return PMPI_Ialltoallv(data, counts, places, type, result, result_counts, result_places,
                         result_type, comm, request);
}

}  // extern "C"
