#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests.
#   launch/test.sh          release: every test
#   launch/test.sh --asan   the unit tests again under AddressSanitizer and UndefinedBehaviorSanitizer
#   launch/test.sh --tsan   the tests of files and data, where this program's own threads read and
#                           tokenize text, under ThreadSanitizer (which cannot see the barriers of
#                           GCC's OpenMP)
set -euo pipefail
export LC_ALL=C.UTF-8
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

preset=release
for argument in "$@"; do
  case "$argument" in
    --asan | --tsan) preset=${argument#--} ;;
    -h | --help) show_help ;;
    *) fail 64 "unknown argument '$argument' (known: --asan --tsan)" ;;
  esac
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."

launch/install_dependencies.sh --tests
mkdir -p build
log=build/$preset.build.log
echo "building build/$preset (output in $log)"
if ! { cmake --preset "$preset" && cmake --build --preset "$preset"; } >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  fail 1 "the build failed; the whole output is in $log"
fi
ctest --preset "$preset" --parallel "$(env -u OMP_NUM_THREADS nproc)"
