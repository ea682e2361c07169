#!/usr/bin/env bash
# Draws runs from their metrics.jsonl, as SVG, PNG and PDF:
#   launch/plot.sh [-o DIRECTORY] [--format svg,png,pdf] RUN…      (default: the first run's plots/, all formats)
# loss      training and validation loss by step and by training time, all runs together
# drops     share of tokens dropped and load imbalance by step, all runs with experts
# load-RUN  expert load over time of each run with experts: one heat map per sparse layer
# Runs are named by their directories, with enough of the path to distinguish them.
set -euo pipefail
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/common.sh"
. "$here/figures.sh"

usage="usage: launch/plot.sh [-o DIRECTORY] [--format svg,png,pdf] RUN…"
output='' runs=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) show_help ;;
    --) shift; runs+=("$@"); break ;;
    -o | --format) [ $# -ge 2 ] || fail 64 "$1 needs a value; $usage"
      if [ "$1" = -o ]; then output=$2; else take_formats "$2"; fi
      shift ;;
    -*) fail 64 "unknown argument '$1'; $usage" ;;
    *) runs+=("$1") ;;
  esac
  shift
done
[ ${#runs[@]} -gt 0 ] || fail 64 "$usage"
command -v gnuplot >/dev/null || fail 69 "gnuplot is not installed; run launch/install_dependencies.sh"
for run in "${runs[@]}"; do
  [ -s "$run/metrics.jsonl" ] || fail 66 "$run has no metrics.jsonl: is it a run, and has it made a step?"
done
output=${output:-${runs[0]}/plots}
mkdir -p -- "$output" 2>/dev/null || fail 73 "cannot write to $output"
make_work_directory

# name_runs: sets `names`, for each run the shortest end of its path that no other run's path has:
# "b/run" and "a/run". A run that is given twice gets a number.
name_runs() {
  local paths=() path i j depth name
  for path in "${runs[@]}"; do path=$(realpath -s -- "$path"; echo .); paths+=("${path%$'\n.'}"); done
  names=()
  for i in "${!paths[@]}"; do
    for ((depth = 1; ; depth++)); do
      name=$(end_of "${paths[i]}" "$depth"; echo .) name=${name%.}
      for j in "${!paths[@]}"; do
        [ "$j" -eq "$i" ] || [ "${paths[j]}" = "${paths[i]}" ] || [[ ${paths[j]} != */"$name" ]] || continue 2
      done
      break
    done
    for ((j = 0; j < i; j++)); do [ "${paths[j]}" != "${paths[i]}" ] || { name+=" ($((i + 1)))"; break; }; done
    names+=("$name")
  done
}

# end_of PATH DEPTH: its last DEPTH components.
end_of() {
  local rest=$1 end='' n
  for ((n = 0; n < $2 && ${#rest} > 1; n++)); do end=${rest##*/}${end:+/$end} rest=${rest%/*}; done
  printf '%s' "$end"
}

# A name for the legend: the middle of a long name is omitted.
short() {
  local name=$1
  [ "${#name}" -le 46 ] || name="${name:0:22}…${name: -23}"
  printf '%s' "$name"
}

has_experts() { grep -q '"moe/load_imbalance"' "$1/metrics.jsonl"; }
# Only some records list the tokens of each expert where these are many (train.routing_log_interval).
has_loads() { grep -q '"moe/tokens_per_expert"' "$1/metrics.jsonl"; }

name_runs

# Training losses are means over a hundredth of the run, so that they are lines and not bands. The
# fall at the beginning of every run would compress the rest of the plot, so losses above that after
# a twentieth of the steps are cut off.
loss_by_step='' loss_by_time='' drops='' imbalance='' top=0 loss_names=() expert_names=()
add_curves() {  # NUMBER
  local run=${runs[$1]} data=run-$1.dat name line every panel x
  name=$(short "${names[$1]}")
  columns <"$run/metrics.jsonl" >"$work/$data"
  [ -s "$work/$data" ] || fail 66 "$run has no whole step in its metrics.jsonl yet"
  smooth $(($(wc -l <"$work/$data") / 100 + 1)) <"$work/$data" >"$work/$data.smooth"
  # In a file of its own, so that markers are at every n-th evaluation instead of every n-th step.
  awk '$4 != "nan"' "$work/$data" >"$work/$data.evaluated"
  top=$(top_loss "$top" "$work/$data.smooth" "$work/$data.evaluated")
  line=$(look "$1")
  every=$(($(wc -l <"$work/$data.evaluated") / 20 + 1))
  loss_names+=("$name, training")
  [ ! -s "$work/$data.evaluated" ] || loss_names+=("$name, validation")
  for panel in step time; do
    [ $panel = step ] && x=1 || x=2
    declare -g "loss_by_$panel+='$data.smooth' using $x:3 with lines lw 0.8 ${line% pt *} title $(gnuplot_string "$name, training"), "
    # gnuplot fails on a curve without points.
    [ -s "$work/$data.evaluated" ] || continue
    declare -g "loss_by_$panel+='$data.evaluated' using $x:4 with linespoints lw 2 $line ps 0.9 pointinterval $every title $(gnuplot_string "$name, validation"), "
  done
  has_experts "$run" || return 0
  expert_names+=("$name")
  every=$(($(wc -l <"$work/$data") / 8 + 1))
  drops+="'$data.smooth' using 1:5 with linespoints lw 1.5 $line ps 0.9 pointinterval $every title $(gnuplot_string "$name"), "
  imbalance+="'$data.smooth' using 1:6 with linespoints lw 1.5 $line ps 0.9 pointinterval $every title $(gnuplot_string "$name"), "
}

# top_loss LEAST SMOOTH EVALUATED: slightly above the highest loss after a twentieth of the steps.
# It keeps all digits, since rounding down would hide the only point of a run of one step.
top_loss() {
  awk -v top="$1" 'FNR == 1 { file++ } { step[NR] = $1; of[NR] = file; loss[NR] = (file == 1 ? $3 : $4); if (file == 1) last = $1 }
    END { for (i = 1; i <= NR; i++) if (20 * step[i] >= last && loss[i] != "nan" && loss[i] * 1.002 > top) top = loss[i] * 1.002
      printf "%.10g\n", top }' "$2" "$3"
}

# steps_of FILE…: the steps of the fewest and of the most that a run has made, in words.
steps_of() {
  awk 'FNR == 1 && NR > 1 { note() } { steps = $1 } END { note(); print (least == most ? most : least " to " most) " step" (most == 1 ? "" : "s") }
    function note() { if (least == "" || steps < least) least = steps; if (steps + 0 > most + 0) most = steps }' "$@"
}

for number in "${!runs[@]}"; do add_curves "$number"; done
budget="$(steps_of "$work"/run-*.dat)"
if [ ${#runs[@]} -eq 1 ]; then budget="one run, one seed, $budget"; else budget="${#runs[@]} runs of one seed each, $budget"; fi
step_axis="$side_room; set xtics $(tick "$(cat "$work"/run-*.dat | awk '$1 > most { most = $1 } END { print most }')" 6); set xlabel 'step'"
hundredth='mean over a hundredth of the run'

key_below '' "${loss_names[@]}"
draw "$output/loss" 640 $((2 * 300 + key_height)) 'Loss by step and by training time' "Training loss: $hundredth; $budget" \
  "$(two_plots 300 "set yrange [*:$top]; set ylabel 'cross-entropy (nats per target token)'; $step_axis
plot ${loss_by_step%, }" "set xtics autofreq; set xlabel 'training time (minutes)'
plot ${loss_by_time%, }")"

if [ -n "$drops" ]; then
  key_below '' "${expert_names[@]}"
  draw "$output/drops" 640 $((2 * 270 + key_height)) 'Dropped tokens and load imbalance by step' "${hundredth^}; $budget" \
    "$(two_plots 270 "$step_axis; set ylabel 'dropped tokens (%)'; set yrange [0:*]
plot ${drops%, }" "set ylabel 'busiest expert / mean'; set yrange [1:*]
plot ${imbalance%, }")"
fi

declare -A drawn=()
for number in "${!runs[@]}"; do
  has_loads "${runs[number]}" || continue
  file=load-${names[number]//\//-}
  [ -z "${drawn[$file]:-}" ] || file+="-$((number + 1))"
  drawn[$file]=1
  mkdir "$work/loads-$number"
  loads 100 "loads-$number/" <"${runs[number]}/metrics.jsonl"
  draw_loads "$output/$file" "loads-$number/" "Load of the experts: $(short "${names[number]}")" \
    "Tokens that wanted an expert / its fair share; one run, one seed, $(steps_of "$work/run-$number.dat")"
done
