#!/usr/bin/env bash
# Figures of runs, for plot.sh, study.sh and watch.sh, which source this file: extracts columns from
# a metrics.jsonl and draws gnuplot scripts as SVG, PNG and PDF. The sourcing script must have
# sourced common.sh and set `work`, a scratch directory. It knows neither studies nor terminals.
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/common.sh"; show_help; }

# The number under a JSON key of a record, or "nan".
awk_number='function number(key,   at, text) {
  at = index($0, "\"" key "\":"); if (!at) return "nan"
  text = substr($0, at + length(key) + 3, 40); sub(/^ */, "", text)
  return match(text, /^-?[0-9][0-9.eE+-]*/) ? substr(text, 1, RLENGTH) : "nan" }'

# columns < metrics.jsonl: for each step taken: step, minutes, loss, eval/loss, dropped %,
# imbalance, ms per step, tokens per second. A last line that is incomplete is ignored.
columns() {
  awk "$awk_number"'/}$/ { seconds = number("seconds"); if (seconds == "nan") next
    dropped = number("moe/dropped_fraction")
    print number("step"), seconds / 60, number("loss"), number("eval/loss"), (dropped == "nan" ? dropped : 100 * dropped),
      number("moe/load_imbalance"), number("time/step_ms"), number("tokens_per_second") }'
}

# smooth WIDTH < columns: the same columns, where those from the third on, except the fourth, are
# replaced by means over WIDTH steps.
smooth() {
  awk -v width="$1" '{ for (c = 3; c <= NF; c++) if (c != 4) {
      if ($c != "nan") { sum[c] += $c; n[c]++ }
      kept[c, NR] = $c; old = kept[c, NR - width]; delete kept[c, NR - width]
      if (NR > width && old != "nan") { sum[c] -= old; n[c]-- }
      $c = n[c] ? sum[c] / n[c] : "nan"
      if ($c * $c < 1e-20) $c = 0 }  # rounding errors left over from numbers already subtracted
    print }'
}

# loads BINS PREFIX < metrics.jsonl: writes one file PREFIX<layer>.dat per sparse layer to the
# scratch directory, with: step, expert, load relative to an equal share, averaged over the steps in
# each of at most BINS bins.
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

