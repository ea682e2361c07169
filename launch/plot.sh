#!/usr/bin/env bash
# Draws runs from their metrics.jsonl, as SVG and PNG:
#   launch/plot.sh [-o DIRECTORY] RUN…      (default: the first run's plots/)
# loss.{svg,png}   training and validation loss by step and by training time, all runs together
# drops.{svg,png}  share of tokens dropped and load imbalance by step, all runs with experts
# load-RUN.{svg,png}  expert load over time of each run with experts: a heat map a sparse layer
set -euo pipefail
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/common.sh"
. "$here/figures.sh"

usage="usage: launch/plot.sh [-o DIRECTORY] RUN…"
output=
while getopts ':o:h-:' option; do
  case "$option" in
    o) output=$OPTARG ;;
    h) show_help ;;
    -) [ "$OPTARG" = help ] || fail 64 "unknown argument '--$OPTARG'; $usage"; show_help ;;
    *) fail 64 "unknown argument '-$OPTARG', or one without its value; $usage" ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || fail 64 "$usage"
command -v gnuplot >/dev/null || fail 69 "gnuplot is not installed; run launch/install_dependencies.sh"
for run in "$@"; do
  [ -s "$run/metrics.jsonl" ] || fail 66 "$run has no metrics.jsonl: is it a run, and has it made a step?"
done
output=${output:-$1/plots}
mkdir -p -- "$output" 2>/dev/null || fail 73 "cannot write to $output"
make_work_directory

name_of() { basename -- "$(realpath -s -- "$1")"; }
has_experts() { grep -q '"moe/tokens_per_expert"' "$1/metrics.jsonl"; }

# Training losses as means over a hundredth of the run: a line among others, not a band over them.
# The fall that all runs begin with would press the rest into a line: what lies above the loss after a
# twentieth of the steps is left out.
loss_by_step='' loss_by_time='' drops='' imbalance='' top=0
number=0
for run in "$@"; do
  data=run-$number.dat
  columns <"$run/metrics.jsonl" >"$work/$data"
  [ -s "$work/$data" ] || fail 66 "$run has no whole step in its metrics.jsonl yet"
  smooth $(($(wc -l <"$work/$data") / 100 + 1)) <"$work/$data" >"$work/$data.smooth"
  name=$(name_of "$run")
  top=$(awk -v top="$top" '{ s[NR] = $1; loss[NR] = $3 } END { for (i = 1; i <= NR; i++) if (20 * s[i] >= s[NR] && loss[i] > top) top = loss[i]; print top }' "$work/$data.smooth")
  line="lc rgb '${palette[$((number % ${#palette[@]}))]}'"
  for panel in step time; do
    [ $panel = step ] && x=1 || x=2
    declare "loss_by_$panel+='$data.smooth' using $x:3 with lines lw 1 $line title $(gnuplot_string "$name, training"), "
    # gnuplot fails on a curve without a point.
    awk '$4 != "nan" { found = 1 } END { exit !found }' "$work/$data" || continue
    declare "loss_by_$panel+='$data' using $x:4 with linespoints pt 7 ps 0.4 lw 2 $line title $(gnuplot_string "$name, validation"), "
  done
  if has_experts "$run"; then
    drops+="'$data.smooth' using 1:5 with lines lw 1.5 $line title $(gnuplot_string "$name"), "
    imbalance+="'$data.smooth' using 1:6 with lines lw 1.5 $line title $(gnuplot_string "$name"), "
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

number=0
for run in "$@"; do
  if has_experts "$run"; then
    mkdir "$work/loads-$number"
    loads 100 "loads-$number/" <"$run/metrics.jsonl"
    draw_loads "$output/load-$(name_of "$run")" "loads-$number/"
  fi
  number=$((number + 1))
done
