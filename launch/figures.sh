#!/usr/bin/env bash
# Figures from runs, for plot.sh, study.sh and watch.sh, which source this file: columns out of a
# metrics.jsonl, and gnuplot scripts drawn as SVG and PNG. The sourcing script has sourced common.sh and
# set `work`, a scratch directory. Knows neither studies nor terminals.
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/common.sh"; show_help; }

# A record's number under a JSON key, or "nan".
awk_number='function number(key,   at, text) {
  at = index($0, "\"" key "\":"); if (!at) return "nan"
  text = substr($0, at + length(key) + 3, 40); sub(/^ */, "", text)
  return match(text, /^-?[0-9][0-9.eE+-]*/) ? substr(text, 1, RLENGTH) : "nan" }'

# columns < metrics.jsonl: step, minutes, loss, eval/loss, dropped %, imbalance, ms a step, tokens a
# second of each step that was taken; a last line that is still being written is left out.
columns() {
  awk "$awk_number"'/}$/ { seconds = number("seconds"); if (seconds == "nan") next
    dropped = number("moe/dropped_fraction")
    print number("step"), seconds / 60, number("loss"), number("eval/loss"), (dropped == "nan" ? dropped : 100 * dropped),
      number("moe/load_imbalance"), number("time/step_ms"), number("tokens_per_second") }'
}

# smooth WIDTH < columns: as they are, the columns but the fourth replaced by means over WIDTH steps.
smooth() {
  awk -v width="$1" '{ for (c = 3; c <= NF; c++) if (c != 4) {
      if ($c != "nan") { sum[c] += $c; n[c]++ }
      kept[c, NR] = $c; old = kept[c, NR - width]; delete kept[c, NR - width]
      if (NR > width && old != "nan") { sum[c] -= old; n[c]-- }
      $c = n[c] ? sum[c] / n[c] : "nan"
      if ($c * $c < 1e-20) $c = 0 }  # what is left of sums of numbers that have gone
    print }'
}

# loads BINS PREFIX < metrics.jsonl: for each sparse layer a file PREFIX<layer>.dat in the scratch
# directory, of: step, expert, load / fair share, the mean over the steps of each of at most BINS bins.
loads() {
  local lines=$work/loads.jsonl steps width
  cat >"$lines"
  steps=$(wc -l <"$lines")
  width=$(((steps + $1 - 1) / $1))
  prefix=$work/$2 awk -v width="$width" "$awk_number"'
    BEGIN { prefix = ENVIRON["prefix"] }
    function write_bin(   layer, e) {
      for (layer in experts) for (e = 0; e < experts[layer]; e++) {
        print first + (width - 1) / 2, e, (total[layer] ? sum[layer, e] * experts[layer] / total[layer] : 0) > (prefix layer ".dat")
        sum[layer, e] = 0 }
      for (layer in experts) total[layer] = 0
    }
    /}$/ { if ((NR - 1) % width == 0) { if (NR > 1) write_bin(); first = number("step") }
      rest = $0
      while (match(rest, /\{"layer": *"[^"]*", *"tokens": *\[[^]]*\]/)) {
        entry = substr(rest, RSTART, RLENGTH); rest = substr(rest, RSTART + RLENGTH)
        split(entry, quoted, "\""); layer = quoted[4]
        sub(/.*\[/, "", entry); sub(/\]/, "", entry); experts[layer] = split(entry, tokens, ",")
        for (e = 1; e <= experts[layer]; e++) { sum[layer, e - 1] += tokens[e]; total[layer] += tokens[e] } } }
    END { if (NR % width == 0) write_bin() }' "$lines"
}

