#!/usr/bin/env bash
# Runs a study, a text file that names one axis, its values, seeds and a budget
# (cluster/scaling/README.md). Runs what is missing, one run after another, then writes NAME.csv,
# NAME-curves.csv, NAME.md, pictures and NAME.html.
#   launch/study.sh FILE [--data DIR] [--steps N | --minutes M] [--set PATH=VALUE]… [--runs DIR] [--output DIR]
#   launch/study.sh FILE --csv    the table and the pictures again, from the runs that are there
#   launch/study.sh FILE --page   the same from NAME.csv and NAME-curves.csv: no runs are needed
#   launch/study.sh FILE --list   what would be run, and its progress
#   … --format svg,png,pdf        formats of the pictures; default: all three. SVG is always written, for the page
# If it was stopped (Ctrl-C, TERM, HUP; a second Ctrl-C ends at once) or killed, the same command
# continues.
set -euo pipefail
export LC_ALL=C.UTF-8
trap : PIPE  # if nobody reads its messages, the study continues
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/common.sh"
. "$here/cores.sh"
. "$here/figures.sh"
. "$here/study_file.sh"
. "$here/study_table.sh"
. "$here/study_page.sh"

usage="launch/study.sh FILE [--data DIR] [--steps N | --minutes M] [--set PATH=VALUE]… [--runs DIR] [--output DIR] [--format svg,png,pdf] [--csv | --page | --list]"

file='' runs='' output='' mode=run typed=("$@")
declare -A over=()
more_settings=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) show_help ;;
    --csv | --page | --list) mode=${1#--}; shift; continue ;;
    --data | --steps | --minutes | --set | --runs | --output | --format) [ $# -ge 2 ] || fail 64 "$1 needs a value" ;;
    -*) fail 64 "unknown argument '$1'; usage: $usage" ;;
    *) [ -z "$file" ] || fail 64 "one study at a time, not also '$1'; usage: $usage"; file=$1; shift; continue ;;
  esac
  case "$1" in
    --runs) runs=$2 ;;
    --output) output=$2 ;;
    --format) take_formats "svg,$2" ;;  # SVG is always needed, for the page
    --set) more_settings+=("$2") ;;
    *) over[${1#--}]=$2 ;;
  esac
  shift 2
done
[ -n "$file" ] || fail 64 "no study is given; usage: $usage"
[ -f "$file" ] || fail 66 "$file is not there"
name=$(basename -- "$file" .study)
read_study "$file"
make_work_directory
runs=${runs:-runs/$name} output=${output:-${runs:-.}}

find_switchyard
[ -n "$switchyard" ] || [ "$mode" = page ] || fail 69 "there is no switchyard program: build it (launch/quickstart.sh does), or install it"

# Mistakes in the values are reported before the first run, not when their run comes up.
check_values() {
  local value said
  for value in "${values[@]}"; do
    settle "$value" "${seeds_of[$value]%% *}"
    said=$("$switchyard" describe --config "$config" --set "${settings[@]}" "train.seed=$seed" --processes "${processes:-1}" 2>&1) ||
      fail 64 "$file: value $value: ${said#switchyard: }"
    ranks[$value]=$(awk '/^layout: / { print $2 }' <<<"$said")
  done
}

# progress RUN: sets steps, planned, seconds and diverged from the run's records.
progress() {
  steps=0 planned=0 seconds=0 diverged=
  [ -f "$1/config.textproto" ] || return 0
  figures_of "$1"
  IFS=, read -r _ steps planned _ seconds _ <<<"$figures"
  diverged=${figures##*,}
}

# figures_of RUN: sets `figures` to its line of `compare --csv`, whose first cell contains no comma.
# The program's own error message is printed above; the run is only blamed if the program blames it.
figures_of() {
  local code=0
  figures=$(cd -- "$runs" && "$switchyard" compare --csv "${1##*/}" | tail -n 1; exit "${PIPESTATUS[0]}") || code=$?
  [ "$code" -ne 0 ] || return 0
  [ "$stopping" -eq 0 ] || fail 75 "stopped; the same command goes on"
  case $code in
    65 | 66) fail 65 "$1 cannot be read: move it away to run it again" ;;
    *) exit "$code" ;;
  esac
}

# status RUN, after progress: missing, unfinished, finished or diverged.
status() {
  if [ -n "$diverged" ]; then echo diverged
  elif [ "$steps" -eq 0 ]; then echo missing
  elif [ "$steps" -lt "${budget_steps:-$planned}" ]; then echo unfinished
  elif [ -n "$budget_minutes" ] && ! over_budget "$seconds"; then echo unfinished
  else echo finished
  fi
}

# Starts the run that `settle` has described, up to the given number of steps. Exit code: the
# program's.
start() {
  local arguments=(train --config "$config" --set "${settings[@]}" "train.seed=$seed" "train.steps=$1" "data.train=$data" --output "$run")
  local code
  set -m
  # If the study is killed, its run is asked to stop, as with TERM here.
  setpriv --pdeathsig TERM "$here/local.sh" -n "${processes:-$default_processes}" -t "$threads" "${arguments[@]}" >>"$run.log" 2>&1 &
  job=$!
  set +m
  while :; do
    if [ -n "$budget_minutes" ] && [ "$1" -eq "$endless" ]; then stop_when_over; fi
    wait "$job" 2>/dev/null || true  # a signal also ends `wait`, with its own number
    kill -0 "$job" 2>/dev/null || break
  done
  code=0; wait "$job" 2>/dev/null || code=$?
  job=
  return "$code"
}

# Until the job ends: asks it to stop when its training time reaches the budget.
stop_when_over() {
  while kill -0 "$job" 2>/dev/null && [ "$stopping" -eq 0 ]; do
    if over_budget "$(tail -n 1 "$run/metrics.jsonl" 2>/dev/null | awk "$awk_number"'{ print number("seconds") }')"; then
      touch "$run/stop"
      return 0
    fi
    sleep 1
  done
}

over_budget() { awk -v seconds="${1:-0}" -v minutes="$budget_minutes" 'BEGIN { exit !(seconds + 0 >= 60 * minutes) }'; }

# A budget in minutes is training time over all starts. When it is used up, one more step ends the
# run in the regular way, with an evaluation and a checkpoint.
run_to_its_end() {
  local target=$budget_steps code=0
  if [ -n "$budget_minutes" ]; then
    target=$endless
    if over_budget "$seconds"; then target=$((steps + 1)); fi
  fi
  start "$target" || code=$?
  progress "$run"
  if [ -n "$budget_minutes" ] && [ "$code" -eq 75 ] && [ "$stopping" -eq 0 ] && over_budget "$seconds"; then
    code=0; start $((steps + 1)) || code=$?
    progress "$run"
  fi
  case $code in
    0 | 70) ;;  # a run that diverged is a result
    75) fail 75 "stopped in $run; the same command goes on" ;;
    *) tail -n 5 "$run.log" >&2; fail "$code" "$run ended with exit code $code; all it said is in $run.log" ;;
  esac
}

