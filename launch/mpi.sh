#!/usr/bin/env bash
# Which MPI's launcher `mpirun` is (Open MPI 4 or 5, or MPICH), and its options for what these scripts need.
# Sourced by cores.sh after common.sh. The only program it starts is mpirun, to query its version and slots.
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/common.sh"; show_help; }

# Sets `mpi` to openmpi4, openmpi5 (5 and later) or mpich, and an array of mpirun's options for each purpose. Some
# are empty for MPICH, whose mpirun runs as root, oversubscribes, binds nothing and passes the environment on by default.
find_mpi() {
  local version
  version=$(mpirun --version 2>/dev/null </dev/null)
  as_root=() oversubscribed=() unbound=() by_hardware_threads=() one_machine=() yielding=() without_single_copies=()
  by_numa_domain=(-bind-to numa)
  case $version in
    *HYDRA*) mpi=mpich; return ;;
    *'(Open MPI) '[5-9]* | *'(Open MPI) '[1-9][0-9]*) mpi=openmpi5 without_single_copies=(--mca smsc ^cma) ;;
    *) mpi=openmpi4 without_single_copies=(--mca btl_vader_single_copy_mechanism none) ;;
  esac
  [ "$(id -u)" -ne 0 ] || as_root=(--allow-run-as-root)
  by_numa_domain=(--bind-to numa)
  oversubscribed=(--oversubscribe) unbound=(--bind-to none) by_hardware_threads=(--use-hwthread-cpus)
  # Processes that wait yield their core.
  yielding=(--mca mpi_yield_when_idle 1)
  # Open MPI 5 prints warnings on a machine that has no other network.
  [[ $mpi != openmpi5 || -n ${OMPI_MCA_btl_tcp_if_include:-}${OMPI_MCA_btl_tcp_if_exclude:-} ]] ||
    one_machine=(--mca btl_tcp_if_include lo)
}

# handed_on NAME…: prints the options that pass these environment variables on to the processes, one word per line.
handed_on() {
  local name
  [ "$mpi" != mpich ] || return 0
  for name; do echo -x; echo "$name"; done
}

# The functions below print the words of mpirun's options for several hosts, one per line.

# on_hosts HOST:PROCESSES,… AGENT: on these hosts, in their order; AGENT HOST WORDS… runs something on a host.
on_hosts() {
  case $mpi in
    mpich) printf '%s\n' -hosts "$1" -launcher ssh -launcher-exec "$2" ;;
    openmpi4) printf '%s\n' --host "$1" --mca plm_rsh_agent "$2" ;;
    *) printf '%s\n' --host "$1" --prtemca plm_ssh_agent "$2" ;;
  esac
}

# over_network CIDR: all messages over this network.
over_network() {
  case $mpi in
    mpich) ;;  # takes an interface's name, which need not be the same on all hosts
    openmpi4) printf '%s\n' --mca btl_tcp_if_include "$1" --mca oob_tcp_if_include "$1" ;;
    *) printf '%s\n' --mca btl_tcp_if_include "$1" --prtemca prte_if_include "$1" ;;
  esac
}

# A host that has not answered for 20 + 3 x 5 seconds is lost; by default Open MPI waits for minutes.
within_seconds() {
  local to=mca
  [ "$mpi" != mpich ] || return 0
  [ "$mpi" = openmpi4 ] || to=prtemca
  printf '%s\n' "--$to" oob_tcp_keepalive_time 20 "--$to" oob_tcp_keepalive_intvl 5 "--$to" oob_tcp_keepalive_probes 3
}

# Over TCP both directions of a link at once: Open MPI's default asks for large messages on the connection on which
# those of the other direction travel, and so uses one direction at a time.
full_duplex() { [ "$mpi" = mpich ] || printf '%s\n' --mca btl_tcp_flags 1; }

# Whether the user has chosen how single-copy transfers are done.
chose_single_copies() { [ -n "${OMPI_MCA_btl_vader_single_copy_mechanism:-}${OMPI_MCA_smsc:-}" ]; }

# How many processes the launcher would start here with these options: its slots. Nothing if it cannot tell or
# has no limit. In an allocation these are the allocation's slots, otherwise cores or hardware threads.
launcher_slots() {
  [ "$mpi" != mpich ] || return 0
  # Version 5 prints the allocation several times; only the last one is complete.
  mpirun "${as_root[@]}" "$@" --display-allocation -n 1 true </dev/null 2>/dev/null |
    awk '/ALLOCATED NODES/ { sum = 0 }
      match($0, / slots=[0-9]+/) { sum += substr($0, RSTART + 7, RLENGTH - 7) }
      END { if (sum) print sum }'
}