# Ink and grid as gnuplot draws them; in an SVG they turn round where the reader's background is dark.
ink='#333333' grid='#d8d8d8'
dark_style='<style>image { image-rendering: pixelated } @media (prefers-color-scheme: dark) {
  [stroke="rgb( 51,  51,  51)"] { stroke: #dddddd } [fill="rgb(51,51,51)"], [fill="rgb( 51,  51,  51)"] { fill: #dddddd }
  [stroke="rgb(216, 216, 216)"] { stroke: #444a52 } [fill="#ffffff"] { fill: #16191d } }</style>'
style="set border 3 lc rgb '$ink'; set tics nomirror textcolor rgb '$ink'; set grid lc rgb '$grid' lt 1 lw 1
set xlabel textcolor rgb '$ink'; set ylabel textcolor rgb '$ink'; set title textcolor rgb '$ink'
set key textcolor rgb '$ink' samplen 2 spacing 1.1; set cblabel textcolor rgb '$ink'; set cbtics textcolor rgb '$ink'
set datafile missing 'nan'"
# Told apart by those who see fewer colours, on white and on black; the ninth is the first again.
palette=('#0072B2' '#D55E00' '#009E73' '#CC79A7' '#E69F00' '#56B4E9' '#8C6D46' '#8A8A8A')
load_palette="set palette defined (0 '#053061', 0.5 '#4393c3', 1 '#f7f7f7', 1.5 '#f4a582', 2 '#d6604d', 4 '#67001f')
set cbrange [0:4]; set cbtics 1; set cblabel 'load / fair share'"

# Text that may stand in a picture: UTF-8 in one line.
printable() { printf '%s' "$1" | iconv -c -f UTF-8 -t UTF-8 | tr '\001-\037\177' ' '; }

# Any text as a string of gnuplot's.
gnuplot_string() {
  local text
  text=$(printable "$1")
  echo "'${text//"'"/"''"}'"
}

# < text: as it stands in XML and HTML.
escaped() { sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g'; }

# draw PATH WIDTH HEIGHT SCRIPT: PATH.svg and PATH.png, the latter twice as fine. gnuplot works in the
# scratch directory: SCRIPT names its files there, so that no path has to be quoted.
draw() {
  local format terminal title
  for format in svg png; do
    terminal="svg size $2,$3 dynamic font 'DejaVu Sans,13' background '#ffffff'"
    [ "$format" = png ] && terminal="pngcairo size $((2 * $2)),$((2 * $3)) fontscale 2 linewidth 2 pointscale 2 font 'DejaVu Sans,9.5' background '#ffffff'"
    { echo "set terminal $terminal noenhanced"; echo "set output 'picture.$format'"; echo "$style"; echo "$4"; } >"$work/script"
    (cd "$work" && gnuplot script) 2>"$work/errors" || { cat "$work/errors" >&2; fail 1 "gnuplot failed on $1"; }
  done
  title=$(printable "$(basename -- "$1")" | escaped)
  { sed '/<title>/,$d' "$work/picture.svg"; echo "<title>$title</title>"; echo "$dark_style"; sed '1,/<desc>/d' "$work/picture.svg"; } >"$work/svg"
  cat "$work/svg" >"$1.svg" && cat "$work/picture.png" >"$1.png" || fail 73 "cannot write to $(dirname -- "$1")"
  tell "$1.svg $1.png"
}

# tick LENGTH COUNT: a round distance of ticks, of which about COUNT fit into LENGTH.
tick() {
  awk -v extent="$1" -v count="$2" 'BEGIN { raw = extent / count; if (raw <= 0) raw = 1
    power = exp(log(10) * int(log(raw) / log(10) - (raw < 1))); raw /= power
    print power * (raw <= 1 ? 1 : raw <= 2 ? 2 : raw <= 5 ? 5 : 10) }'
}

# Heat maps of the files that `loads` wrote under PREFIX, one a layer.
draw_loads() {  # PATH PREFIX
  local data experts last=1 panels='' count=0 rows
  for data in "$work/$2"encoder*.dat "$work/$2"decoder*.dat; do
    [ -e "$data" ] || continue
    read -r experts last < <(awk '$2 > most { most = $2 } END { print most + 1, $1 }' "$data")
    panels+="set title '$(basename "$data" .dat | sed 's/\.block\./ block /')'
set ytics $((experts <= 8 ? 1 : (experts + 7) / 8))
plot [] [-0.5:$experts-0.5] '$2$(basename "$data")' using 1:2:3 with image notitle
"
    count=$((count + 1))
  done
  [ "$count" -gt 0 ] || return 0
  rows=$(((count + 1) / 2))
  draw "$1" 640 $((rows * 190 + 40)) "set xlabel 'step'; set ylabel 'expert'; unset grid; set border 15
$load_palette; set autoscale xfix; set xtics $(tick "$last" 3)
set multiplot layout $rows,2
${panels}unset multiplot"
}
