#!/usr/bin/env bash
# Tries Debian suites other than this machine's: a clean clone of HEAD in a root directory of the suite's own,
# the packages, the build, all tests and the quickstart. Prints a table, a row per suite.
#   cluster/distributions.sh [--quick] [SUITE…]      (default: trixie)
# --quick leaves the tests out. Root directories stay in $SWITCHYARD_CHROOTS (default
# /var/tmp/switchyard-distributions) for the next time, with all output in SUITE.log beside them; nothing of it
# runs outside of them. Needs root, debootstrap, and some 5 GB and 25 minutes of two cores per suite.
# The exit code is 0 if all tests of all suites have passed; 69: it cannot work here.
set -uo pipefail
export LC_ALL=C.UTF-8
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$project/launch/common.sh"

quick='' suites=()
for argument in "$@"; do
  case "$argument" in
    -h | --help) show_help ;;
    --quick) quick=1 ;;
    -*) fail 64 "unknown argument '$argument' (known: --quick)" ;;
    *) suites+=("$argument") ;;
  esac
done
[ ${#suites[@]} -gt 0 ] || suites=(trixie)
[ "$(id -u)" -eq 0 ] || fail 69 "only root may make root directories"
type -P debootstrap >/dev/null || fail 69 "debootstrap is missing: apt-get install debootstrap"
roots=${SWITCHYARD_CHROOTS:-/var/tmp/switchyard-distributions}
mkdir -p -- "$roots" || fail 73 "cannot write to $roots"

# This machine's own mirror of Debian.
mirror() {
  grep -hoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v security | sed -n 1p
}

# inside SUITE COMMAND…: runs in the suite's root, with mounts that end with it.
inside() {
  local root=$roots/$1
  shift
  # shellcheck disable=SC2016  # the inner shell's variables
  unshare --mount --fork bash -c '
    root=$1; shift
    mount -t proc proc "$root/proc" && mount --rbind /sys "$root/sys" && mount --rbind /dev "$root/dev" || exit
    exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"' - "$root" "$@" </dev/null
}

make_root() {
  [ ! -e "$roots/$1/etc/debian_version" ] || return 0
  local from
  from=$(mirror)
  debootstrap --variant=minbase "$1" "$roots/$1" "${from:-http://deb.debian.org/debian}" || return
  cp /etc/resolv.conf "$roots/$1/etc/" || return
  inside "$1" apt-get update && inside "$1" apt-get install -y --no-install-recommends git ca-certificates
}

# The clone keeps what it has built, so that the next time is shorter.
update_clone() {
  local clone=$roots/$1/root/switchyard
  [ -d "$clone" ] || git clone -q "$project" "$clone" || return
  git -C "$clone" fetch -q "$project" HEAD && git -C "$clone" checkout -qf FETCH_HEAD && git -C "$clone" clean -qfd
}

# value PATTERN FILE: what follows the pattern in the last line that has it, or "-".
value() { sed -n "s/.*$1//p" "$2" 2>/dev/null | tail -n 1 | grep . || echo -; }

# try_suite SUITE: prints its row; fails if something of it has failed.
try_suite() {
  local suite=$1 log=$roots/$1.log tests=- loss hash row=() status=0 begin=$SECONDS
  : >"$log"
  if make_root "$suite" >>"$log" 2>&1 && update_clone "$suite" >>"$log" 2>&1; then
    if [ -z "$quick" ]; then
      inside "$suite" bash -c 'cd /root/switchyard && launch/test.sh' >"$roots/$suite.tests" 2>&1 || status=1
      tests=$(grep -E '^[0-9]+% tests passed' "$roots/$suite.tests" | tail -n 1)
      cat "$roots/$suite.tests" >>"$log"
    fi
    inside "$suite" bash -c 'cd /root/switchyard && rm -rf quickstart && launch/quickstart.sh' >"$roots/$suite.quickstart" 2>&1 || status=1
    cat "$roots/$suite.quickstart" >>"$log"
  else
    status=1
  fi
  loss=$(sed -n 's/.*validation loss \([0-9.]*\) nats.*/\1/p' "$roots/$suite.quickstart" 2>/dev/null | tail -n 1)
  hash=$(sed -n 's/^  [12] process[es]* *\([0-9a-f]\{12\}\).*/\1/p' "$roots/$suite.quickstart" 2>/dev/null | sort -u | paste -sd ' ')
  row=("$suite" "$(inside "$suite" g++ -dumpfullversion 2>/dev/null)"
    "$(value '^ *MPI  *' "$roots/$suite.quickstart")" "$(value '^ *oneDNN  *' "$roots/$suite.quickstart")"
    "$(value '^ *instruction set  *' "$roots/$suite.quickstart")" "${tests:--}" "${loss:--}" "${hash:--}" "$(((SECONDS - begin + 59) / 60))")
  printf '| %s ' "${row[@]}"
  echo '|'
  [ "$status" -eq 0 ] || tell "$suite: something has failed; the whole output is in $log"
  return "$status"
}

echo "$(git -C "$project" log -1 --format='commit %h'), $(date -u +%F), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sed -n 1p)"
echo '| suite | g++ | MPI | oneDNN | instruction set | tests | loss of the quickstart | its hash of 20 steps | minutes |'
echo '| --- | --- | --- | --- | --- | --- | --- | --- | --- |'
failed=0
for suite in "${suites[@]}"; do try_suite "$suite" || failed=1; done
exit "$failed"
