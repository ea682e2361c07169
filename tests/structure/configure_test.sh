#!/usr/bin/env bash
# CMake refuses what the program does not support with one sentence.
#   configure_test.sh CMAKE SOURCE_DIRECTORY
set -euo pipefail
cmake=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# refuses SENTENCE OPTION…
refuses() {
  local sentence=$1 output
  shift
  if output=$("$cmake" -S "$source" -B "$work/build" -G Ninja "$@" 2>&1); then
    echo "CMake did not refuse $*"
    exit 1
  fi
  # It breaks lines where it likes.
  grep -qF "$sentence" <<<"$(tr -s ' \n' ' ' <<<"$output")" || { echo "no '$sentence' in: $output"; exit 1; }
  rm -rf "$work/build"
}

for version in 2.5.4 4.0.0; do
  mkdir -p "$work/$version"
  echo >"$work/$version/dnnl-config.cmake"
  printf 'set(PACKAGE_VERSION %s)\nset(PACKAGE_VERSION_COMPATIBLE TRUE)\n' $version >"$work/$version/dnnl-config-version.cmake"
  refuses "needs oneDNN 2.6, 2.7 or 3.x; found $version" -Ddnnl_DIR="$work/$version"
done
refuses "oneDNN not found" -DCMAKE_DISABLE_FIND_PACKAGE_dnnl=ON
printf '#!/bin/sh\nfor word; do shift; case $word in -std=*) ;; *) set -- "$@" "$word" ;; esac; done\nexec c++ -std=c++17 "$@"\n' >"$work/old"
chmod +x "$work/old"
refuses "needs a compiler of C++20" -DCMAKE_CXX_COMPILER="$work/old"
refuses "runs on x86-64 and arm64, not on riscv64" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=riscv64
