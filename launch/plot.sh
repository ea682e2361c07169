#!/usr/bin/env bash
# Draws runs from their metrics.jsonl, as SVG and PNG:
#   launch/plot.sh [-o DIRECTORY] RUN…      (default: the first run's plots/)
# loss.{svg,png}   training and validation loss by step and by training time, all runs together
# drops.{svg,png}  share of tokens dropped and load imbalance by step, all runs with experts
# load-RUN.{svg,png}  expert load over time of each run with experts: a panel a sparse layer
set -euo pipefail

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

# A record's number under a JSON key, or "nan".
awk_number='function number(key,   at, text) {
  at = index($0, "\"" key "\":"); if (!at) return "nan"
  text = substr($0, at + length(key) + 3); sub(/^ */, "", text)
  return match(text, /^-?[0-9][0-9.eE+-]*/) ? substr(text, 1, RLENGTH) : "nan" }'

# step, minutes, loss, eval/loss, dropped %, imbalance
columns() {
  awk "$awk_number"'{ d = number("moe/dropped_fraction"); s = number("seconds")
    print number("step"), s / 60, number("loss"), number("eval/loss"), (d == "nan" ? d : 100 * d), number("moe/load_imbalance") }' \
    "$1/metrics.jsonl"
}

# For each sparse layer a file of: step, expert, load / fair share; at most about 300 columns of steps.
loads() {
  local lines every
  lines=$(wc -l <"$1/metrics.jsonl")
  every=$(((lines + 299) / 300))
  awk -v every="$every" -v prefix="$2" "$awk_number"'
    (NR - 1) % every == 0 { step = number("step"); rest = $0
      while (match(rest, /\{"layer": *"[^"]*", *"tokens": *\[[^]]*\]/)) {
        entry = substr(rest, RSTART, RLENGTH); rest = substr(rest, RSTART + RLENGTH)
        split(entry, quoted, "\""); layer = quoted[4]
        sub(/.*\[/, "", entry); sub(/\]/, "", entry); n = split(entry, tokens, ",")
        sum = 0; for (e = 1; e <= n; e++) sum += tokens[e]
        for (e = 1; e <= n; e++) print step, e - 1, (sum ? tokens[e] * n / sum : 0) > (prefix layer ".dat")
      } }' "$1/metrics.jsonl"
}

# draw NAME WIDTH HEIGHT SCRIPT: one gnuplot script, both formats.
draw() {
  local terminal
  for format in svg png; do
    terminal="svg size $2,$3 dynamic font 'DejaVu Sans,13' background 'white'"
    [ "$format" = png ] && terminal="pngcairo size $2,$3 font 'DejaVu Sans,11' background 'white'"
    { echo "set terminal $terminal"; echo "set output '$output/$1.$format'"; echo "$4"; } >"$work/script"
    gnuplot "$work/script" 2>"$work/errors" || { cat "$work/errors" >&2; echo "plot.sh: gnuplot failed on $1" >&2; exit 1; }
  done
  echo "$output/$1.svg $output/$1.png"
}

style="set grid lc rgb '#dddddd'; set border lc rgb '#444444'; set key top right samplen 2; set tics nomirror"
palette=('#0072B2' '#D55E00' '#009E73' '#CC79A7' '#E69F00' '#56B4E9')

loss_by_step= loss_by_time= drops= imbalance=
number=0
for run in "$@"; do
  data="$work/run-$number.dat"
  columns "$run" >"$data"
  name=$(basename "$run" | sed 's/_/ /g')
  colour=${palette[$((number % ${#palette[@]}))]}
  loss_by_step+="'$data' using 1:3 with lines lw 1 lc rgb '$colour' title '$name, training', "
  loss_by_step+="'$data' using 1:4 with points pt 7 ps 0.8 lc rgb '$colour' title '$name, validation', "
  loss_by_time+="'$data' using 2:3 with lines lw 1 lc rgb '$colour' notitle, '$data' using 2:4 with points pt 7 ps 0.8 lc rgb '$colour' notitle, "
  if grep -q '"moe/tokens_per_expert"' "$run/metrics.jsonl"; then
    drops+="'$data' using 1:5 with lines lw 1 lc rgb '$colour' title '$name', "
    imbalance+="'$data' using 1:6 with lines lw 1 lc rgb '$colour' notitle, "
  fi
  number=$((number + 1))
done

draw loss 1100 450 "$style
set multiplot layout 1,2
set ylabel 'cross-entropy (nats a target token)'
set xlabel 'step'
plot ${loss_by_step%, }
set xlabel 'training time (minutes)'
plot ${loss_by_time%, }
unset multiplot"

if [ -n "$drops" ]; then
  draw drops 1100 450 "$style
set multiplot layout 1,2
set xlabel 'step'
set ylabel 'dropped tokens (%)'; set yrange [0:*]
plot ${drops%, }
set ylabel 'busiest expert / mean'; set yrange [1:*]
plot ${imbalance%, }
unset multiplot"
fi

for run in "$@"; do
  grep -q '"moe/tokens_per_expert"' "$run/metrics.jsonl" || continue
  name=$(basename "$run")
  mkdir -p "$work/$name"
  loads "$run" "$work/$name/"
  panels=
  count=0
  for data in "$work/$name"/encoder*.dat "$work/$name"/decoder*.dat; do
    [ -e "$data" ] || continue
    experts=$(awk '$2 > most { most = $2 } END { print most + 1 }' "$data")
    panels+="set title '$(basename "$data" .dat)'
plot [*:*] [-0.5:$experts-0.5] '$data' using 1:2:3 with image pixels notitle
"
    count=$((count + 1))
  done
  rows=$(((count + 1) / 2))
  draw "load-$name" 1100 $((rows * 260 + 40)) "$style
set palette defined (0 '#053061', 0.5 '#4393c3', 1 '#f7f7f7', 1.5 '#f4a582', 2 '#d6604d', 4 '#67001f')
set cbrange [0:4]; set cblabel 'load / fair share'
set xlabel 'step'; set ylabel 'expert'; unset grid
set ytics 1
set multiplot layout $rows,2
${panels}unset multiplot"
done
