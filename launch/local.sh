#!/usr/bin/env bash
# Runs a Switchyard command on several processes of this machine, bound the right way.
#   launch/local.sh -n PROCESSES [-t THREADS] COMMAND…
# COMMAND is a switchyard command (train --config tiny --output runs/a) or any program with arguments.
# Ctrl-C or TERM asks the program to finish its step, save and exit with 75; a second Ctrl-C ends it.
set -uo pipefail

usage() {
  echo "usage: launch/local.sh -n PROCESSES [-t THREADS] COMMAND…   e.g. launch/local.sh -n 2 -t 1 train --config tiny --output runs/a" >&2
  exit 64
}

processes=1 threads=1
while getopts ':n:t:h' option; do
  case "$option" in
    n) processes=$OPTARG ;;
    t) threads=$OPTARG ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
[[ $processes =~ ^[1-9][0-9]*$ && $threads =~ ^[1-9][0-9]*$ && $# -gt 0 ]] || usage

# The program beside these scripts: a build tree's, or the installed one.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for switchyard in "$here/../build/release/switchyard" "$here/../../../bin/switchyard" "$(command -v switchyard)"; do
  [ -x "$switchyard" ] && break
done
if [[ $1 != */* ]] && [ -x "$switchyard" ] && "$switchyard" help "$1" >/dev/null 2>&1; then
  set -- "$(realpath "$switchyard")" "$@"
fi

cores=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)  # which would count those instead
line=(mpirun -n "$processes")
if [ $((processes * threads)) -le "$cores" ]; then
  line+=(--map-by "slot:PE=$threads" --bind-to core)
else
  echo "local.sh: $processes processes x $threads threads on $cores cores: they will take turns; launch/local.sh -n $cores -t 1 uses the machine best" >&2
  line+=(--oversubscribe --bind-to none --mca mpi_yield_when_idle 1)
  export OMP_WAIT_POLICY=passive
fi
export OMP_NUM_THREADS=$threads
# Ranks that exit with a code of their own (75: saved) are no reason for a banner.
line+=(--quiet -x OMP_NUM_THREADS)
[ -n "${OMP_WAIT_POLICY:-}" ] && line+=(-x OMP_WAIT_POLICY)
if [ "$(id -u)" -eq 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
# In containers without ptrace the single-copy transport fails loudly before it falls back.
export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}

echo "+ OMP_NUM_THREADS=$threads ${line[*]} $*" >&2

# mpirun kills its ranks one second after a TERM or INT of its own, before a checkpoint can be saved. So
# it runs in a process group of its own, and what it forwards at once is USR1: finish, save, exit 75. It
# gets the same where this script is killed.
set -m
setpriv --pdeathsig USR1 "${line[@]}" "$@" </dev/null &
job=$!
set +m
asked=0
on_interrupt() {
  asked=$((asked + 1))
  if [ "$asked" -eq 1 ]; then
    echo "local.sh: finishing the step and saving; Ctrl-C again ends at once" >&2
    kill -USR1 "$job" 2>/dev/null
  else
    kill -KILL "$job" 2>/dev/null  # the ranks follow their mpirun within two seconds
  fi
}
trap on_interrupt INT
trap 'kill -USR1 "$job" 2>/dev/null' TERM USR1

while :; do
  wait "$job" 2>/dev/null
  status=$?
  kill -0 "$job" 2>/dev/null || break
done
if [ "$status" -gt 128 ] && [ "$asked" -lt 2 ]; then
  echo "local.sh: a process was ended by signal $((status - 128)) ($(kill -l $((status - 128)))), from outside or for want of memory (see dmesg); the same command goes on from the newest checkpoint" >&2
fi
exit "$status"
