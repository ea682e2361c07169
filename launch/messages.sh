#!/usr/bin/env bash
# Filters and explains mpirun's messages; sourced by local.sh after common.sh. Open MPI encloses its
# messages in lines of dashes; version 4 calls itself mpirun and ORTE there, later ones prterun and PRTE, and version 6
# begins with an empty line.
# Messages that only say that a rank ended with a certain exit code (75: saved) are dropped, since the
# rank itself has given the reason; all others are shown unchanged. Starts no program.
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/common.sh"; show_help; }

# The exit code of `show_messages`: what it has seen.
seen_nothing=0 seen_lost_host=1 seen_few_slots=2 seen_no_program=3 seen_signal=4

# The reader of the output may go away; further output of the ranks is then dropped, but they
# continue. A signal that asks the ranks to stop must not end the filter, so that their last
# messages are shown.
outlive_all() { trap '' PIPE HUP INT TERM USR1; }

relay_output() {
  outlive_all
  cat 2>/dev/null || cat >/dev/null
}

is_of_an_exit_code() {
  [[ $1 == 'Primary job  terminated normally, but '* || $1 == *' detected that one or more processes exited with non-zero status,'* ||
    $1 == 'MPI_ABORT was invoked on rank '* || $1 == *' has exited due to process rank '*' calling' ]]
}

# Sets `seen` if this line of a message tells why a job did not start or continue.
note_reason() {
  case $1 in
    *RTE' has lost communication with a remote daemon.' | 'A critical communication path was lost to:' | \
      *'has detected that a required daemon terminated during execution'* | *RTE' was unable to reliably start one or more daemons.' | \
      'A daemon '*' died unexpectedly '* | 'A daemon died unexpectedly '* | *RTE' does not know how to route a message to the specified daemon'*)
      seen=$seen_lost_host ;;
    'There are not enough slots available in the system'* | 'All nodes which are allocated for this job are already filled.'*) seen=$seen_few_slots ;;
    *'was unable to find the specified executable file, and therefore' | *'was unable to launch the specified application as it '*)
      seen=$seen_no_program ;;
    'YOUR APPLICATION TERMINATED WITH THE EXIT STRING: '*'(signal '* | *' noticed that process rank '*' exited on'* | *' noticed that the job aborted'*) seen=$seen_signal ;;
  esac
}

# show_messages < mpirun's standard error: shows it, and returns what it has seen. The first line of
# a framed message is held back until the next line with words tells whether the message is shown.
show_messages() {
  local line frame seen=$seen_nothing held='' skipping='' aggregated=''
  frame=$(printf '%074d' 0)
  frame=${frame//0/-}
  outlive_all
  while IFS= read -r line || [ -n "$line" ]; do
    if [ -n "$skipping" ]; then
      if [ "$line" = "$frame" ]; then skipping=; fi
      continue
    fi
    # "1 more process has sent help message …", about a message that was dropped.
    case $line in
      '['*' sent help message help-mpi-api.txt / mpi-abort') aggregated=1; continue ;;
      'mpirun: Forwarding signal 10 to job') continue ;;  # requested by local.sh
      '['*'Set MCA parameter "orte_base_help_aggregate" to 0 '*) [ -z "$aggregated" ] || { aggregated=''; continue; } ;;
    esac
    if [ -n "$held" ] && [ -z "$line" ]; then held+=$'\n'; continue; fi
    if [ -n "$held" ] && is_of_an_exit_code "$line"; then held='' skipping=1; continue; fi
    note_reason "$line"
    [ -z "$held" ] || printf '%s\n' "$held"
    held=
    if [ "$line" = "$frame" ]; then held=$line; else printf '%s\n' "$line"; fi
  done >&2 2>/dev/null
  [ -z "$held" ] || printf '%s\n' "$held" >&2 2>/dev/null
  return "$seen"
}

# explain SEEN STATUS TRAINING: prints a sentence where mpirun's own message is unclear or does not
# say what to do. TRAINING: whether the command can continue from its newest checkpoint.
explain() {
  local seen=$1 status=$2 go_on=''
  [ -z "$3" ] || go_on='; the same command goes on from the newest checkpoint'
  case $seen in
    "$seen_lost_host") say "mpirun has lost a host, or did not reach it: see its message above$go_on" ;;
    "$seen_few_slots") say "mpirun has fewer slots here than $processes, the processes that -n asks for: take fewer, or ask for an allocation of more tasks (Slurm: --ntasks=$processes)" ;;
    "$seen_no_program") say "mpirun did not find the command, or could not run it: see its message above" ;;
    *) [ "$status" -le 128 ] || explain_status "$status" "$go_on" ;;
  esac
}

explain_status() {
  local signal
  signal=$(kill -l $(($1 - 128)) 2>/dev/null)
  case $signal in
    '') say "a process ended with exit code $1, which is no signal's: see what it said above" ;;
    KILL) say "a process was ended by signal 9 (KILL), from outside or for want of memory (see dmesg)$2" ;;
    SEGV | ABRT | BUS | ILL | FPE | TRAP | SYS) say "a process crashed by signal $(($1 - 128)) ($signal): see what it said above$2" ;;
    *) say "a process was ended by signal $(($1 - 128)) ($signal), from outside$2" ;;
  esac
}
