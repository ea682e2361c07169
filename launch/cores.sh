#!/usr/bin/env bash
# Which cores this shell may use, according to its affinity, the launcher and the CPU quota of its
# cgroup, and which of them a job has reserved. Sourced by local.sh and study.sh after common.sh.
# The only program it starts is MPI's launcher, to query its slots.
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/common.sh"; show_help; }
. "$(dirname -- "${BASH_SOURCE[0]}")/mpi.sh"

# expand "0-2,8": prints 0 1 2 8, one per line
expand() {
  local part
  for part in ${1//,/ }; do seq "${part%-*}" "${part#*-}"; done
}

# read_line FILE: sets REPLY to its first line without starting a process; fails if there is no such
# file.
read_line() { REPLY=; { IFS= read -r REPLY <"$1"; } 2>/dev/null; }

# Sets `cpus` to the numbers of the hardware threads that this shell may use, and `cores` to one
# list of hardware threads per core ("0,4"), in the order of packages.
find_cores() {
  local name value cpu topology package key
  local -A of=()
  cpus=() cores=()
  while read -r name value; do
    [ "$name" != Cpus_allowed_list: ] || mapfile -t cpus < <(expand "$value")
  done </proc/self/status
  for cpu in "${cpus[@]}"; do
    topology=/sys/devices/system/cpu/cpu$cpu/topology package=0
    if read_line "$topology/physical_package_id"; then package=$REPLY; fi
    read_line "$topology/thread_siblings_list" || REPLY=$cpu
    key="$package ${REPLY%%[,-]*}"
    of[$key]+="${of[$key]:+,}$cpu"
  done
  mapfile -t cores < <(for key in "${!of[@]}"; do echo "$key ${of[$key]}"; done | sort -n -k 1,1 -k 2,2 | cut -d ' ' -f 3)
}

# quotas_above DIRECTORY PATH: the CPU quotas, in hundredths of a core, of a cgroup and all of its
# ancestors. In a container PATH may be the cgroup's name outside of it; then the root of DIRECTORY
# is the container's.
quotas_above() {
  local path=$2 quota period
  while :; do
    path=${path%/}
    if read_line "$1$path/cpu.max"; then
      read -r quota period <<<"$REPLY"
    else
      read_line "$1$path/cpu.cfs_quota_us" && quota=$REPLY || quota=max
      read_line "$1$path/cpu.cfs_period_us" && period=$REPLY || period=0
    fi
    [[ ! $quota =~ ^[0-9]+$ || ! $period =~ ^[1-9][0-9]*$ ]] || echo $((100 * quota / period))
    [ -n "$path" ] || return 0
    path=${path%/*}
  done
}

# The smallest CPU quota that applies to this shell, in hundredths of a core; nothing if there is
# none. For cgroup v1 and v2.
cpu_quota() {
  local controllers path directory
  while IFS=: read -r _ controllers path; do
    for directory in /sys/fs/cgroup "/sys/fs/cgroup/${controllers:-unified}" /sys/fs/cgroup/cpu; do
      [[ -n $controllers && ,$controllers, != *,cpu,* ]] || quotas_above "$directory" "$path"
    done
  done </proc/self/cgroup 2>/dev/null | sort -n | sed -n 1p
}

hundredths() { printf '%d.%02d' $(($1 / 100)) $(($1 % 100)) | sed 's/\.\{0,1\}0*$//'; }

# Sets `core_count`, the number of cores as the launcher counts them, but at most those that this
# shell may use; and `slots` and `thread_slots`, how many processes the launcher starts with one per
# core or one per hardware thread.
count_cores() {
  [ -n "${mpi:-}" ] || find_mpi
  core_count=${#cores[@]}
  slots=$(launcher_slots)
  slots=${slots:-$core_count} thread_slots=$slots
  [ "$slots" -lt "${#cpus[@]}" ] || return 0
  thread_slots=$(launcher_slots "${by_hardware_threads[@]}")
  thread_slots=${thread_slots:-$slots}
  # An allocation has the same number of slots either way, which says nothing about cores.
  if [ "$slots" -lt "$core_count" ] && [ "$thread_slots" -gt "$slots" ]; then core_count=$slots; fi
}

# How many processes of one thread each use this machine best. Call after find_cores and count_cores.
best_processes() {
  local quota best=$core_count
  quota=$(cpu_quota)
  [ -z "$quota" ] || [ $((quota / 100)) -ge "$best" ] || best=$((quota / 100))
  [ "$slots" -ge "$best" ] || best=$slots
  echo $((best > 0 ? best : 1))
}

# Each job locks one file per hardware thread that it uses. A lock is held by every process with its
# descriptor: this shell and the mpirun that it starts, but not mpirun's ranks, which do not inherit
# it. So the kernel releases a core when its job ends, however it ends. The files are not below
# TMPDIR, which may differ between shells. SWITCHYARD_CORE_LOCKS is for jobs in containers that
# share a machine but have a /dev/shm each.
locks=${SWITCHYARD_CORE_LOCKS:-/dev/shm/switchyard-cores-$(id -u)}

find_locks() {
  mkdir -m 700 -- "$locks" 2>/dev/null
  [ -d "$locks" ] && [ ! -L "$locks" ] && [ -O "$locks" ] && [ -w "$locks" ]
}

# hold_unit LIST NAME: locks all of these hardware threads or none; in the latter case `holder`
# names what holds one of them.
hold_unit() {
  local cpu descriptor taken=()
  for cpu in ${1//,/ }; do
    { exec {descriptor}>>"$locks/cpu$cpu"; } 2>/dev/null || { holder="a file that cannot be written"; break; }
    taken+=("$descriptor")
    if ! flock -n "$descriptor"; then
      read_line "$locks/cpu$cpu"
      holder=${REPLY:-another job}
      break
    fi
    echo "$2" >"$locks/cpu$cpu"
    cpu=
  done
  [ -n "$cpu" ] || { descriptors+=("${taken[@]}"); return 0; }
  release "${taken[@]}"
  return 1
}

release() {
  local descriptor
  for descriptor; do exec {descriptor}>&-; done
}

# hold_cores COUNT NAME LIST…: reserves the first COUNT units that are free and sets `held` to them;
# or reserves none, sets `why`, and fails. Only one shell at a time looks for cores.
hold_cores() {
  local unit guard holder='' count=$1 name=${2:0:100}
  shift 2
  held=() descriptors=()
  why="$locks is no directory of ours for the locks of cores"
  find_locks || return 1
  { exec {guard}>>"$locks/guard"; } 2>/dev/null && flock "$guard" || return 1
  for unit in "$@"; do
    [ "${#held[@]}" -lt "$count" ] || break
    if hold_unit "$unit" "$name"; then held+=("$unit"); fi
  done
  release "$guard"
  [ "${#held[@]}" -lt "$count" ] || return 0
  why="${#held[@]} of $# cores are free, another is held by $holder"
  release "${descriptors[@]}"
  return 1
}
