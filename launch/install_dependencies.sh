#!/usr/bin/env bash
# Installs what Switchyard needs from Debian 12's packages. Run again, it changes nothing.
#   launch/install_dependencies.sh           to build and run
#   launch/install_dependencies.sh --tests   also what the tests need
set -euo pipefail
export LC_ALL=C.UTF-8
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

packages=(build-essential cmake ninja-build git openmpi-bin libopenmpi-dev libdnnl-dev ocl-icd-opencl-dev
  opencl-c-headers libprotobuf-dev protobuf-compiler libboost-program-options-dev libsentencepiece-dev
  zlib1g-dev libssl-dev nlohmann-json3-dev gnuplot-nox fonts-dejavu-core bible-kjv)
for argument in "$@"; do
  case "$argument" in
    --tests) packages+=(libgtest-dev libgmock-dev libbenchmark-dev clang-format-14) ;;
    -h | --help) show_help ;;
    *) fail 64 "unknown argument '$argument' (known: --tests)" ;;
  esac
done

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "all ${#packages[@]} packages are installed"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || fail 69 "not root and no sudo; as root run: apt-get install ${missing[*]}"
  as_root=(sudo)
fi
require_temporary_directory
log=$(mktemp "$(temporary_directory)/switchyard-install.XXXXXX.log")
echo "installing ${#missing[@]} packages: ${missing[*]}"
if ! { "${as_root[@]}" apt-get update && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
       apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  fail 69 "apt-get failed; the whole output is in $log"
fi
rm -f -- "$log"
