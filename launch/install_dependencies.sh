#!/usr/bin/env bash
# Installs what Switchyard needs from the distribution's packages. Run again, it changes nothing.
#   launch/install_dependencies.sh           to build and run
#   launch/install_dependencies.sh --tests   also what the tests need
#   launch/install_dependencies.sh --list    only prints the names of the packages, one per line
# Debian 12 and 13 and Ubuntu from 24.04 on, by apt; Fedora from 42 on and RHEL 9 with EPEL (also Rocky, Alma), by
# dnf, which is not tested. Elsewhere it names the libraries; without root, see cluster/environment.yml.
set -euo pipefail
export LC_ALL=C.UTF-8
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

os_release=${SWITCHYARD_OS_RELEASE:-/etc/os-release}  # another file in tests
with_tests='' only_list=''
for argument in "$@"; do
  case "$argument" in
    --tests) with_tests=1 ;;
    --list) only_list=1 ;;
    -h | --help) show_help ;;
    *) fail 64 "unknown argument '$argument' (known: --tests --list)" ;;
  esac
done

libraries="a C++20 compiler with OpenMP (GCC 12), CMake 3.25, Ninja, Open MPI 4.1, oneDNN 2.6, Protocol Buffers 3.21 with \
its static library, Boost.Program_options 1.74, SentencePiece 0.1.97 (a newer one with Abseil), zlib, OpenSSL 3, \
nlohmann-json 3.11; gnuplot for pictures, and GoogleTest 1.12 and Google Benchmark 1.7 for tests"

# Sets `system` to the distribution's name for people, `release` to one like "debian-12", and `manager` to apt or
# dnf, or to nothing where there are no names of packages for it.
find_system() {
  local id version name like
  # The file is a shell script of assignments, whose names are not to become ours.
  { read -r id; read -r version; read -r name; read -r like; } < <(
    # shellcheck source=/dev/null
    . "$os_release" 2>/dev/null
    printf '%s\n' "${ID:-unknown}" "${VERSION_ID:-999}" "${PRETTY_NAME:-this system}" "${ID_LIKE:-}")
  system=$name manager=
  # Versions without a number are those that are still being made: Debian testing and unstable.
  version=${version%%.*} release=$id-${version%%.*}
  case $id in
    debian) [ "$version" -lt 12 ] || manager=apt ;;
    ubuntu) [ "$version" -lt 24 ] || manager=apt ;;
    fedora) [ "$version" -lt 42 ] || manager=dnf ;;
    rhel | rocky | almalinux | centos) [ "$version" -ne 9 ] || manager=dnf ;;
    *) case " $like " in *' debian '* | *' ubuntu '*) manager=apt ;; *' fedora '*) manager=dnf ;; esac ;;
  esac
}

name_apt_packages() {
  packages=(build-essential cmake ninja-build git openmpi-bin libopenmpi-dev libdnnl-dev ocl-icd-opencl-dev
    opencl-c-headers libprotobuf-dev protobuf-compiler libboost-program-options-dev libsentencepiece-dev
    zlib1g-dev libssl-dev nlohmann-json3-dev gnuplot-nox fonts-dejavu-core bible-kjv)
  # What newer packages of SentencePiece use in their headers, and do not depend on.
  case $release in debian-12 | debian-13 | ubuntu-24) ;; *) packages+=(libabsl-dev) ;; esac
  [ -n "$with_tests" ] || return 0
  packages+=(libgtest-dev libgmock-dev libbenchmark-dev procps)
  # The version that the sources are formatted with; without it the test of that is skipped.
  case $release in debian-12 | ubuntu-24) packages+=(clang-format-14) ;; esac
}

name_dnf_packages() {
  packages=(gcc-c++ cmake ninja-build git openmpi-devel onednn-devel protobuf-devel protobuf-static protobuf-compiler
    boost-devel sentencepiece-devel zlib-devel openssl-devel json-devel gnuplot dejavu-sans-fonts perl-interpreter)
  [ -z "$with_tests" ] || packages+=(gtest-devel gmock-devel google-benchmark-devel procps-ng)
}

is_installed() {
  case $manager in
    apt) dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$' ;;
    dnf) rpm -q "$1" >/dev/null 2>&1 ;;
  esac
}

install_by_apt() {
  "${as_root[@]}" apt-get update &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}
install_by_dnf() { "${as_root[@]}" dnf install -y --setopt=install_weak_deps=False "$@"; }

find_system
[ -n "$manager" ] || fail 69 "there are no names of packages here for $system; Switchyard needs, at least: $libraries"
"name_${manager}_packages"
if [ -n "$only_list" ]; then
  printf '%s\n' "${packages[@]}"
  exit 0
fi

missing=()
for package in "${packages[@]}"; do is_installed "$package" || missing+=("$package"); done
if [ ${#missing[@]} -eq 0 ]; then
  echo "all ${#packages[@]} packages are installed"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || fail 69 "not root and no sudo; as root run: $manager install ${missing[*]}"
  as_root=(sudo)
fi
require_temporary_directory
log=$(mktemp "$(temporary_directory)/switchyard-install.XXXXXX.log")
echo "installing ${#missing[@]} packages: ${missing[*]}"
if ! "install_by_$manager" "${missing[@]}" >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  fail 69 "$manager failed; the whole output is in $log"
fi
rm -f -- "$log"
