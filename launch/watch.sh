#!/usr/bin/env bash
# A live view of a run in a terminal: loss curve, expert load, speed, time left.
#   launch/watch.sh [--once] RUN      q or Ctrl-C quits; the run continues
# Reads only files that the run writes anyway. Without a terminal, or with --once, it prints one
# view.
set -euo pipefail
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/common.sh"
. "$here/figures.sh"

usage="usage: launch/watch.sh [--once] RUN"
once='' run=''
for argument in "$@"; do
  case "$argument" in
    --once) once=1 ;;
    -h | --help) show_help ;;
    -*) fail 64 "unknown argument '$argument'; $usage" ;;
    *) [ -z "$run" ] || fail 64 "one RUN at a time, not also '$argument'"
       run=${argument%/} ;;
  esac
done
[ -n "$run" ] || fail 64 "$usage"
[ -f "$run/config.textproto" ] || fail 66 "$run is not a run: it has no config.textproto"
command -v gnuplot >/dev/null || fail 69 "gnuplot is not installed; run launch/install_dependencies.sh"
if [ ! -t 0 ] || [ ! -t 1 ]; then once=1; fi
make_work_directory
name=$(printable "$run")

# Each record is read once: `seen` is how many bytes of metrics.jsonl are in `rows`, `counted` the
# last complete line with the tokens of each expert, which not every record has. If a resumed run
# truncates the file, it is read again from the start.
seen=0
: >"$work/rows"
: >"$work/counted"
read_new() {
  local size whole
  size=$(stat -c %s "$run/metrics.jsonl" 2>/dev/null || echo 0)
  if [ "$size" -lt "$seen" ]; then seen=0; : >"$work/rows"; : >"$work/counted"; fi
  [ "$size" -gt "$seen" ] || return 0
  tail -c +$((seen + 1)) "$run/metrics.jsonl" | head -c $((size - seen)) >"$work/new"
  whole=$(wc -l <"$work/new")
  [ "$whole" -gt 0 ] || return 0
  head -n "$whole" "$work/new" >"$work/lines"
  seen=$((seen + $(stat -c %s "$work/lines")))
  if grep '"moe/tokens_per_expert"' "$work/lines" >"$work/new"; then tail -n 1 "$work/new" >"$work/counted"; fi
  columns <"$work/lines" >>"$work/rows"
}

clock() { printf '%d:%02d:%02d' $(($1 / 3600)) $(($1 / 60 % 60)) $(($1 % 60)); }

# Two lines: the progress of the run, and its last steps; rates are medians over the last 50.
figures() {
  local steps step minutes loss eval dropped imbalance ms rate left age
  steps=$(awk '/^ *train *\{/ { inside = 1 } /^\}/ { inside = 0 } inside && $1 == "steps:" { print $2; exit }' "$run/config.textproto")
  read -r step minutes loss dropped imbalance < <(tail -n 1 "$work/rows" | awk '{ print $1, $2, $3, $5, $6 }')
  eval=$(awk '$4 != "nan" { e = $4; s = $1 } END { if (s) printf "%.4f after step %d", e, s; else print "none yet" }' "$work/rows")
  read -r ms rate < <(tail -n 50 "$work/rows" | sort -g -k 7,7 | awk '$7 != "nan" { ms[++n] = $7; rate[n] = $8 } END { m = int((n + 1) / 2); printf "%.0f %.1f\n", ms[m], rate[m] / 1000 }')
  # The comparison is in parentheses because `printf "…", a > b` would write to a file.
  left=$(awk -v n=$((steps - step)) -v ms="$ms" 'BEGIN { s = n * ms / 1000; printf "%.0f", (s > 0 ? s : 0) }')
  age=$(($(date +%s) - $(stat -c %Y "$run/metrics.jsonl" 2>/dev/null || date +%s)))
  [ "$age" -ge 0 ] || age=0  # the other host's clock may be ahead
  printf '%s: step %s of %s, %s min of training' "$name" "$step" "$steps" "$(printf '%.1f' "$minutes")"
  if [ "$step" -ge "$steps" ]; then printf ', done\n'; else printf ', %s left; last step %s ago\n' "$(clock "$left")" "$(clock "$age")"; fi
  printf 'loss %.4f   validation %s   %s ms per step   %s k tokens/s' "$loss" "$eval" "$ms" "$rate"
  [ "$dropped" = nan ] || printf '   dropped %.2f%%   busiest expert %.2fx' "$dropped" "$imbalance"
  echo
}