# Colours of text and grid in gnuplot's output; in an SVG they are inverted where the reader's
# background is dark.
ink='#333333' grid='#d8d8d8'
dark_style='<style>image { image-rendering: pixelated } @media (prefers-color-scheme: dark) {
  [stroke="rgb( 51,  51,  51)"] { stroke: #dddddd } [fill="rgb(51,51,51)"], [fill="rgb( 51,  51,  51)"] { fill: #dddddd }
  [stroke="rgb(216, 216, 216)"] { stroke: #444a52 } [fill="#ffffff"] { fill: #16191d } }</style>'
style="set border 3 lc rgb '$ink'; set tics nomirror textcolor rgb '$ink'; set grid lc rgb '$grid' lt 1 lw 1
set xlabel textcolor rgb '$ink' offset 0,0.5; set ylabel textcolor rgb '$ink'; set title textcolor rgb '$ink'
set key textcolor rgb '$ink' samplen 2 spacing 1.1; set cblabel textcolor rgb '$ink'; set cbtics textcolor rgb '$ink'
set datafile missing 'nan'"
# Curves differ in colour (distinguishable for colour-blind readers too, on white and on black),
# dashes and markers. There are sixteen looks: eight colours with filled markers, then the same with
# open markers and other dashes.
palette=('#0072B2' '#D55E00' '#009E73' '#CC79A7' '#C98A00' '#3FA7DE' '#8C6D46' '#808080')
dashes=(1 '(16,5)' '(7,4)' '(16,4,4,4)' '(28,6)' '(4,4)' '(16,4,4,4,4,4)' '(10,3)')
markers=(7 5 9 11 13 15 2 3 6 4 8 10 12 14 1 65)
# Values that several studies have in common look the same in all of them. Others take a free look.
declare -A fixed_look=([dense]=7 [1]=0 [2]=1 [4]=2 [8]=3 [16]=4 [32]=5 [64]=6 [128]=8 [256]=9 [512]=10
  [switch]=3 [SWITCH]=3 [switch-8]=3 [hash]=2 [HASH]=2 [TOP2]=1 [dense-256]=7 [dense-init1]=15 [switch-init1]=11 [hash-init1]=10
  [switch-0.01]=0 [switch-0.02]=1 [switch-0.04]=2 [switch-0.08]=3 [switch-0.25]=4 [switch-0.5]=5 [switch-1.0]=6
  [dense-0.01]=8 [dense-0.02]=9 [dense-0.04]=10 [dense-0.08]=11 [dense-0.25]=12 [dense-0.5]=13 [dense-1.0]=14)
declare -A look_of=()

# choose_looks VALUE…: sets `look_of` for each value, all different if there are at most sixteen.
choose_looks() {
  local value i taken=' '
  look_of=()
  for value in "$@"; do
    i=${fixed_look[$value]:-}
    if [ -n "$i" ] && [[ $taken != *" $i "* ]]; then look_of[$value]=$i taken+="$i "; fi
  done
  for value in "$@"; do
    [ -z "${look_of[$value]:-}" ] || continue
    for ((i = 0; i < 16; i++)); do [[ $taken == *" $i "* ]] || break; done
    look_of[$value]=$((i < 16 ? i : ${#look_of[@]})) taken+="$i "
  done
}

# look NUMBER: colour, dashes and marker in gnuplot's syntax.
look() {
  local i=$(($1 % 16))
  echo "lc rgb '${palette[$((i % 8))]}' dt ${dashes[$((i < 8 ? i : (i + 4) % 8))]} pt ${markers[$i]}"
}
colour() { echo "${palette[$(($1 % 8))]}"; }

# key_below TITLE NAME…: sets `key`, a legend below the plot, and `key_height`, its height for a
# width of 640 pixels.
key_below() {
  local longest=1 name columns
  for name in "${@:2}"; do [ "${#name}" -le "$longest" ] || longest=${#name}; done
  columns=$((600 / (longest * 8 + 60)))
  [ "$columns" -ge 1 ] || columns=1
  [ "$columns" -le $(($# - 1)) ] || columns=$(($# - 1))
  key_height=$(((($# - 1 + columns - 1) / columns + 1) * 19))
  key="set key outside bottom center horizontal Left reverse maxcols $columns maxrows $((($# - 1 + columns - 1) / columns)) samplen 4"
  [ -z "$1" ] || key+=" title $(gnuplot_string "$1") textcolor rgb '$ink'"
}

load_palette="set palette defined (0 '#053061', 0.5 '#4393c3', 1 '#f7f7f7', 1.5 '#f4a582', 2 '#d6604d', 4 '#67001f')
set cbrange [0:4]; set cbtics 1; set cblabel 'load / fair share'"

# Text that is safe in a picture: valid UTF-8 on one line.
printable() { printf '%s' "$1" | iconv -c -f UTF-8 -t UTF-8 | tr '\001-\037\177' ' '; }

# Any text as a gnuplot string.
gnuplot_string() {
  local text
  text=$(printable "$1")
  echo "'${text//"'"/"''"}'"
}

# Standard input escaped for XML and HTML.
escaped() { sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g'; }

# The formats that `draw` writes; `take_formats svg,pdf` selects some of them.
formats=(svg png pdf)
take_formats() {
  local format asked
  IFS=, read -ra asked <<<"$1"
  formats=()
  for format in "${asked[@]}"; do
    case $format in svg | png | pdf) [[ " ${formats[*]} " == *" $format "* ]] || formats+=("$format") ;; *) fail 64 "'$format' is no format of pictures (svg, png, pdf)" ;; esac
  done
  [ ${#formats[@]} -gt 0 ] || fail 64 "no format of pictures is given (svg, png, pdf)"
}

terminal_of() {  # FORMAT WIDTH HEIGHT
  case $1 in
    svg) echo "svg size $2,$3 dynamic font 'DejaVu Sans,13' background '#ffffff' dashlength 0.5" ;;
    png) echo "pngcairo size $((2 * $2)),$((2 * $3)) fontscale 2 linewidth 2 pointscale 2 font 'DejaVu Sans,9.5' background '#ffffff' dashlength 0.5" ;;
    pdf) awk -v w="$2" -v h="$3" 'BEGIN { printf "pdfcairo size %.3fin,%.3fin font \"DejaVu Sans,9.5\" background \"#ffffff\" dashlength 0.5\n", w / 96, h / 96 }' ;;
  esac
}

# draw PATH WIDTH HEIGHT SCRIPT [DESCRIPTION]: writes PATH.svg, PATH.png (at twice the resolution)
# and PATH.pdf, according to `formats`. gnuplot runs in the scratch directory, so SCRIPT can name
# files there and no path has to be quoted.
draw() {
  local format title written=''
  for format in "${formats[@]}"; do
    echo "reset"
    echo "set terminal $(terminal_of "$format" "$2" "$3") noenhanced"
    printf '%s\n' "set output 'picture.$format'" "$style" "$4" "unset output"
  done >"$work/script"
  (cd "$work" && gnuplot script) 2>"$work/errors" || { cat "$work/errors" >&2; fail 1 "gnuplot failed on $1"; }
  title=$(printable "$(basename -- "$1")" | escaped)
  for format in "${formats[@]}"; do
    if [ "$format" = svg ]; then
      { sed '/<title>/,$d' "$work/picture.svg"; echo "<title>$title</title>"
        [ -z "${5:-}" ] || echo "<desc>$(printable "$5" | escaped)</desc>"
        echo "$dark_style"; sed '1,/<desc>/d' "$work/picture.svg"; } >"$work/svg"
      mv -- "$work/svg" "$work/picture.svg"
    fi
    cat "$work/picture.$format" >"$1.$format" || fail 73 "cannot write to $(dirname -- "$1")"
    written+=" $1.$format"
  done
  tell "${written# }"
}

# tick LENGTH COUNT: a round distance between ticks such that about COUNT of them fit into LENGTH.
tick() {
  awk -v extent="$1" -v count="$2" 'BEGIN { raw = extent / count; if (raw <= 0) raw = 1
    power = exp(log(10) * int(log(raw) / log(10) - (raw < 1))); raw /= power
    print power * (raw <= 1 ? 1 : raw <= 2 ? 2 : raw <= 5 ? 5 : 10) }'
}

# Draws heat maps of the files that `loads` wrote under PREFIX, one per layer.
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
