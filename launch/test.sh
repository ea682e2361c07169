#!/usr/bin/env bash
# Installs what is missing, builds, and runs all the tests.
#   launch/test.sh          release: every test
#   launch/test.sh --asan   the unit tests again under AddressSanitizer and UndefinedBehaviorSanitizer
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=release
for argument in "$@"; do
  case "$argument" in
    --asan) preset=asan ;;
    *) echo "test.sh: unknown argument '$argument' (known: --asan)" >&2; exit 64 ;;
  esac
done

launch/install_dependencies.sh --tests
mkdir -p build
log=build/$preset.build.log
echo "building build/$preset (output in $log)"
if ! { cmake --preset "$preset" && cmake --build --preset "$preset"; } >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "test.sh: the build failed; the whole output is in $log" >&2
  exit 1
fi
ctest --preset "$preset" --parallel "$(env -u OMP_NUM_THREADS nproc)"
