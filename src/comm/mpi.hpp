// What comm's own .cpp files share about MPI: the one check of return codes, element types, counts
// that fit an int. Nothing outside comm/ includes this.
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

// The int that MPI wants; throws std::runtime_error when the count does not fit one.
int int_count(std::int64_t count);
Buffer<int> int_counts(std::span<const std::int64_t> counts);
// offsets[i] = counts[0] + … + counts[i-1]
Buffer<int> int_offsets(std::span<const std::int64_t> counts);

struct Comm::Handle : InStorage {
  MPI_Comm comm = MPI_COMM_NULL;  // of this process alone where MPI has not been started
  int size = 1, rank = 0;

  Handle() = default;
  explicit Handle(MPI_Comm owned) : comm(owned) {
    check_mpi(MPI_Comm_size(comm, &size), "MPI_Comm_size");
    check_mpi(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  // Freeing is collective: while one process unwinds from an error the others would never join it.
  ~Handle() {
    if (comm != MPI_COMM_NULL && std::uncaught_exceptions() == 0) MPI_Comm_free(&comm);
  }
};

// A committed row of `width` elements.
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
  if constexpr (std::is_same_v<T, bfloat16>) return MPI_UINT16_T;  // moved, never added
}

}  // namespace switchyard
