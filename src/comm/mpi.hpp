// What comm's own .cpp files share about MPI: the check of return codes, element types, and
// conversion of counts to int. Nothing outside comm/ includes this file.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <type_traits>

#include "base/buffer.hpp"
#include "comm/comm.hpp"

namespace switchyard {

// Throws std::runtime_error with the call's name and MPI's text unless `code` is MPI_SUCCESS.
void check_mpi(int code, const char* call);

// Converts a count to the int that MPI takes; throws std::runtime_error when it does not fit.
int int_count(std::int64_t count);
Buffer<int> int_counts(std::span<const std::int64_t> counts);
// offsets[i] = counts[0] + … + counts[i-1]
Buffer<int> int_offsets(std::span<const std::int64_t> counts);

struct Comm::Handle : InStorage {
  MPI_Comm comm = MPI_COMM_NULL;  // null for a Comm of this process alone without MPI
  int size = 1, rank = 0;

  Handle() = default;
  explicit Handle(MPI_Comm owned) : comm(owned) {
    check_mpi(MPI_Comm_size(comm, &size), "MPI_Comm_size");
    check_mpi(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  // MPI_Comm_free is collective: while this process unwinds from an error, the others would never
  // join the call.
  ~Handle() {
    if (comm != MPI_COMM_NULL && std::uncaught_exceptions() == 0) MPI_Comm_free(&comm);
  }
};

// A committed MPI datatype for a row of `width` elements.
class RowType {
 public:
  RowType(MPI_Datatype element, std::int64_t width) {
    check_mpi(MPI_Type_contiguous(int_count(width), element, &type_), "MPI_Type_contiguous");
    check_mpi(MPI_Type_commit(&type_), "MPI_Type_commit");
  }
  ~RowType() { MPI_Type_free(&type_); }
  RowType(const RowType&) = delete;
  RowType& operator=(const RowType&) = delete;

  MPI_Datatype get() const { return type_; }

 private:
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

template <class T>
MPI_Datatype mpi_type() {
  if constexpr (std::is_same_v<T, float>) return MPI_FLOAT;
  if constexpr (std::is_same_v<T, double>) return MPI_DOUBLE;
  if constexpr (std::is_same_v<T, std::int32_t>) return MPI_INT32_T;
  if constexpr (std::is_same_v<T, std::int64_t>) return MPI_INT64_T;
  if constexpr (std::is_same_v<T, std::uint64_t>) return MPI_UINT64_T;
  if constexpr (std::is_same_v<T, char>) return MPI_CHAR;
  if constexpr (std::is_same_v<T, std::byte>) return MPI_BYTE;
  if constexpr (std::is_same_v<T, bfloat16>) return MPI_UINT16_T;  // only transferred, never summed
}

}  // namespace switchyard
