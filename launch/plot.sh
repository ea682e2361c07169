#!/usr/bin/env bash
# Draws runs from their metrics.jsonl, as SVG and PNG:
#   launch/plot.sh [-o DIRECTORY] RUN…      (default: the first run's plots/)
# loss.{svg,png}   training and validation loss by step and by training time, all runs together
# drops.{svg,png}  share of tokens dropped and load imbalance by step, all runs with experts
# load-RUN.{svg,png}  expert load over time of each run with experts: a heat map a sparse layer
set -euo pipefail
program=plot.sh
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

output=
while getopts ':o:' option; do
  case "$option" in
    o) output=$OPTARG ;;
    *) echo "usage: launch/plot.sh [-o DIRECTORY] RUN…" >&2; exit 64 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { echo "usage: launch/plot.sh [-o DIRECTORY] RUN…" >&2; exit 64; }
command -v gnuplot >/dev/null || { echo "plot.sh: gnuplot is not installed; run launch/install_dependencies.sh" >&2; exit 69; }
for run in "$@"; do
  [ -s "$run/metrics.jsonl" ] || { echo "plot.sh: $run has no metrics.jsonl: is it a run, and has it made a step?" >&2; exit 66; }
done
output=${output:-$1/plots}
mkdir -p "$output" || { echo "plot.sh: cannot write to $output" >&2; exit 73; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$here/figures.sh"

# Training losses as means over a hundredth of the run: a line among others, not a band over them.
# The fall that all runs begin with would press the rest into a line: what lies above the loss after a
# twentieth of the steps is left out.
loss_by_step= loss_by_time= drops= imbalance= top=0
number=0
for run in "$@"; do
  data="$work/run-$number.dat"
  columns <"$run/metrics.jsonl" >"$data"
  smooth $(($(wc -l <"$data") / 100 + 1)) <"$data" >"$data.smooth"
  name=$(basename "$run" | tr -d "'")
  top=$(awk -v top="$top" '{ s[NR] = $1; loss[NR] = $3 } END { for (i = 1; i <= NR; i++) if (20 * s[i] >= s[NR] && loss[i] > top) top = loss[i]; print top }' "$data.smooth")
  colour=${palette[$((number % ${#palette[@]}))]}
  for panel in step time; do
    [ $panel = step ] && x=1 || x=2
    declare "loss_by_$panel+='$data.smooth' using $x:3 with lines lw 1 lc rgb '$colour' title '$name, training', "
    declare "loss_by_$panel+='$data' using $x:4 with linespoints pt 7 ps 0.4 lw 2 lc rgb '$colour' title '$name, validation', "
  done
  if grep -q '"moe/tokens_per_expert"' "$run/metrics.jsonl"; then
    drops+="'$data.smooth' using 1:5 with lines lw 1.5 lc rgb '$colour' title '$name', "
    imbalance+="'$data.smooth' using 1:6 with lines lw 1.5 lc rgb '$colour' title '$name', "
  fi
  number=$((number + 1))
done

draw "$output/loss" 640 720 "set multiplot layout 2,1
set key top right; set yrange [*:$top]
set ylabel 'cross-entropy (nats a target token)'
set xlabel 'step'
plot ${loss_by_step%, }
set xlabel 'training time (minutes)'
plot ${loss_by_time%, }
unset multiplot"

if [ -n "$drops" ]; then
  draw "$output/drops" 640 640 "set multiplot layout 2,1
set xlabel 'step'
set ylabel 'dropped tokens (%)'; set yrange [0:*]
plot ${drops%, }
set ylabel 'tokens of the busiest expert / mean'; set yrange [1:*]
plot ${imbalance%, }
unset multiplot"
fi

for run in "$@"; do
  grep -q '"moe/tokens_per_expert"' "$run/metrics.jsonl" || continue
  name=$(basename "$run")
  mkdir -p "$work/$name"
  loads 100 "$work/$name/" <"$run/metrics.jsonl"
  draw_loads "$output/load-$name" "$work/$name/"
done
