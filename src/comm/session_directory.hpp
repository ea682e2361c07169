// The directory of Open MPI's own files for a program that was started without a launcher. Knows
// nothing of communicators.
#pragma once

#include <string>

namespace switchyard {

// Such programs share one directory by default, and one that ends removes it under another that
// just begins, which then fails in MPI_Init (open-mpi/ompi issues 3818 and 8510). This gives the
// process one of its own, from before MPI_Init to after MPI_Finalize. It does nothing under a
// launcher, which has made a directory already, or where OMPI_MCA_orte_tmpdir_base names one.
class SessionDirectory {
 public:
  SessionDirectory();
  ~SessionDirectory();
  SessionDirectory(const SessionDirectory&) = delete;
  SessionDirectory& operator=(const SessionDirectory&) = delete;

 private:
  std::string path_;  // empty: none of its own
};

}  // namespace switchyard
