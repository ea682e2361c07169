#!/usr/bin/env bash
# Tries launch/cluster.sh on a simulated cluster (cluster/hosts/hosts.sh): whether the numbers are those of one machine,
# and how a job ends and goes on when a host or a process is lost. Prints a table, a row per case.
#   cluster/test.sh [--short] [--program FILE] [CASE…]     (default: all; --short: two hosts, a stop, a killed process)
# FILE is the switchyard program (default: the one that launch/quickstart.sh and launch/test.sh build). Needs root and
# namespaces; about six minutes of two cores. The exit code is 0 if all cases have passed, 1 if not; 69: hosts cannot be
# simulated here.
set -uo pipefail
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../launch/common.sh"

all=(two_hosts uneven_slots stopped other_hosts killed_process short_cut lost_host lost_and_restarted other_data)
short=(two_hosts stopped killed_process)
cases=() given=''
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) show_help ;;
    --short) cases+=("${short[@]}") ;;
    --program)
      [ $# -ge 2 ] || fail 64 "--program needs a value"
      given=$2
      shift ;;
    *) [[ " ${all[*]} " == *" $1 "* ]] || fail 64 "there is no case '$1' (cases: ${all[*]})"; cases+=("$1") ;;
  esac
  shift
done
[ ${#cases[@]} -gt 0 ] || cases=("${all[@]}")

hosts=$here/hosts/hosts.sh
export SWITCHYARD_HOSTS=${SWITCHYARD_HOSTS:-/tmp/switchyard-hosts}
shared=$SWITCHYARD_HOSTS
reason=$("$hosts" possible 2>&1) || fail 69 "${reason#*: }"
find_switchyard
switchyard=${given:-$switchyard}
[ -x "$switchyard" ] || fail 69 "no switchyard was found: build it (launch/quickstart.sh does)"

# The program with what belongs to it, where all hosts see it.
install_program() {
  rm -rf -- "$shared"
  mkdir -p "$shared/bin" "$shared/share/switchyard" "$shared/runs"
  mkdir -p "$shared/share/switchyard/cluster"
  cp -- "$switchyard" "$shared/bin/" && cp -r -- "$here/../configs" "$here/../launch" "$shared/share/switchyard/" &&
    cp -r -- "$here/hosts" "$shared/share/switchyard/cluster/" || fail 73 "cannot write to $shared"
  switchyard=$shared/bin/switchyard
  hosts=$shared/share/switchyard/cluster/hosts/hosts.sh
  launcher=$shared/share/switchyard/launch/cluster.sh
}

# Some hundred kilobytes of text in which words follow one another by a rule, so that there is something to learn.
make_data() {
  awk 'function letter(i) { return substr("abcdefghijklmnopqrstuvwxyz", i % 26 + 1, 1) }
    BEGIN { srand(1)
      for (line = 0; line < 3000; line++) {
        word = int(rand() * 499)
        for (i = 0; i < 20; i++) {
          spelt = word * 7919 % 17576
          printf "%s%s%s%s ", letter(spelt), letter(spelt / 26), letter(spelt / 676), letter(word)
          word = (word * 5 + int(rand() * 3)) % 499
        }
        print ""
      } }' >"$shared/text.txt"
  "$switchyard" prepare --input "$shared/text.txt" --lines --vocab-size 300 --output "$shared/data" >"$shared/prepare.log" 2>&1 ||
    { cat "$shared/prepare.log" >&2; fail 1 "the data could not be prepared"; }
}

steps=40
training=(train --config tiny --set "data.train=$shared/data" "train.steps=$steps" train.batch_size=8 data.input_length=64
  model.vocab_size=512 train.eval_interval=0 train.log_interval=5 checkpoint.interval=10)

hash_of() { "$switchyard" inspect "$shared/runs/$1" --hash 2>/dev/null | tail -n 1; }

# begin NAME HOSTS [OPTION…]: starts the training NAME on hosts n1:2,n2:… from the first of them, in the background.
begin() {
  local name=$1 list=$2
  shift 2
  tr , '\n' <<<"$list" | sed 's/:/ slots=/' >"$shared/$name.hosts"
  log=$shared/$name.log
  started=$(date +%s)
  "$hosts" on "${list%%:*}" "$(shell_words "$launcher" --hosts "$shared/$name.hosts" --agent "$hosts ssh" "$@" \
    "${training[@]}" --output "$shared/runs/$name")" >"$log" 2>&1 &
  job=$!
}
# end_within SECONDS: sets `code` and `seconds`; 124 where the job was ended because it had not.
end_within() {
  local waited=0
  while kill -0 "$job" 2>/dev/null && [ "$waited" -lt $((10 * $1)) ]; do sleep 0.1; waited=$((waited + 1)); done
  seconds=$(($(date +%s) - started))
  if kill -0 "$job" 2>/dev/null; then pkill -KILL -f "$shared/bin/switchyard"; wait "$job"; code=124; else wait "$job"; code=$?; fi
}
# once TEXT: waits until the log has it.
once() {
  local waited=0
  until grep -q -- "$1" "$log" 2>/dev/null; do
    [ "$waited" -lt 600 ] && kill -0 "$job" 2>/dev/null || return
    sleep 0.1
    waited=$((waited + 1))
  done
}

# row WHAT EXPECTED_CODE [NAME [TEXT]]: the codes must agree, the run NAME must have the hash of one machine, the log must
# have TEXT, and after ten seconds no process may be left.
row() {
  local what=$1 hash='-' failed='' left
  [ "$code" = "$2" ] || failed+=" exit code $2 was expected;"
  if [ -n "${3:-}" ]; then
    hash=$(hash_of "$3")
    [ "$hash" = "$expected" ] || failed+=' another hash than on one machine;'
  fi
  [ -z "${4:-}" ] || grep -q -- "$4" "$log" || failed+=" no message '$4';"
  for ((left = 100; left > 0; left--)); do
    pgrep -f "^$shared/bin/switchyard" >/dev/null || break
    sleep 0.1
  done
  left=$(pgrep -f "^$shared/bin/switchyard" | wc -l)
  [ "$left" -eq 0 ] || { failed+=" $left processes are left;"; pkill -KILL -f "^$shared/bin/switchyard"; }
  if [ -z "$failed" ]; then passed=$((passed + 1)); else failed="no:${failed%;}"; fi
  echo "| $what | $code | $seconds | ${hash:0:12} | ${failed:-yes} |"
  [ -z "$failed" ] || tail -n 5 "$log" >&2
}

case_two_hosts() {
  begin two_hosts n1:1,n2:1
  end_within 120
  row 'two hosts' 0 two_hosts
}
case_uneven_slots() {
  begin uneven n1:2,n2:1
  end_within 180
  row 'two hosts with 2 and 1 processes' 0 uneven
}
case_stopped() {
  begin stopped n1:1,n2:1
  once '^step'
  pkill -TERM -f "^[^ ]*bash .*$launcher --hosts $shared/stopped.hosts"
  end_within 60
  row 'asked to stop (TERM to cluster.sh)' 75 '' "go on with: $launcher --hosts"
}
case_other_hosts() {
  local before=$passed
  case_stopped >/dev/null
  passed=$before
  begin stopped n2:1,n3:1
  end_within 120
  row 'stopped, then on two other hosts' 0 stopped
}
case_killed_process() {
  begin killed n1:1,n2:1
  once '^step'
  pkill -KILL -n -f "^$shared/bin/switchyard"
  end_within 60
  row 'a process killed' 137 '' 'signal 9'
}
case_short_cut() {
  begin short_cut n1:1,n2:1
  once '^step'
  "$hosts" cut n2
  sleep 15
  "$hosts" mend n2
  end_within 120
  row 'link cut for 15 seconds' 0 short_cut
}
case_lost_host() {
  begin lost n1:1,n2:1
  once '^step'
  "$hosts" cut n2
  started=$(date +%s)
  end_within 60
  row 'link cut for good (seconds since then)' 69 '' 'host n2 does not answer'
  "$hosts" mend n2
}
case_lost_and_restarted() {
  begin restarted n1:1,n2:1,n3:1 --restart-on-loss
  once '^saved'
  "$hosts" cut n2
  end_within 180
  row 'a host lost, with --restart-on-loss' 0 restarted 'goes on from the newest checkpoint'
  "$hosts" mend n2
}
# Each host has data under the same path in its own /tmp; those of n2 differ.
case_other_data() {
  local host
  for host in n1 n2; do "$hosts" on "$host" "rm -rf /tmp/own && cp -r $shared/data /tmp/own"; done
  "$hosts" on n2 "printf 'x' | dd of=/tmp/own/train.bin bs=1 seek=100 conv=notrunc 2>/dev/null"
  training=("${training[@]/data.train=*/data.train=/tmp/own}")
  begin other_data n1:1,n2:1
  end_within 60
  row 'other data on one host' 65 '' 'n2'
  training=("${training[@]/data.train=*/data.train=$shared/data}")
}

install_program
make_data
"$hosts" up 3 >"$shared/up.log" 2>&1 || fail 69 "hosts cannot be simulated here: $(tail -n 1 "$shared/up.log")"
trap '"$hosts" down' EXIT
reached=$("$hosts" on n1 "timeout 5 bash -c 'echo >/dev/tcp/10.99.0.2/9' 2>&1" || true)
[[ $reached == *refused* ]] || fail 69 "a simulated host does not reach another here: $reached"
OMP_NUM_THREADS=1 "$switchyard" "${training[@]}" --output "$shared/runs/one" >"$shared/one.log" 2>&1 ||
  { tail -n 5 "$shared/one.log" >&2; fail 1 "the run on one machine has failed"; }
expected=$(hash_of one)
passed=0
echo "commit $(git -C "$here" log -1 --format=%h 2>/dev/null), $(date -u +%F), $(mpirun --version | sed -n 1p), $(nproc) cores"
echo
echo '| case | exit code | seconds | hash | as expected |'
echo '| --- | --- | --- | --- | --- |'
for case in "${cases[@]}"; do "case_$case"; done
echo
echo "$passed of ${#cases[@]} cases passed"
[ "$passed" -eq ${#cases[@]} ]
