#!/usr/bin/env bash
# Runs a Switchyard command on the processes of several hosts.
#   launch/cluster.sh --hosts FILE [-t THREADS] [--network CIDR] [--agent COMMAND] [--restart-on-loss] COMMAND…
# COMMAND is a switchyard command (train --config small --output /shared/runs/a) or any program with arguments; program,
# data and RUN must be under the same path on all hosts.
#   --hosts FILE        a line per host, `NAME slots=PROCESSES`; without slots: one process. Processes are numbered in
#                       the order of the lines
#   -t THREADS          threads of each process (default 1)
#   --network CIDR      the network for all messages (10.0.0.0/8); default: the one that all hosts' addresses are in
#   --agent COMMAND     starts `COMMAND HOST WORDS…` to run something on a host (default: ssh without questions)
#   --restart-on-loss   a training that has lost a host goes on from its newest checkpoint with the hosts left
# Processes are bound to NUMA domains, so that a process's memory is near its threads whatever else runs on the host.
# A host that does not answer for 35 seconds is lost, and ends the job on all others.
# Ctrl-C, TERM or HUP asks the program to finish its step, save and exit with 75; a second Ctrl-C ends it.
# The exit code is the program's; 64: FILE or an option is wrong; 69: hosts are lost or do not answer.
set -uo pipefail
export LC_ALL=C.UTF-8
trap : PIPE
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/common.sh"
. "$here/mpi.sh"
. "$here/messages.sh"
. "$here/job.sh"

usage() {
  fail 64 "usage: launch/cluster.sh --hosts FILE [-t THREADS] [--network CIDR] [--agent COMMAND] [--restart-on-loss] COMMAND…"
}
take_signals

file='' threads=1 network='' agent='' restart='' options=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) show_help ;;
    --hosts | -t | --network | --agent)
      [ $# -ge 2 ] || usage
      case $1 in --hosts) file=$2 ;; -t) threads=$2 ;; --network) network=$2 ;; --agent) agent=$2 ;; esac
      options+=("$1" "$2")
      shift ;;
    --restart-on-loss) restart=yes options+=("$1") ;;
    -*) fail 64 "unknown option '$1'; see launch/cluster.sh --help" ;;
    *) break ;;
  esac
  shift
