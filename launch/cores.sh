#!/usr/bin/env bash
# The cores that this shell may use, as its affinity, the launcher and the CPU quota of its cgroup have
# them, and which of them a job holds. local.sh and study.sh source this, after common.sh. Starts nothing
# but MPI's launcher, to ask it for its slots.
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/common.sh"; show_help; }
. "$(dirname -- "${BASH_SOURCE[0]}")/mpi.sh"

# expand "0-2,8": 0 1 2 8, one a line
expand() {
  local part
  for part in ${1//,/ }; do seq "${part%-*}" "${part#*-}"; done
}

# read_line FILE: its first line, without starting a process; fails where there is none.
read_line() { REPLY=; { IFS= read -r REPLY <"$1"; } 2>/dev/null; }

# Sets `cpus` to the numbers of the hardware threads that this shell may use and `cores` to the lists of
# those that are of one core ("0,4"), in the order of packages.
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

# quotas_above DIRECTORY PATH: the quotas in hundredths of a core of a cgroup and all that it is part of.
# In a container PATH may be what it is called outside; then the root of DIRECTORY is the container.
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

# The least CPU quota that holds for this shell, in hundredths of a core, or nothing. cgroup v1 and v2.
cpu_quota() {
  local controllers path directory
  while IFS=: read -r _ controllers path; do
    for directory in /sys/fs/cgroup "/sys/fs/cgroup/${controllers:-unified}" /sys/fs/cgroup/cpu; do
      [[ -n $controllers && ,$controllers, != *,cpu,* ]] || quotas_above "$directory" "$path"
    done
  done </proc/self/cgroup 2>/dev/null | sort -n | sed -n 1p
}

hundredths() { printf '%d.%02d' $(($1 / 100)) $(($1 % 100)) | sed 's/\.\{0,1\}0*$//'; }

# Sets `core_count`: cores as the launcher counts them, not more than this shell may use; and `slots` and
# `thread_slots`: how many processes the launcher starts, one per core or one per hardware thread.
count_cores() {
  [ -n "${mpi:-}" ] || find_mpi
  core_count=${#cores[@]}
  slots=$(launcher_slots)
  slots=${slots:-$core_count} thread_slots=$slots
  [ "$slots" -lt "${#cpus[@]}" ] || return 0
  thread_slots=$(launcher_slots "${by_hardware_threads[@]}")
  thread_slots=${thread_slots:-$slots}
  # Of an allocation's slots there are as many either way: they say nothing of cores.
  if [ "$slots" -lt "$core_count" ] && [ "$thread_slots" -gt "$slots" ]; then core_count=$slots; fi
}

# One process each is what this machine does best. After find_cores and count_cores.
best_processes() {
  local quota best=$core_count
  quota=$(cpu_quota)
  [ -z "$quota" ] || [ $((quota / 100)) -ge "$best" ] || best=$((quota / 100))
  [ "$slots" -ge "$best" ] || best=$slots
  echo $((best > 0 ? best : 1))
}

# Each job locks a file for each hardware thread that it uses. Whoever has the lock's descriptor holds it:
# this shell and the mpirun that it starts, but not mpirun's ranks, which inherit none. So the kernel
# frees a core when its job ends, however it ends.
# Not below TMPDIR, which may be another one in each shell; SWITCHYARD_CORE_LOCKS is for jobs in containers
# that share a machine, each of which has a /dev/shm of its own.
locks=${SWITCHYARD_CORE_LOCKS:-/dev/shm/switchyard-cores-$(id -u)}

find_locks() {
  mkdir -m 700 -- "$locks" 2>/dev/null
  [ -d "$locks" ] && [ ! -L "$locks" ] && [ -O "$locks" ] && [ -w "$locks" ]
}

# hold_unit LIST NAME: all of these hardware threads, or none; then `holder` is what has one of them.
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

# hold_cores COUNT NAME LIST…: holds the first COUNT units that are free, and sets `held` to them; or
# holds none, says `why`, and fails. One shell at a time looks for its cores.
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