curve() {  # WIDTH HEIGHT
  smooth $(($(wc -l <"$work/rows") / 200 + 1)) <"$work/rows" >"$work/smooth"
  local top colour=mono colours
  top=$(awk '{ s[NR] = $1; loss[NR] = $3 } END { for (i = 1; i <= NR; i++) if (20 * s[i] >= s[NR] && loss[i] > top) top = loss[i]; print top }' "$work/smooth")
  if [ -z "$once" ]; then
    colours=$(tput colors 2>/dev/null || echo 0)
    if [ "$colours" -ge 256 ]; then colour=ansi256; elif [ "$colours" -ge 8 ]; then colour=ansi; fi
  fi
  (cd "$work" && gnuplot 2>/dev/null) <<GNUPLOT || echo "(too few steps for a curve)"
set terminal dumb size $1,$2 $colour
set datafile missing 'nan'; set tics nomirror; set border 3; set key outside bottom center horizontal
set title 'cross-entropy (nats per target token) by step'
plot [] [*:$top] 'smooth' using 1:3 with points pt '.' lc rgb 'blue' title 'training', 'rows' using 1:4 with points pt 'O' lc rgb 'red' title 'validation'
GNUPLOT
}

# One bar per expert, one line per layer: full height is twice an equal share. At most WIDTH
# characters.
bars() {  # WIDTH
  awk -v width="$1" "$awk_number"'
    BEGIN { split("▁ ▂ ▃ ▄ ▅ ▆ ▇ █", bar, " ") }
    { rest = $0
      while (match(rest, /\{"layer": *"[^"]*", *"tokens": *\[[^]]*\]/)) {
        entry = substr(rest, RSTART, RLENGTH); rest = substr(rest, RSTART + RLENGTH)
        split(entry, quoted, "\""); sub(/.*\[/, "", entry); sub(/\]/, "", entry); n = split(entry, tokens, ",")
        if (!heading++) print "tokens per expert in step " number("step") ", one bar per expert: ▄ is the fair share, █ twice or more"
        sum = 0; for (e = 1; e <= n; e++) sum += tokens[e]
        line = ""; for (e = 1; e <= n && e <= width - 20; e++) {
          level = sum ? int(tokens[e] * n / sum * 4 + 0.5) : 0; line = line (tokens[e] == 0 ? "." : bar[level < 1 ? 1 : level > 8 ? 8 : level]) }
        printf "  %-17s %s\n", quoted[4], line } }' "$work/counted"
}

# cut_lines WIDTH < text: truncates lines that a terminal would wrap.
cut_lines() {
  local line
  while IFS= read -r line; do
    [ -n "$once" ] || line=${line:0:$1}
    printf '%s\n' "$line"
  done
}

view() {  # WIDTH HEIGHT
  local layers
  if [ ! -s "$work/rows" ]; then echo "$name: no step yet"; return; fi
  figures | cut_lines "$1"
  layers=$(bars "$1" | cut_lines "$1" | tee "$work/bars" | wc -l)
  curve "$1" $(($2 - layers - 4 > 10 ? $2 - layers - 4 : 10))
  cat "$work/bars"
}

if [ -n "$once" ]; then
  read_new
  view "${COLUMNS:-100}" "${LINES:-32}"
  exit 0
fi

# Ignores what the terminal cannot do: tmux and screen, for example, have no command to cut off wide
# lines.
terminal() { tput "$@" 2>/dev/null || true; }

restore() { terminal cnorm; terminal smam; terminal rmcup; rm -rf -- "$work"; }

show_screen() {
  local height width
  read -r height width < <(stty size 2>/dev/null || echo 24 80)
  [ "$height" -gt 0 ] || height=24
  [ "$width" -gt 0 ] || width=80
  view "$width" $((height - 1)) >"$work/screen"
  terminal home
  head -n $((height - 1)) "$work/screen" | WIPE=$(terminal el) awk '{ print $0 ENVIRON["WIPE"] }'
  printf 'q quits; the run goes on'
  terminal ed
}

trap restore EXIT
trap 'exit 0' INT TERM HUP
terminal smcup
terminal civis
terminal rmam
while :; do
  read_new
  show_screen
  if read -rsn 1 -t 2 key; then
    [ "$key" != q ] || break
  elif [ $? -le 128 ]; then
    break  # the terminal is gone
  fi
done
