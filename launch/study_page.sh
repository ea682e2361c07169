#!/usr/bin/env bash
# A study's pictures and its page, for study.sh, which sources this, after write_table: one gnuplot
# picture a question, as SVG and PNG beside the table, and NAME.html, which holds all of them.
# Reads the table's files and the curves; computes no figure that the table has not.
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/common.sh"; show_help; }

pictures=()  # drawn ones, in the page's order: "FILE caption"
loss_label='validation loss (nats a target token)'

picture() {  # FILE WIDTH HEIGHT CAPTION SCRIPT
  draw "$output/$1" "$2" "$3" "$5"
  pictures+=("$1 $4")
}

colour_of() {  # VALUE
  local i
  for i in "${!values[@]}"; do [ "${values[$i]}" != "$1" ] || echo "${palette[$((i % ${#palette[@]}))]}"; done
}

# For each value the mean of its seeds' curves, at the steps at which all of them were evaluated:
# step, seconds, loss, loss below the baseline's at this step and at this time. These two are of the same
# seeds wherever they are given, those that the baseline has too: seeds that drop out would bend a curve.
# Claimed seeds alone count, as in the table.
mean_curves() {
  prefix=$work/mean- awk -v baseline="$baseline" -v claim="${study[claim]:-}" '
    BEGIN { prefix = ENVIRON["prefix"]; split(claim, list, " "); for (i in list) claims[list[i]] = 1 }
    { r = $1 SUBSEP $2; i = ++points[r]; step[r, i] = $3; second[r, i] = $4; at[r, i] = $5; at_step[r, $3] = $5
      if (i == 1) { every[$1]++; of[$1, every[$1]] = r; seed[r] = $2; if ($2 in claims) claimed[$1] = 1 } }
    function at_time(r, time,   i) {
      for (i = 2; i <= points[r]; i++) if (second[r, i] >= time && second[r, i - 1] <= time)
        return at[r, i - 1] + (time - second[r, i - 1]) / (second[r, i] - second[r, i - 1]) * (at[r, i] - at[r, i - 1])
      return "" }
    END { for (v in every) { runs = shared = 0
      for (k = 1; k <= every[v]; k++) { r = of[v, k]; if ((v in claimed) && !(seed[r] in claims)) continue
        run[++runs] = r; if ((baseline SUBSEP seed[r]) in points) shared++ }
      first = run[1]
      for (i = 1; i <= points[first]; i++) { s = step[first, i]; all = 1; time = loss = by_step = by_time = pairs = timed = 0
        for (k = 1; k <= runs; k++) { r = run[k]; b = baseline SUBSEP seed[r]
          if (!((r, s) in at_step)) { all = 0; break }
          for (j = 1; step[r, j] != s; j++); time += second[r, j]; loss += at[r, j]
          if ((b, s) in at_step) { by_step += at_step[b, s] - at[r, j]; pairs++ }
          if ((other = at_time(b, second[r, j])) != "") { by_time += other - at[r, j]; timed++ } }
        if (all) print s, time / runs, loss / runs, (pairs && pairs == shared ? by_step / pairs : "nan"),
          (timed && timed == shared ? by_time / timed : "nan") > (prefix v) } } }' "$curves"
}

# A line a value out of mean_curves' columns X and Y, where it has any figure in Y.
lines() {
  local value plot=
  for value in "${values[@]}"; do
    if [ ! -s "$work/mean-$value" ] || [ "$value" = "${3:-}" ]; then continue; fi
    awk -v y="$2" '$y != "nan" { found = 1 } END { exit !found }' "$work/mean-$value" || continue
    plot+="'mean-$value' using ($1):$2 with linespoints pt 7 ps 0.35 lw 2 lc rgb '$(colour_of "$value")' title '$value', "
  done
  echo "${plot%, }"
}