done
[[ -n $file && $threads =~ ^[1-9][0-9]{0,5}$ && $# -gt 0 ]] || usage
agent=${agent:-ssh -o BatchMode=yes -o ConnectTimeout=10}

# Sets `hosts`, `slots` (of each host) and `processes`.
read_hosts() {
  local line number=0 name count
  hosts=() slots=() processes=0
  [ -r "$file" ] && [ ! -d "$file" ] || fail 66 "$file cannot be read; it should have a line per host: NAME slots=PROCESSES"
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    line=${line%%#*}
    [[ $line =~ [^[:space:]] ]] || continue
    [[ $line =~ ^[[:space:]]*([A-Za-z0-9][A-Za-z0-9._-]*)([[:space:]]+slots=([1-9][0-9]{0,4}))?[[:space:]]*$ ]] ||
      fail 64 "$file:$number: '$line' is not NAME or NAME slots=PROCESSES"
    name=${BASH_REMATCH[1]} count=${BASH_REMATCH[3]:-1}
    [[ " ${hosts[*]} " != *" $name "* ]] || fail 64 "$file:$number: $name is in this file twice; give it more slots instead"
    hosts+=("$name") slots+=("$count") processes=$((processes + count))
  done <"$file"
  [ "$processes" -gt 0 ] || fail 64 "$file names no host"
}

# on_host HOST WORDS…: the agent's exit code, or 124 after some seconds without an answer.
on_host() {
  local words
  read -ra words <<<"$agent"
  timeout "${SWITCHYARD_ANSWER_SECONDS:-15}" "${words[@]}" "$@" </dev/null
}

# Prints each host that does not answer, asked at the same time.
silent_hosts() {
  local host
  for host in "${hosts[@]}"; do
    { on_host "$host" true >/dev/null 2>&1 || echo "$host"; } &
  done
  wait
}

as_number() {
  local a b c d
  IFS=. read -r a b c d <<<"$1"
  echo $(((a << 24) + (b << 16) + (c << 8) + d))
}

# Prints the network of one of this machine's interfaces that the addresses of all hosts are in. A machine often has
# networks that others have too but that lead nowhere, such as docker0's: Open MPI tries them and waits for ever.
common_network() {
  local host address addresses=() cidr bits mask inside
  for host in "${hosts[@]}"; do
    address=$(getent ahostsv4 "$host" | awk '$1 !~ /^127\./ { print $1; exit }')
    [ -n "$address" ] || continue  # this machine's own name may lead to the loopback interface
    addresses+=("$(as_number "$address")")
  done
  [ ${#addresses[@]} -gt 0 ] || return
  for cidr in $(ip -o -4 address show up scope global 2>/dev/null | awk '{ print $4 }'); do
    bits=${cidr#*/} inside=yes
    mask=$(((0xffffffff << (32 - bits)) & 0xffffffff))
    for address in "${addresses[@]}"; do
      [ $((address & mask)) -eq $(($(as_number "${cidr%/*}") & mask)) ] || inside=''
    done
    [ -z "$inside" ] || { echo "$cidr"; return; }
  done
}

list_of_hosts() {
  local i list=''
  for i in "${!hosts[@]}"; do list+=",${hosts[i]}:${slots[i]}"; done
  echo "${list#,}"
}

# Sets `line` to mpirun's words for these hosts.
place() {
  find_mpi
  line=(mpirun -n "$processes" "${as_root[@]}")
  mapfile -t -O "${#line[@]}" line < <(on_hosts "$(list_of_hosts)" "$agent"; within_seconds; full_duplex)
  if [ -z "$network" ] && [ ${#hosts[@]} -gt 1 ]; then
    network=$(common_network)
    if [ -n "$network" ]; then
      say "uses the network $network, which all hosts are in (--network chooses another)"
    else
      say "found no network that all hosts' addresses are in, and leaves the choice to MPI; if nothing begins, name it with --network"
    fi
  fi
  [ -z "$network" ] || mapfile -t -O "${#line[@]}" line < <(over_network "$network")
  say "binds processes to NUMA domains: their memory is then near, and the $threads of each may use all cores of a domain"
  line+=("${by_numa_domain[@]}")
  export OMP_NUM_THREADS=$threads
  # The line with which a stopped run goes on names this script.
  SWITCHYARD_LAUNCHED_BY=$(shell_words "$0" "${options[@]}")
  export SWITCHYARD_LAUNCHED_BY
  mapfile -t -O "${#line[@]}" line < <(handed_on OMP_NUM_THREADS SWITCHYARD_LAUNCHED_BY ${OMP_WAIT_POLICY:+OMP_WAIT_POLICY})
}

# Takes the hosts that do not answer out of `hosts`; fails if none is left, or if all answer.
drop_silent_hosts() {
  local silent i left_hosts=() left_slots=()
  silent=" $(silent_hosts | paste -sd ' ') "
  [ "$silent" != '  ' ] || { say "all hosts answer"; return 1; }
  processes=0
  for i in "${!hosts[@]}"; do
    if [[ $silent == *" ${hosts[i]} "* ]]; then
      say "host ${hosts[i]} does not answer"
    else
      left_hosts+=("${hosts[i]}") left_slots+=("${slots[i]}") processes=$((processes + slots[i]))
    fi
  done
  hosts=("${left_hosts[@]}") slots=("${left_slots[@]}")
  [ ${#hosts[@]} -gt 0 ]
}

find_command "$@"
type -P mpirun >/dev/null || fail 69 "mpirun is not installed; run launch/install_dependencies.sh"
require_temporary_directory
export HOME=${HOME:-$(temporary_directory)}
read_hosts
while true; do
  place
  echo "+ OMP_NUM_THREADS=$threads $(shell_words "${line[@]}" "${command[@]}")" >&2 2>/dev/null
  run_job
  [ "$status" -ne 0 ] && [ "$seen" -eq "$seen_lost_host" ] || break
  drop_silent_hosts || { status=69; break; }
  [ -n "$restart" ] && [ -n "$training" ] && [ -z "$stopping" ] || { status=69; break; }
  say "goes on from the newest checkpoint with $processes processes on the hosts left: $(list_of_hosts)"
done
end_with_job
