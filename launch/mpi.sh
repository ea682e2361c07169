#!/usr/bin/env bash
# Which MPI's launcher `mpirun` is, and its words for what these scripts want of it: Open MPI 4 and 5, and
# MPICH 4. local.sh sources this, after common.sh. Starts nothing but `mpirun --version`.
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/common.sh"; show_help; }

# Sets `mpi` to openmpi4, openmpi5 (and later) or mpich, and for each wish an array of mpirun's options. MPICH's
# mpirun runs as root, oversubscribes, binds nothing and hands the environment on without being told.
find_mpi() {
  local version
  version=$(mpirun --version 2>/dev/null </dev/null)
  as_root=() oversubscribed=() unbound=() by_hardware_threads=() one_machine=() yielding=() without_single_copies=()
  case $version in
    *HYDRA*) mpi=mpich; return ;;
    *'(Open MPI) '[5-9]* | *'(Open MPI) '[1-9][0-9]*) mpi=openmpi5 without_single_copies=(--mca smsc ^cma) ;;
    *) mpi=openmpi4 without_single_copies=(--mca btl_vader_single_copy_mechanism none) ;;
  esac
  [ "$(id -u)" -ne 0 ] || as_root=(--allow-run-as-root)
  oversubscribed=(--oversubscribe) unbound=(--bind-to none) by_hardware_threads=(--use-hwthread-cpus)
  # Processes that wait hand their core over to those that do not.
  yielding=(--mca mpi_yield_when_idle 1)
  # Open MPI 5 complains of a machine that has no network but this one.
  [[ $mpi != openmpi5 || -n ${OMPI_MCA_btl_tcp_if_include:-}${OMPI_MCA_btl_tcp_if_exclude:-} ]] ||
    one_machine=(--mca btl_tcp_if_include lo)
}

# handed_on NAME…: the options by which the processes get these variables of the environment.
handed_on() {
  local name
  [ "$mpi" != mpich ] || return 0
  for name; do echo -x; echo "$name"; done
}

# Whether the user has said how single copies are to be done.
chose_single_copies() { [ -n "${OMPI_MCA_btl_vader_single_copy_mechanism:-}${OMPI_MCA_smsc:-}" ]; }

# How many processes the launcher would start here, with these options: its slots. Nothing where it
# cannot tell, or sets no limit. In an allocation they are the allocation's, else cores, or hardware threads.
launcher_slots() {
  [ "$mpi" != mpich ] || return 0
  # Version 5 shows what it knows several times, the last time with all hosts' answers.
  mpirun "${as_root[@]}" "$@" --display-allocation -n 1 true </dev/null 2>/dev/null |
    awk '/ALLOCATED NODES/ { sum = 0 }
      match($0, / slots=[0-9]+/) { sum += substr($0, RSTART + 7, RLENGTH - 7) }
      END { if (sum) print sum }'
}