# A distance of ticks at which at most six fit onto an axis from 0 to N: 1, 2 or 5 times a power of ten.
tick_distance() {
  awk -v most="$1" 'BEGIN { for (t = 1; ; t *= 10) for (m = 1; m <= 5; m += m == 1 ? 1 : 3) if (t * m * 5 >= most) { print t * m; exit } }'
}

draw_curves() {
  # What all runs fall through in the first tenth would press the rest into a line.
  local top key
  top=$(awk '{ if ($3 > last[$1 " " $2]) last[$1 " " $2] = $3; n++; s[n] = $3; r[n] = $1 " " $2; l[n] = $5 }
    END { for (i = 1; i <= n; i++) if (s[i] > last[r[i]] / 10 && l[i] > top) top = l[i]; print top }' "$curves")
  key="set key top right title $(gnuplot_string "$label") textcolor rgb '$ink'; set yrange [*:$top]"
  picture loss-by-step 640 400 "Validation loss by step, mean over seeds." "$key
set xlabel 'step'; set ylabel '$loss_label'
plot $(lines '$1' 3)"
  picture loss-by-time 640 400 "Validation loss by training time, mean over seeds; evaluations and saving are not counted." "$key
set xlabel 'training time (minutes)'; set ylabel '$loss_label'
plot $(lines '$2/60' 3)"
  [ -n "$(lines '$1' 4 "$baseline")" ] || return 0
  key="set key outside right top title $(gnuplot_string "$label") textcolor rgb '$ink'; set xzeroaxis lc rgb '$ink' lw 1.5"
  picture gain-by-step 640 400 "How far the validation loss lies below that of $baseline at the same step; above 0 is better." "$key
set xtics $(tick_distance "$(awk '$3 > most { most = $3 } END { print most }' "$curves")"); set xlabel 'step'; set ylabel 'validation loss below $baseline (nats)'
plot $(lines '$1' 4 "$baseline")"
  # Of one evaluation a run there is no equal time.
  [ -n "$(lines '$2/60' 5 "$baseline")" ] || return 0
  picture gain-by-time 640 400 "The same at equal training time." "$key
set xlabel 'training time (minutes)'; set ylabel 'validation loss below $baseline (nats)'
plot $(lines '$2/60' 5 "$baseline")"
}

# Means over seeds with their deviations, and each run as a small point.
draw_losses() {
  awk -F, -v order="${values[*]}" 'BEGIN { n = split(order, v, " "); for (i = 1; i <= n; i++) place[v[i]] = i - 1 }
    NR > 1 && $8 != "" && $4 == "finished" { print place[$2], -$8, ($17 == "" ? "nan" : $17 / 1e6), 1000 * $7 / $5, $19, $12, $2 }' "$csv" >"$work/runs"
  awk -F'\t' -v order="${values[*]}" 'BEGIN { n = split(order, v, " "); for (i = 1; i <= n; i++) place[v[i]] = i - 1 }
    { print place[$1], $4, $5 + 0, ($3 == "" ? "nan" : $3 / 1e6), $16, $1, ($10 == "" ? "nan" : $10), $11 + 0, ($12 == "" ? "nan" : $12), $13 + 0 }' "$work/summary" >"$work/means"
  [ -s "$work/means" ] || return 0
  local value rates='' tics bars each
  tics="set xtics ($(for i in "${!values[@]}"; do printf "%s'%s' %d" "$([ "$i" -eq 0 ] || echo ', ')" "${values[$i]}" "$i"; done)); set xrange [-0.5:${#values[@]}-0.5]"
  bars="with yerrorbars pt 7 ps 0.7 lw 2 lc rgb '${palette[0]}' title 'mean ± deviation over seeds'"
  each="pt 7 ps 0.35 lc rgb '${palette[1]}' title 'a run'"
  picture loss-by-value 640 400 "Final validation loss: means over seeds with standard deviations, and every run beside them." "$tics
set key top right; set xlabel $(gnuplot_string "$label"); set ylabel '$loss_label'
plot 'means' using 1:2 with lines lw 1 lc rgb '${palette[0]}' notitle, '' using 1:2:3 $bars, 'runs' using (\$1+0.12):2 with points $each"
  if [ "$(awk '$4 != "nan" && !seen[$4]++' "$work/means" | wc -l)" -gt 1 ]; then
    picture loss-by-parameters 640 400 "Final validation loss against all parameters of the model (logarithmic)." "set key outside top center; set logscale x
$(spread_ticks 4)
set xlabel 'parameters (millions)'; set ylabel '$loss_label'; set offsets 0, 0, graph 0.08, graph 0.05
plot 'means' using 4:2:3 $bars, '' using 4:2:6 with labels offset char 1.2,0.7 left textcolor rgb '$ink' notitle"
  fi
  picture loss-by-step-time 640 400 "Final validation loss against the time of a step: what lies lower and further left is better." "set key outside top center
set xlabel 'time of a step (ms)'; set ylabel '$loss_label'; set offsets graph 0.08, graph 0.12, graph 0.08, graph 0.05
plot 'means' using 5:2:3 $bars, '' using 5:2:6 with labels offset char 1.2,0.7 left textcolor rgb '$ink' notitle"
  if awk -v b="$baseline" '$6 != b && ($7 != "nan" || $9 != "nan") { found = 1 } END { exit !found }' "$work/means"; then
    picture speed-up 640 400 "Steps (training time) of $baseline / those after which a run has its final loss. 1 is as fast; a value without a point has not reached it with every seed." "$tics
set key top left; set xlabel $(gnuplot_string "$label"); set ylabel 'speed-up to the loss of $baseline'; set yrange [0:*]; set offsets 0, 0, graph 0.15, 0
plot 1 with lines lw 1.5 lc rgb '$ink' notitle, 'means' using (\$1-0.08):7:8 with yerrorbars pt 7 ps 0.8 lw 2 lc rgb '${palette[0]}' title 'in steps', \
  '' using (\$1+0.08):9:10 with yerrorbars pt 5 ps 0.7 lw 2 lc rgb '${palette[1]}' title 'in time'"
  fi
  if [ "$(awk '!seen[$5]++' "$work/runs" | wc -l)" -gt 1 ]; then
    for value in "${values[@]}"; do
      awk -v value="$value" '$7 == value' "$work/runs" >"$work/rates-$value"
      [ ! -s "$work/rates-$value" ] || rates+="'rates-$value' using 5:(\$6/1000) with points pt 7 ps 0.8 lc rgb '$(colour_of "$value")' title '$value', "
    done
    picture throughput 640 400 "Tokens a second against processes, median over the steps of each run." "set key outside right top title $(gnuplot_string "$label") textcolor rgb '$ink'
set xrange [0:*]; set yrange [0:*]; set xtics 1; set xlabel 'processes'; set ylabel 'thousand tokens a second'; set offsets 0, 0.5, graph 0.1, 0
plot ${rates%, }"
  fi
}

# Ticks and range of a logarithmic axis: the means' own figures in this column, as far as they lie apart.
spread_ticks() {
  sort -g -k "$1,$1" "$work/means" | awk -v c="$1" '$c != "nan" && (last == "" || $c > last * 1.25) {
    if (first == "") first = $c; text = text (text == "" ? "" : ", ") sprintf("\"%.3g\" %s", $c, $c); last = $c }
    $c != "nan" { end = $c }
    END { printf "set xtics (%s); set xrange [%g:%g]\n", text, first * (first / end) ^ 0.08, end * (end / first) ^ 0.2 }'
}

