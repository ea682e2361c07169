#!/usr/bin/env bash
# Tries Debian suites other than this machine's: a clean clone of HEAD in a root directory of the suite's own,
# the packages, the build, all tests and the quickstart. Prints a table, a row per suite.
#   cluster/distributions.sh [--quick] [SUITE…]      (default: trixie)
# --quick leaves the tests out. The whole output is in SUITE.log beside the roots (cluster/roots.sh says where).
# Needs root, debootstrap, and some 5 GB and 25 minutes of two cores per suite.
# The exit code is 0 if all tests of all suites have passed; 69: it cannot work here.
set -uo pipefail
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../launch/common.sh"
. "$here/roots.sh"

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
require_roots

# in_clone SUITE FILE COMMAND: runs it in the clone, with its output in the file.
in_clone() { inside "$1" bash -c "cd /root/switchyard && $3" >"$2" 2>&1; }

# found PATTERN FILE: the last match's group, or "-".
found() { sed -nE "s/.*$1.*/\1/p" "$2" 2>/dev/null | tail -n 1 | grep . || echo -; }

# try_suite SUITE: prints its row; fails if something of it has failed.
try_suite() {
  local suite=$1 log=$roots/$1.log tests=$roots/$1.tests quickstart=$roots/$1.quickstart status=0 begin=$SECONDS
  rm -f "$tests" "$quickstart"
  if { make_root "$suite" && update_clone "$suite"; } >"$log" 2>&1; then
    [ -n "$quick" ] || in_clone "$suite" "$tests" 'launch/test.sh' || status=1
    in_clone "$suite" "$quickstart" 'rm -rf quickstart && launch/quickstart.sh' || status=1
    cat "$tests" "$quickstart" >>"$log" 2>/dev/null
  else
    status=1
  fi
  printf '| %s ' "$suite" "$(inside "$suite" g++ -dumpfullversion 2>/dev/null || echo -)" \
    "$(found '^ *MPI +(.*)' "$quickstart")" "$(found '^ *oneDNN +(.*)' "$quickstart")" \
    "$(found '^ *instruction set +(.*)' "$quickstart")" "$(found '^([0-9]+% tests passed.*)' "$tests")" \
    "$(found 'validation loss ([0-9.]+) nats' "$quickstart")" "$(found '^ *2 processes +([0-9a-f]{12})' "$quickstart")" \
    "$(((SECONDS - begin + 59) / 60))"
  echo '|'
  [ "$status" -eq 0 ] || tell "$suite: something has failed; the whole output is in $log"
  return "$status"
}

commit_and_machine
echo '| suite | g++ | MPI | oneDNN | instruction set | tests | loss of the quickstart | its hash of 20 steps | minutes |'
echo '| --- | --- | --- | --- | --- | --- | --- | --- | --- |'
failed=0
for suite in "${suites[@]}"; do try_suite "$suite" || failed=1; done
exit "$failed"
