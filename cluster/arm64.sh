#!/usr/bin/env bash
# Cross-compiles a clean clone of HEAD for arm64 with Debian trixie's compiler, in a root directory of its own, and
# runs the unit tests of base, tensor and moe under qemu-user: compiled and emulated, never run on such hardware.
#   cluster/arm64.sh
# The tests of moe that other machines run under mpirun run here as one process each, without mpirun. Tests that start
# themselves again (death tests) are left out: the emulator cannot start an arm64 program by its name.
# Needs root, debootstrap, and some 20 minutes of two cores. The exit code is 0 if all have passed; 69: it cannot work here.
set -uo pipefail
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../launch/common.sh"
. "$here/roots.sh"

case ${1:-} in
  '') ;;
  -h | --help) show_help ;;
  *) fail 64 "unknown argument '$1'" ;;
esac
require_roots
log=$roots/arm64.log
tests=(base/base_test tensor/tensor_test moe/moe_test moe/moe_mpi_test moe/moe_draws_test moe/moe_routings_test)

# The compiler is this machine's. Open MPI's development package would bring arm64's own compiler in its place, so its
# headers and its library's name are unpacked without installing it.
install_cross_packages() {
  inside arm64 dpkg --add-architecture arm64 &&
    install_inside arm64 crossbuild-essential-arm64 {gcc,g++,binutils}-aarch64-linux-gnu:amd64 cmake ninja-build \
      protobuf-compiler qemu-user opencl-c-headers nlohmann-json3-dev libopenmpi40:arm64 \
      {libdnnl,ocl-icd-opencl,libprotobuf,libboost-program-options,libsentencepiece,zlib1g,libssl,libgtest,libgmock,libbenchmark}-dev:arm64 &&
    inside arm64 bash -c 'cd /tmp && apt-get download libopenmpi-dev:arm64 && dpkg --extract libopenmpi-dev_*_arm64.deb /'
}

build() {
  # shellcheck disable=SC2016  # the inner shell's variables
  inside arm64 bash -c 'cd /root/switchyard && cmake --preset release -DCMAKE_TOOLCHAIN_FILE="$PWD/cluster/arm64.cmake" &&
    cmake --build --preset release --target switchyard $(printf "%s\n" "$@" | sed "s,.*/,,")' - "${tests[@]}"
}

# run_test NAME: the row of a test program. The processor is one that oneDNN has kernels for without SVE, which is slow
# to emulate.
run_test() {
  local begin=$SECONDS output
  output=$(inside arm64 env QEMU_CPU=cortex-a76 OMP_NUM_THREADS="$(nproc)" qemu-aarch64 "/root/switchyard/build/release/tests/$1" \
    '--gtest_filter=-*DeathTest*' 2>&1)
  local status=$?
  echo "$output" >>"$log"
  echo "| $1 | $(sed -n 's/.*PASSED *\] \([0-9]* tests*\).*/\1 passed/p' <<<"$output") | $status | $((SECONDS - begin)) |"
  return "$status"
}

{ make_root trixie arm64 && { [ -e "$roots/arm64/cross" ] || { install_cross_packages && touch "$roots/arm64/cross"; } } &&
  update_clone arm64 && build; } >"$log" 2>&1 || fail 1 "it could not be built; the whole output is in $log"
commit_and_machine
inside arm64 env QEMU_CPU=cortex-a76 qemu-aarch64 /root/switchyard/build/release/switchyard --version 2>/dev/null | grep -E '^(MPI|oneDNN|instruction)'
echo '| test program | tests | exit code | seconds |'
echo '| --- | --- | --- | --- |'
failed=0
for test in "${tests[@]}"; do run_test "$test" || failed=1; done
exit "$failed"