# Drops, imbalance and loads of each value's first run that has experts.
draw_routing() {
  local value seed drops='' imbalance=''
  for value in "${values[@]}"; do
    seed=$(awk -F, -v value="$value" '$2 == value && $13 != "" { print $3; exit }' "$csv")
    [ -n "$seed" ] || continue
    smooth $(($(wc -l <"$work/$value-$seed.dat") / 100 + 1)) <"$work/$value-$seed.dat" >"$work/routing-$value"
    drops+="'routing-$value' using 1:5 with lines lw 1.5 lc rgb '$(colour_of "$value")' title '$value', "
    imbalance+="'routing-$value' using 1:6 with lines lw 1.5 lc rgb '$(colour_of "$value")' title '$value', "
  done
  [ -n "$drops" ] || return 0
  local key
  key="set key top right title $(gnuplot_string "$label") textcolor rgb '$ink'; set xlabel 'step'"
  picture dropped 640 400 "Share of tokens whose expert was full, mean over a hundredth of the run; first seed." "$key
set ylabel 'dropped tokens (%)'; set yrange [0:*]
plot ${drops%, }"
  picture imbalance 640 400 "Tokens of the busiest expert / mean over experts; first seed." "$key
set ylabel 'tokens of the busiest expert / mean'; set yrange [1:*]
plot ${imbalance%, }"
  for value in "${values[@]}"; do
    seed=$(awk -F, -v value="$value" '$2 == value && $13 != "" && $14 > 1 { print $3; exit }' "$csv")
    [ -n "$seed" ] || continue
    mkdir -p "$work/loads-$value"
    loads 100 "loads-$value/" <"$runs/$value-seed$seed/metrics.jsonl"
    draw_loads "$output/load-$value" "loads-$value/"
    [ ! -f "$output/load-$value.svg" ] || pictures+=("load-$value Expert load over time, $label $value, seed $seed: tokens that wanted an expert / its fair share.")
  done
}

