#include "comm/rendezvous.hpp"

#include <thread>

#include "comm/mpi.hpp"

namespace switchyard {

bool all_arrive_within(const Comm& comm, std::chrono::milliseconds patience) {
  if (comm.size() == 1) return true;
  using Clock = std::chrono::steady_clock;
  const Clock::time_point deadline = Clock::now() + patience;
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibarrier(comm.handle().comm, &request), "MPI_Ibarrier");
  int arrived = 0;
  while (true) {
    check_mpi(MPI_Test(&request, &arrived, MPI_STATUS_IGNORE), "MPI_Test");
    if (arrived || Clock::now() > deadline) return arrived != 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace switchyard
