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
# each of at most BINS bins. Records without the tokens of each expert are passed over; bins are wide
# enough that none is empty, since a picture needs all of its columns.
loads() {
  local lines=$work/loads.jsonl width
  grep '"moe/tokens_per_expert":.*}$' >"$lines" || return 0
  width=$(awk -v bins="$1" "$awk_number"'{ step = number("step"); if (NR == 1) first = step
      else if (step - last > gap) gap = step - last
      last = step }
    END { width = int((last - first + bins) / bins); print (width > gap ? width : gap) }' "$lines")
  prefix=$work/$2 awk -v width="$width" "$awk_number"'
    BEGIN { prefix = ENVIRON["prefix"] }
    function write_bin(   layer, e) {
      for (layer in experts) for (e = 0; e < experts[layer]; e++) {
        print first + (width - 1) / 2, e, (total[layer] ? sum[layer, e] * experts[layer] / total[layer] : 0) > (prefix layer ".dat")
        sum[layer, e] = 0 }
      for (layer in experts) total[layer] = 0
    }
    { step = number("step") + 0; if (NR == 1) first = step
      if (step >= first + width) { write_bin(); first += width }
      rest = $0
      while (match(rest, /\{"layer": *"[^"]*", *"tokens": *\[[^]]*\]/)) {
        entry = substr(rest, RSTART, RLENGTH); rest = substr(rest, RSTART + RLENGTH)
        split(entry, quoted, "\""); layer = quoted[4]
        sub(/.*\[/, "", entry); sub(/\]/, "", entry); experts[layer] = split(entry, tokens, ",")
        for (e = 1; e <= experts[layer]; e++) { sum[layer, e - 1] += tokens[e]; total[layer] += tokens[e] } } }
    END { if (step == first + width - 1) write_bin() }' "$lines"
}

# Colours of text and grid in gnuplot's output; in an SVG they are inverted where the reader's
# background is dark.
ink='#333333' grid='#d8d8d8'
style="set border 3 lc rgb '$ink'; set tics nomirror textcolor rgb '$ink'; set grid lc rgb '$grid' lt 1 lw 1
set xlabel textcolor rgb '$ink' offset 0,0.5; set ylabel textcolor rgb '$ink'; set title textcolor rgb '$ink'
set key textcolor rgb '$ink' samplen 2 spacing 1.1; set cblabel textcolor rgb '$ink'; set cbtics textcolor rgb '$ink'
set datafile missing 'nan'"
# Curves differ in colour (distinguishable for colour-blind readers too, on white and on black),
# dashes and markers. There are sixteen looks: eight colours with filled markers, then the same with
# open markers and other dashes.
palette=('#0072B2' '#D55E00' '#009E73' '#CC79A7' '#C98A00' '#3FA7DE' '#8C6D46' '#808080')
# The ink, the grid, the paper and the darker ones of the colours, each with what it is where the background is dark.
dark_colours=('#333333 #dddddd' '#d8d8d8 #444a52' '#ffffff #16191d' '#0072B2 #3590d0' '#3FA7DE #7cc8f2' '#8C6D46 #b3925f' '#808080 #a0a0a0')
dashes=(1 '(16,5)' '(7,4)' '(16,4,4,4)' '(28,6)' '(4,4)' '(16,4,4,4,4,4)' '(10,3)')
markers=(7 5 9 11 13 15 2 3 6 4 8 10 12 14 1 65)
# Values that several studies have in common look the same in all of them. Others take a free look.
declare -A fixed_look=([dense]=7 [1]=0 [2]=1 [4]=2 [8]=3 [16]=4 [32]=5 [64]=6 [128]=8 [256]=9 [512]=10
  [switch]=3 [SWITCH]=3 [switch-8]=3 [hash]=2 [HASH]=2 [TOP2]=1 [dense-256]=7 [dense-init1]=15 [switch-init1]=11 [hash-init1]=10
  [switch-0.01]=0 [switch-0.02]=1 [switch-0.04]=2 [switch-0.08]=3 [switch-0.25]=4 [switch-0.5]=5 [switch-1.0]=6
  [dense-0.01]=8 [dense-0.02]=9 [dense-0.04]=10 [dense-0.08]=11 [dense-0.25]=12 [dense-0.5]=13 [dense-1.0]=14)
declare -A look_of=()

# The style of an SVG: gnuplot writes a colour in three ways.
dark_style() {
  local pair from to attribute
  echo '<style>image { image-rendering: pixelated } @media (prefers-color-scheme: dark) {'
  for pair in "${dark_colours[@]}"; do
    from=${pair% *} to=${pair#* }
    for attribute in stroke fill color; do
      printf '  [%s="%s" i], [%s="rgb(%3d, %3d, %3d)"], [%s="rgb(%d,%d,%d)"] { %s: %s }\n' "$attribute" "$from" \
        "$attribute" "0x${from:1:2}" "0x${from:3:2}" "0x${from:5:2}" "$attribute" "0x${from:1:2}" "0x${from:3:2}" "0x${from:5:2}" "$attribute" "$to"
    done
  done
  echo '}</style>'
}

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

# key_below TITLE NAME…: sets `key`, a legend below the plot, and `key_height`, its height for a width of 640
# pixels. Its place is fixed, since gnuplot would put it so close to the axis label that its title looked like the
# label's second line.
key_below() {
  local longest=1 name columns rows
  for name in "${@:2}"; do [ "${#name}" -le "$longest" ] || longest=${#name}; done
  # As many as gnuplot finds room for: with fewer it would take more rows, and the last would lie below the picture.
  columns=$((520 / (longest * 8 + 70)))
  [ "$columns" -ge 1 ] || columns=1
  [ "$columns" -le $(($# - 1)) ] || columns=$(($# - 1))
  rows=$((($# - 1 + columns - 1) / columns))
  key_height=$(((rows + (${#1} > 0)) * 22 + 2))
  key="set key at screen 0.5, screen $key_height.0 / whole center top horizontal Left reverse maxcols $columns maxrows $rows samplen 4"
  [ -z "$1" ] || key+=" title $(gnuplot_string "$1") textcolor rgb '$ink'"
}

# No legend: what the picture shows, its axes name.
no_key() { key='unset key' key_height=0; }

# What ticks and the name of an axis take below a plot, in pixels.
axis_height=54

# one_plot PLOT: a script of one plot between the heading and the legend, which key_below or no_key has chosen.
one_plot() {
  printf '%s\n' "set tmargin at screen 1 - (head + 8) / whole; set bmargin at screen ($key_height.0 + $axis_height) / whole" "$key" "$1"
}

# two_plots HEIGHT FIRST SECOND: a script of two plots, one above the other, as high as each other, with the
# legend below both. What FIRST sets holds for SECOND, too.
two_plots() {
  printf '%s\n' "set multiplot; set lmargin 9; set rmargin 3; unset key" \
    "set tmargin at screen 1 - (head + 8) / whole; set bmargin at screen 1 - (head + $1.0 - $axis_height) / whole" "$2" \
    "unset label; $key" \
    "set tmargin at screen 1 - (head + $1.0 + 8) / whole; set bmargin at screen 1 - (head + 2 * $1.0 - $axis_height) / whole" "$3" \
    "unset multiplot"
}

# Room beside the first marker and the last, which would lie on the frame.
side_room='set autoscale xfix; set offsets graph 0.02, graph 0.02, 0, 0'

# Ever lighter with the load, so that it is read without colours, too; most shades are near 1, the fair share.
load_palette="set palette defined (0 '#00224e', 0.5 '#3f4c6b', 1 '#7d7c78', 1.5 '#9f9772', 2 '#bcaf6f', 4 '#fee838')
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
    png) echo "pngcairo size $((2 * $2)),$((2 * $3)) fontscale 2 linewidth 2 pointscale 2.6 font 'DejaVu Sans,9.5' background '#ffffff' dashlength 0.8" ;;
    # By itself gnuplot draws the text of a PDF at two thirds of its size.
    pdf) awk -v w="$2" -v h="$3" 'BEGIN { printf "pdfcairo size %.3fin,%.3fin fontscale 0.75 linewidth 1.5 font \"DejaVu Sans,9.5\" background \"#ffffff\" dashlength 0.8\n", w / 96, h / 96 }' ;;
  esac
}

# wrapped LENGTH TEXT: prints the text in lines of at most LENGTH letters, broken after a semicolon or else at a space.
wrapped() {
  local rest line
  rest=$(printable "$2")
  while [ "${#rest}" -gt "$1" ]; do
    line=${rest:0:$(($1 + 1))}
    case $line in
      *'; '*) line="${line%; *};" ;;
      *' '*) line=${line% *} ;;
      *) line=${line:0:$1} ;;
    esac
    printf '%s\n' "$line"
    rest=${rest:${#line}} rest=${rest# }
  done
  printf '%s\n' "$rest"
}

# heading HEIGHT WHAT HOW: a picture is often seen without its page, so it says itself what it shows, for how many
# seeds and with which budget. Sets `heading`, gnuplot's labels and its variables `head` and `whole`, the height in
# pixels of the heading and of the whole picture; `whole_height` is the latter, for the terminal.
heading() {
  local line at=8 number=0 lines=() small
  mapfile -t lines < <(wrapped 84 "$2")
  small=${#lines[@]}
  mapfile -t -O "$small" lines < <(wrapped 98 "$3")
  heading=''
  for line in "${lines[@]}"; do
    number=$((number + 1))
    heading+="set label $number $(gnuplot_string "$line") at screen 0.02, screen 1 - $((at + (number > small ? 8 : 10))).0 / whole left textcolor rgb '$ink'"
    if [ "$number" -gt "$small" ]; then heading+=' font small_font' at=$((at + 15)); else at=$((at + 20)); fi
    heading+=$'\n'
  done
  head_height=$((at + 6)) whole_height=$((at + 6 + $1))
  heading="head = $head_height.0; whole = $whole_height.0"$'\n'$heading
}

# draw PATH WIDTH HEIGHT WHAT HOW SCRIPT [DESCRIPTION]: writes PATH.svg, PATH.png (at twice the resolution) and
# PATH.pdf, according to `formats`: a heading (WHAT and, smaller, HOW) and HEIGHT pixels below it. gnuplot runs in the
# scratch directory, so SCRIPT can name files there and no path has to be quoted.
draw() {
  local format title written='' heading head_height whole_height
  heading "$3" "$4" "$5"
  for format in "${formats[@]}"; do
    echo "reset"
    echo "set terminal $(terminal_of "$format" "$2" "$whole_height") noenhanced"
    # A size is pixels in an SVG and points elsewhere.
    echo "small_font = '$([ "$format" = svg ] && echo ',11' || echo ',8')'"
    printf '%s\n' "set output 'picture.$format'" "$style" "$heading" "$6" "unset output"
  done >"$work/script"
  (cd "$work" && gnuplot script) 2>"$work/errors" || { cat "$work/errors" >&2; fail 1 "gnuplot failed on $1"; }
  title=$(printable "$(basename -- "$1")" | escaped)
  for format in "${formats[@]}"; do
    if [ "$format" = svg ]; then
      { sed '/<title>/,$d' "$work/picture.svg"; echo "<title>$title</title>"
        echo "<desc>$(printable "${7:-$4. $5.}" | escaped)</desc>"
        dark_style; sed '1,/<desc>/d' "$work/picture.svg"; } >"$work/svg"
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
draw_loads() {  # PATH PREFIX WHAT HOW
  local data experts last=1 panels='' count=0 rows left above
  for data in "$work/$2"encoder*.dat "$work/$2"decoder*.dat; do
    [ -e "$data" ] || continue
    read -r experts last < <(awk '$2 > most { most = $2 } END { print most + 1, $1 }' "$data")
    rows=$((count / 2)) left=$((count % 2 * 320)) above=$((rows * 216))
    panels+="set lmargin at screen ($left + 62.0) / 640; set rmargin at screen ($left + 258.0) / 640
set tmargin at screen 1 - (head + $above + 40.0) / whole; set bmargin at screen 1 - (head + $above + 216.0 - $axis_height) / whole
set title '$(basename "$data" .dat | sed 's/\.block\./ block /')'
set ytics $([ "$experts" -le 4 ] && echo 1 || tick "$experts" 5)
plot [] [-0.5:$experts-0.5] '$2$(basename "$data")' using 1:2:3 with image notitle
unset label
"
    count=$((count + 1))
  done
  [ "$count" -gt 0 ] || return 0
  rows=$((rows + 1))
  draw "$1" 640 $((rows * 216)) "$3" "$4" "set xlabel 'step'; set ylabel 'expert'; unset grid; set border 15
$load_palette; set autoscale xfix; set xtics $(tick "$last" 3)
set multiplot
${panels}unset multiplot"
}