draw_study() {
  command -v gnuplot >/dev/null || fail 69 "gnuplot is not installed; run launch/install_dependencies.sh"
  # What an earlier drawing left would seem to be of these runs.
  rm -f "$output"/{loss-by-{step,time,value,parameters,step-time},gain-by-{step,time},speed-up,throughput,dropped,imbalance,load-*}.{svg,png}
  mean_curves
  draw_curves
  draw_losses
  draw_routing
}

# All that a reader needs in one file: no script, nothing fetched.
write_page() {
  local entry
  {
    cat <<HTML
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$(printable "$title" | escaped)</title>
<style>
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ddd }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --paper: #16191d; --line: #444a52 } }
body { font: 15px/1.5 "DejaVu Sans", sans-serif; color: var(--ink); background: var(--paper); margin: 2em auto; padding: 0 1em; max-width: 1340px }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: 12px }
th, td { border-bottom: 1px solid var(--line); padding: .3em .4em; text-align: right; vertical-align: bottom } th { font-weight: 600 }
th:first-child, td:first-child { text-align: left } td { white-space: nowrap }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(600px, 100%), 1fr)); gap: 1.5em }
figure { margin: 0 } figure svg { width: 100%; height: auto } figcaption { font-size: 12px }
</style></head><body>
<h1>$(printable "$title" | escaped)</h1>
HTML
    echo '<div class="wide"><table>'
    table_cells | escaped | awk -F'\t' '{ tag = NR == 1 ? "th" : "td"; printf "<tr>"
      for (i = 1; i <= NF; i++) printf "<%s>%s</%s>", tag, $i, tag; print "</tr>" }'
    echo '</table></div><ul>'
    notes | escaped | sed 's/.*/<li>&<\/li>/'
    echo '</ul><main>'
    for entry in "${pictures[@]}"; do
      echo '<figure>'
      # The identifiers of one picture must not be those of another.
      sed -E "1d; s/ id=(['\"])/ id=\1${entry%% *}-/g; s/href='#/href='#${entry%% *}-/g; s/url\(#/url(#${entry%% *}-/g" "$output/${entry%% *}.svg"
      echo "<figcaption>$(escaped <<<"${entry#* }")</figcaption></figure>"
    done
    echo "</main><h2>Runs</h2><div class=\"wide\"><pre>$(escaped <"$published")</pre></div></body></html>"
  } >"$output/$name.html" || fail 73 "cannot write to $output"
  tell "$output/$name.html"
}
