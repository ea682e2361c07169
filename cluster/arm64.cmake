# Debian's cross compiler for arm64 and its libraries for that architecture; what is built runs under qemu-user.
# CMake cannot ask the compiler wrapper of another architecture's MPI, so its library is named here.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
set(MPI_CXX_HEADER_DIR /usr/lib/aarch64-linux-gnu/openmpi/include CACHE PATH "")
set(MPI_CXX_LIB_NAMES mpi CACHE STRING "")
set(MPI_mpi_LIBRARY /usr/lib/aarch64-linux-gnu/openmpi/lib/libmpi.so CACHE FILEPATH "")
set(MPI_CXX_SKIP_MPICXX ON CACHE BOOL "")
