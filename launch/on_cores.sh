#!/usr/bin/env bash
# Runs a command on the cores of its rank; local.sh has mpirun start it once per process.
#   mpirun -n 2 --bind-to none launch/on_cores.sh 0,1:2,3 COMMAND…
# The lists are for rank 0, rank 1 … of this host: numbers of hardware threads as Linux counts them.
# mpirun's own --bind-to core always starts with the machine's first core, even if the shell is
# confined to other cores or other jobs use it, and its --cpu-set cannot be combined with --map-by
# slot:PE=N.
set -euo pipefail
export LC_ALL=C.UTF-8
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
case ${1:-} in -h | --help) show_help ;; esac

rank=${OMPI_COMM_WORLD_LOCAL_RANK:-${MPI_LOCALRANKID:-}}
[[ $# -ge 2 && -n $rank ]] || fail 64 "usage: mpirun -n 2 --bind-to none launch/on_cores.sh 0:1 COMMAND…"
IFS=: read -ra lists <<<"$1"
[ "$rank" -lt "${#lists[@]}" ] || fail 64 "$1 has no cores for rank $rank of this host"
shift
exec taskset -c "${lists[rank]}" "$@"
