#!/usr/bin/env bash
# One job under mpirun, from the words of a command to an explained exit code; sourced by local.sh and cluster.sh after
# common.sh, mpi.sh and messages.sh. Signals ask the job to save and stop. It does not know where processes are placed.
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/common.sh"; show_help; }

say() { echo "$program: $1" >&2 2>/dev/null; }

end_before_it_began() {
  say "stopped before the program began; the same command begins it"
  exit 75
}
# Until a job exists, nothing has begun.
job='' asked=0 stopping=''
ask_to_stop() {
  stopping=1
  [ -n "$job" ] || end_before_it_began
  # mpirun does not forward signals that arrive before it has started its processes.
  local wait
  for ((wait = 0; wait < 100; wait++)); do
    ! has_children "$job" || break
    sleep 0.1
  done
  kill -USR1 "$job" 2>/dev/null
}
# children_of PID: prints the child processes, one per line; fails if the process has ended or the
# kernel does not tell.
children_of() {
  local list
  # cat fails if a thread ends meanwhile, too.
  list=$(cat "/proc/$1/task/"*/children 2>/dev/null) || [ -n "$list" ] || return
  [ -z "$list" ] || tr -s ' \n' '\n' <<<"$list"
}
# has_children PID: whether the process has children; also true if it has ended or the kernel does
# not tell.
has_children() {
  local list
  list=$(children_of "$1") || return 0
  [ -n "$list" ]
}
on_interrupt() {
  asked=$((asked + 1))
  [ -n "$job" ] || end_before_it_began
  if [ "$asked" -eq 1 ]; then
    say "finishing the step and saving; Ctrl-C again ends at once"
    ask_to_stop
  else
    # The ranks first: under Open MPI 5 they do not follow their mpirun.
    mapfile -t ranks < <(children_of "$job")
    kill -KILL "${ranks[@]}" "$job" 2>/dev/null
  fi
}
take_signals() {
  trap on_interrupt INT
  trap ask_to_stop TERM HUP USR1
}

# Sets `command` from the words, and `training` if they are a `train` command.
find_command() {
  local known
  command=("$@") training=
  find_switchyard
  if [[ $1 != */* && -n $switchyard ]] && "$switchyard" help "$1" >/dev/null 2>&1; then
    command=("$(realpath "$switchyard")" "$@")
  elif [[ -z $(type -P -- "$1") ]]; then
    [ -n "$switchyard" ] || fail 64 "there is no program '$1' here, and no switchyard: build it (launch/quickstart.sh does)"
    [[ $1 != */* || ! -e $1 ]] || fail 64 "'$1' is no program that can be run"
    known=$("$switchyard" help 2>/dev/null | sed -n 's/^  \([a-z]\{1,\}\) .*/\1/p' | paste -sd ' ')
    fail 64 "there is no command '$1': it is neither a program nor a command of switchyard${known:+ ($known)}"
  fi
  [[ " ${command[*]:0:3} " != *" train "* ]] || training=1
}

# run_job: runs `line` and `command` as a job and waits for it. Sets `status`, its exit code, and `seen`, what its
# messages told (messages.sh).
#
# On TERM or INT, mpirun kills its ranks after one second, before a checkpoint can be saved. So it runs in a process
# group of its own and is sent USR1, which it forwards at once: finish, save, exit 75. It gets the same signal if this
# script is killed.
run_job() {
  local out output messages shown
  exec {out}> >(relay_output)
  output=$!
  exec {messages}> >(exec {out}>&-; show_messages)
  shown=$!
  set -m
  setpriv --pdeathsig USR1 "${line[@]}" "${command[@]}" </dev/null >&"$out" 2>&"$messages" {out}>&- {messages}>&- &
  job=$!
  set +m
  exec {out}>&- {messages}>&-
  wait_for "$job"
  status=$?
  wait_for "$output"
  wait_for "$shown"
  seen=$?
  # MPICH's exit code is the signal's number.
  if [ "$mpi" = mpich ] && [ "$seen" -eq "$seen_signal" ]; then status=$((status + 128)); fi
}

# wait_for PID: returns its exit code even if signals arrive meanwhile, for which `wait` would return the signal's
# number.
wait_for() {
  while kill -0 "$1" 2>/dev/null; do wait "$1" 2>/dev/null; done
  wait "$1" 2>/dev/null
}

# end_with_job: ends this script with the job's exit code, which it explains.
end_with_job() {
  # USR1 does not end a training that has begun. It ends anything that has not begun, such as an mpirun that does not
  # handle signals yet.
  if [ "$status" -eq 138 ] && [ -n "$stopping" ] && { [ -n "$training" ] || [ "$seen" -eq "$seen_nothing" ]; }; then
    end_before_it_began
  fi
  if [ "$status" -ne 0 ] && [ "$asked" -lt 2 ]; then explain "$seen" "$status" "$training"; fi
  if [ "$status" -ne 0 ] && [ "$seen" -eq "$seen_few_slots" ]; then status=69; fi
  exit "$status"
}