# Records the run's place in the study, in addition to what the run itself records; the table is
# made from both.
describe_run() {
  local text
  text="value $value
seed $seed
settings ${settings[*]}
config $config_digest
data $data_digest
processes ${processes:-$default_processes}
threads $threads
machine $(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo), ${#cores[@]} cores
command launch/study.sh $(printable "$(shell_words "${typed[@]}")")"
  mkdir -p -- "$run" 2>/dev/null || fail 73 "cannot write to $runs"
  if [ -f "$run/study.txt" ] && ! diff -q <(sed -n 1,5p "$run/study.txt") <(sed -n 1,5p <<<"$text") >/dev/null; then
    fail 78 "$run was made with another study, configuration or data (see $run/study.txt): name other --runs, or move it away"
  fi
  echo "$text" >"$run/study.txt"
}

run_missing() {
  local number=0 state
  [ -n "$data" ] || fail 64 "no data: say --data DIR, or 'data DIR' in $file (DIR is what 'switchyard prepare' writes)"
  [ -e "$data" ] || fail 66 "$data is not there: 'switchyard prepare' makes it"
  check_values
  data_digest=$(digest_of_data)
  find_cores
  count_cores
  most_processes=$(best_processes)
  for entry in "${wanted[@]}"; do
    number=$((number + 1))
    [ "$stopping" -eq 0 ] || fail 75 "stopped; the same command goes on"
    settle "${entry% *}" "${entry#* }"
    default_processes=$((ranks[$value] < most_processes ? ranks[$value] : most_processes))
    progress "$run"
    state=$(status)
    [ -f "$run/study.txt" ] || [ "$state" = missing ] || fail 78 "$run is there, but is no run of a study: name other --runs"
    describe_run
    if [ "$state" = missing ] || [ "$state" = unfinished ]; then
      tell "[$number/${#wanted[@]}] $axis $value, seed $seed: $([ "$state" = missing ] && echo begins || echo "goes on after step $steps") (launch/watch.sh $(shell_words "$run"))"
      run_to_its_end
      state=$(status)
    fi
    tell "[$number/${#wanted[@]}] $axis $value, seed $seed: $state, $steps steps in $(awk -v s="$seconds" 'BEGIN { printf "%.1f", s / 60 }') minutes of training"
  done
}

list_runs() {
  local entry
  for entry in "${wanted[@]}"; do
    settle "${entry% *}" "${entry#* }"
    progress "$run"
    printf '%-11s %9s steps  %s: %s\n' "$(status)" "$steps" "$run" "${settings[*]}"
  done
}

# local.sh handles Ctrl-C and TERM; it runs in a process group of its own, so that each arrives only
# once.
job='' stopping=0
on_stop() {
  stopping=1
  [ -z "$job" ] || kill "-$1" "$job" 2>/dev/null || true
}
trap 'on_stop INT' INT
trap 'on_stop TERM' TERM HUP

case $mode in
  list) check_values; list_runs; exit 0 ;;
  run) run_missing ;;
esac
if [ "$mode" = page ]; then read_table; else write_table; fi
draw_study
write_page
