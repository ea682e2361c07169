#!/usr/bin/env bash
# Runs a Switchyard command on several processes of this machine, each on cores of its own.
#   launch/local.sh [-n PROCESSES] [-t THREADS] COMMAND…      (default: 1 process with 1 thread)
# COMMAND is a switchyard command (train --config tiny --output runs/a) or any program with arguments.
# Processes are bound to cores that this shell may use (taskset, containers) and that no other job of
# local.sh has reserved. If there are too few, they are not bound, and a message says so. The command
# line of mpirun is printed.
# Ctrl-C, TERM or HUP asks the program to finish its step, save and exit with 75; a second Ctrl-C ends it.
# If the reader of its output goes away, the program continues.
# The exit code is the program's; 64: there is no such command; 69: mpirun has no slots for it.
set -uo pipefail
export LC_ALL=C.UTF-8
# A closed standard output or error is treated like one that nobody reads; losing the reader ends
# nothing.
[ -e "/proc/$$/fd/1" ] || exec >/dev/null
[ -e "/proc/$$/fd/2" ] || exec 2>/dev/null
trap : PIPE
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/common.sh"
. "$here/mpi.sh"
. "$here/cores.sh"
. "$here/messages.sh"
. "$here/job.sh"

usage() {
  fail 64 "usage: launch/local.sh -n PROCESSES [-t THREADS] COMMAND…   e.g. launch/local.sh -n 2 -t 1 train --config tiny --output runs/a"
}
take_signals

processes=1 threads=1
while getopts ':n:t:h-:' option; do
  case "$option" in
    n) processes=$OPTARG ;;
    t) threads=$OPTARG ;;
    h) show_help ;;
    -) [ "$OPTARG" = help ] || usage; show_help ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
[[ $processes =~ ^[1-9][0-9]{0,5}$ && $threads =~ ^[1-9][0-9]{0,5}$ && $# -gt 0 ]] || usage

# Open MPI reads the memory of other processes directly. Between different users, or in a container
# that forbids the system call, it has to use shared memory instead, but finds out only in the
# middle of a job, with a message per process. So it is tested first whether one process can read
# another's memory by process_vm_readv (number 310). Direct reading saves a few percent of a step.
single_copy_works() {
  # (Strings that are built have bytes of their own; perl may share those of constants.)
  perl -e 'pipe(my $wait, my $hold) or exit 1; my ($text, $got) = ("their", ""); $text .= "s"; $got .= "." x 6;
    my $child = fork; defined $child or exit 1; if (!$child) { close $hold; readline $wait; exit 0 }
    my ($at, $to) = (pack("PQ", $text, 6), pack("PQ", $got, 6)); substr($text, 0, 6) = "ours!!";
    exit !(syscall(310, $child, $to, 1, $at, 1, 0) == 6 && $got eq "theirs")' 2>/dev/null
}

plural() { echo "$1 $2$([ "$1" -eq 1 ] || echo "$3")"; }

# For processes that are not bound: they share the cores, and yield while they wait.
take_turns() {
  say "$1"
  line+=("${unbound[@]}" "${yielding[@]}")
  export OMP_WAIT_POLICY=passive
}

# Appends the placement of the processes to `line`, and reports where it is not what one would
# expect.
place() {
  local need=$((processes * threads)) quota units who
  who="$(plural "$processes" process es) x $(plural "$threads" thread s)"
  find_cores
  count_cores
  quota=$(cpu_quota)
  if [ -n "$quota" ] && [ $((100 * need)) -gt "$quota" ] && [ "$need" -le "${#cpus[@]}" ]; then
    take_turns "$who under a CPU quota of $(hundredths "$quota") cores: they will take turns; launch/local.sh -n $(best_processes) -t 1 uses it best"
    add_slots
    return
  fi
  if [ "$need" -gt "${#cpus[@]}" ]; then
    line+=("${oversubscribed[@]}")
    take_turns "$who on $(plural "$core_count" core s): they will take turns; launch/local.sh -n $core_count -t 1 uses the machine best"
    return
  fi
  units=("${cores[@]}")
  if [ "$need" -gt "$core_count" ]; then
    units=("${cpus[@]}")
    say "$who on $(plural "$core_count" core s) of ${#cpus[@]} hardware threads: each thread has a hardware thread, and shares its core"
  fi
  add_slots
  if hold_cores "$need" "process $$: ${command[*]}" "${units[@]}"; then
    line+=("${unbound[@]}")
    bind
  else
    take_turns "the processes are not bound to cores: $why"
  fi
}

# If the launcher counts cores and there are too few, let it count hardware threads.
add_slots() {
  [ "$processes" -le "$slots" ] || [ "$processes" -gt "$thread_slots" ] || line+=("${by_hardware_threads[@]}")
}

# Prefixes the command with the one that binds each process to its share of the reserved cores.
bind() {
  local rank share lists=()
  for ((rank = 0; rank < processes; rank++)); do
    share=${held[*]:rank * threads:threads}
    lists+=("${share// /,}")
  done
  command=("$here/on_cores.sh" "$(IFS=:; echo "${lists[*]}")" "${command[@]}")
}

find_command "$@"
type -P mpirun >/dev/null || fail 69 "mpirun is not installed; run launch/install_dependencies.sh"
require_temporary_directory
# A user without a name has no home directory either, and Open MPI's launcher fails without one.
export HOME=${HOME:-$(temporary_directory)}

find_mpi
line=(mpirun -n "$processes" "${as_root[@]}" "${one_machine[@]}")
place
export OMP_NUM_THREADS=$threads
mapfile -t variables < <(handed_on OMP_NUM_THREADS ${OMP_WAIT_POLICY:+OMP_WAIT_POLICY})
line+=("${variables[@]}")
chose_single_copies || single_copy_works || line+=("${without_single_copies[@]}")
echo "+ OMP_NUM_THREADS=$threads $(shell_words "${line[@]}" "${command[@]}")" >&2 2>/dev/null

run_job
end_with_job
