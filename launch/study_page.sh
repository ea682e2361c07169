#!/usr/bin/env bash
# The pictures and the page of a study, for study.sh, which sources this after write_table: one
# gnuplot picture per question, as SVG, PNG and PDF next to the table, and NAME.html, which contains
# all of them. Reads the table's files and the curves; every figure it shows is in the table.
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/common.sh"; show_help; }

pictures=()  # drawn ones, in the page's order: "FILE caption"
loss_label='validation loss (nats per target token)'

picture() {  # FILE WIDTH HEIGHT CAPTION SCRIPT
  draw "$output/$1" "$2" "$3" "$5" "$title: $4"
  pictures+=("$1 $4")
}

# Sets `scope`, for captions: how many seeds and which budget the pictures show.
find_scope() {
  local least most
  read -r least most < <(awk -F'\t' '{ n = split($2, list, " "); if (least == "" || n < least) least = n; if (n > most) most = n }
    END { print least + 0, most + 0 }' "$work/summary")
  scope="$least to $most seeds a value"
  [ "$least" != "$most" ] || scope="$most seeds a value"
  [ "$most" -gt 1 ] || scope="one seed a value"
  scope+=", $(budget) per run"
}

# The budget in words, with the number of tokens if it is the same for all finished runs.
budget() {
  if [ -n "$budget_minutes" ]; then echo "$budget_minutes minutes of training"; return; fi
  awk -F, -v steps="$budget_steps" 'NR > 1 && $5 > most { most = $5; tokens = $6 }
    END { if (most != "") steps = most
      printf "%s steps", steps; if (tokens) printf (tokens < 1e5 ? " (%.0f tokens)" : " (%.3g million tokens)"), (tokens < 1e5 ? tokens : tokens / 1e6) }' "$csv"
}

# Writes mean-VALUE for each value, the mean of its seeds' curves at the steps at which all of them
# were evaluated: step, seconds, loss, and the loss below the baseline's at this step and at this
# time. Each of the last two uses the same seeds at all points, those that the baseline has too,
# since a curve would bend where seeds drop out. As in the table, only claimed seeds count. With
# several seeds, also writes seeds-VALUE, the curve of each seed, separated by blank lines; and
# band-VALUE: step, seconds, then the minimum and maximum over seeds of the loss at this step, of
# its difference to the baseline's, and of both at this time.
mean_curves() {
  prefix=$work/mean- band=$work/band- seeds=$work/seeds- awk -v baseline="$baseline" -v claim="${study[claim]:-}" '
    BEGIN { prefix = ENVIRON["prefix"]; band_prefix = ENVIRON["band"]; seeds_prefix = ENVIRON["seeds"]; split(claim, list, " "); for (i in list) claims[list[i]] = 1 }
    { r = $1 SUBSEP $2; i = ++points[r]; step[r, i] = $3; second[r, i] = $4; at[r, i] = $5; at_step[r, $3] = $5
      if (i == 1) { every[$1]++; of[$1, every[$1]] = r; seed[r] = $2; if ($2 in claims) claimed[$1] = 1 } }
    function at_time(r, time,   i) {
      for (i = 2; i <= points[r]; i++) if (second[r, i] >= time && second[r, i - 1] <= time)
        return at[r, i - 1] + (time - second[r, i - 1]) / (second[r, i] - second[r, i - 1]) * (at[r, i] - at[r, i - 1])
      return "" }
    function below(other, own) { return other == "" ? "nan" : other - own }
    function span(x) { if (x == "nan" || x == "") gap = 1; else { if (low == "" || x < low) low = x; if (high == "" || x > high) high = x } }
    function spanned(   text) { text = gap || low == "" ? " nan nan" : " " low " " high; low = high = ""; gap = 0; return text }
    function write_seeds(v,   k, r, b, i, file) { file = seeds_prefix v
      for (k = 1; k <= runs; k++) { r = run[k]; b = baseline SUBSEP seed[r]
        for (i = 1; i <= points[r]; i++)
          print step[r, i], second[r, i], at[r, i], ((b, step[r, i]) in at_step ? at_step[b, step[r, i]] - at[r, i] : "nan"), below(at_time(b, second[r, i]), at[r, i]) > file
        print "" > file } }
    function band_line(s, time,   k, r, b, own, line) { line = s " " time
      for (k = 1; k <= runs; k++) span(at_step[run[k], s]); line = line spanned()
      for (k = 1; k <= runs; k++) { b = baseline SUBSEP seed[run[k]]; span((b, s) in at_step ? at_step[b, s] - at_step[run[k], s] : "nan") } line = line spanned()
      for (k = 1; k <= runs; k++) span(at_time(run[k], time)); line = line spanned()
      for (k = 1; k <= runs; k++) { own = at_time(run[k], time); span(own == "" ? "nan" : below(at_time(baseline SUBSEP seed[run[k]], time), own)) }
      return line spanned() }
    END { for (v in every) { runs = shared = 0
      for (k = 1; k <= every[v]; k++) { r = of[v, k]; if ((v in claimed) && !(seed[r] in claims)) continue
        run[++runs] = r; if ((baseline SUBSEP seed[r]) in points) shared++ }
      first = run[1]
      if (runs > 1) write_seeds(v)
      for (i = 1; i <= points[first]; i++) { s = step[first, i]; all = 1; time = loss = by_step = by_time = pairs = timed = 0
        for (k = 1; k <= runs; k++) { r = run[k]; b = baseline SUBSEP seed[r]
          if (!((r, s) in at_step)) { all = 0; break }
          for (j = 1; step[r, j] != s; j++); time += second[r, j]; loss += at[r, j]
          if ((b, s) in at_step) { by_step += at_step[b, s] - at[r, j]; pairs++ }
          if ((other = at_time(b, second[r, j])) != "") { by_time += other - at[r, j]; timed++ } }
        if (all) print s, time / runs, loss / runs, (pairs && pairs == shared ? by_step / pairs : "nan"),
          (timed && timed == shared ? by_time / timed : "nan") > (prefix v)
        if (all && runs > 1) print band_line(s, time / runs) > (band_prefix v) } } }' "$curves"
}

# has_figures FILE COLUMN: whether there is any point, since gnuplot fails on a curve without
# points.
has_figures() { [ -s "$1" ] && awk -v y="$2" 'NF && $y != "nan" { found = 1 } END { exit !found }' "$1"; }

# One line per value from columns X and Y of mean_curves, if Y has any figure. With several seeds,
# below it the band between their minimum and maximum, and each seed as a thin line.
lines() {
  local value bands='' thin='' means='' low paint
  case "$1:$2" in '$1:3') low=3 ;; '$1:4') low=5 ;; *:3) low=7 ;; *) low=9 ;; esac
  for value in "${values[@]}"; do
    [ "$value" != "${3:-}" ] && has_figures "$work/mean-$value" "$2" || continue
    paint=$(look "${look_of[$value]:-0}")
    means+="'mean-$value' using ($1):$2 with linespoints lw 2 $paint ps 0.9 pointinterval $(($(wc -l <"$work/mean-$value") / 20 + 1)) title '$value', "
    if has_figures "$work/band-$value" "$low"; then
      bands+="'band-$value' using ($1):$low:$((low + 1)) with filledcurves fs transparent solid 0.16 noborder ${paint%% dt *} notitle, "
    fi
    if has_figures "$work/seeds-$value" "$2"; then
      thin+="'seeds-$value' using ($1):$2 with lines lw 0.6 ${paint%% dt *} notitle, "
    fi
  done
  means=$bands$thin$means
  echo "${means%, }"
}

# A distance between ticks such that at most six fit onto an axis from 0 to N: 1, 2 or 5 times a
# power of ten.
tick_distance() {
  awk -v most="$1" 'BEGIN { for (t = 1; ; t *= 10) for (m = 1; m <= 5; m += m == 1 ? 1 : 3) if (t * m * 5 >= most) { print t * m; exit } }'
}

draw_curves() {
  # The fall of all runs in their first tenth would compress the rest of the plot, so the axis ends
  # slightly above the rest. All digits are kept, since rounding down would hide the point of a run
  # with one evaluation.
  local top seeds height
  top=$(awk '{ if ($3 > last[$1 " " $2]) last[$1 " " $2] = $3; n++; s[n] = $3; r[n] = $1 " " $2; l[n] = $5 }
    END { for (i = 1; i <= n; i++) if (s[i] > last[r[i]] / 10 && l[i] > top) top = l[i]; printf "%.10g\n", top * 1.002 }' "$curves")
  seeds="mean over seeds; where a value has several, each is a thin line and the band reaches from the least to the most. $scope."
  key_below "$label" "${values[@]}"
  height=$((380 + key_height))
  picture loss-by-step 640 $height "Validation loss by step: $seeds" "$key; set yrange [*:$top]
set xlabel 'step'; set ylabel '$loss_label'
plot $(lines '$1' 3)"
  picture loss-by-time 640 $height "Validation loss by training time (evaluations and saving are not counted): $seeds" "$key; set yrange [*:$top]
set xlabel 'training time (minutes)'; set ylabel '$loss_label'
plot $(lines '$2/60' 3)"
  [ -n "$(lines '$1' 4 "$baseline")" ] || return 0
  key+="; set xzeroaxis lc rgb '$ink' lw 1.5"
  picture gain-by-step 640 $height "How far the validation loss lies below that of $baseline with the same seed at the same step; above 0 is better: $seeds" "$key
set xtics $(tick_distance "$(awk '$3 > most { most = $3 } END { print most }' "$curves")"); set xlabel 'step'; set ylabel 'validation loss below $baseline (nats)'
plot $(lines '$1' 4 "$baseline")"
  # With one evaluation per run there is no equal time to compare at.
  [ -n "$(lines '$2/60' 5 "$baseline")" ] || return 0
  picture gain-by-time 640 $height "The same at equal training time: $seeds" "$key
set xlabel 'training time (minutes)'; set ylabel 'validation loss below $baseline (nats)'
plot $(lines '$2/60' 5 "$baseline")"
}

# Ticks that show the values' names, rotated if they would overlap.
value_ticks() {
  local i list='' length=0
  for i in "${!values[@]}"; do
    list+="${list:+, }'${values[$i]}' $i"
    length=$((length + ${#values[$i]} + 2))
  done
  echo "set xtics $([ "$length" -le 64 ] || echo 'rotate by 35 right') ($list); set xrange [-0.5:${#values[@]}-0.5]"
}

# One mean with its deviation per value, each with its look: column X of the means against the loss.
points() {
  local i value plot=''
  for i in "${!values[@]}"; do
    value=${values[$i]}
    awk -v i="$i" -v x="$1" '$1 == i && $x != "nan" { found = 1 } END { exit !found }' "$work/means" || continue
    plot+="'means' using (\$1 == $i ? \$$1 : NaN):2:3 with yerrorbars lw 2 ps 1 $(look "${look_of[$value]}" | sed 's/dt .* pt/dt 1 pt/') title '$value', "
  done
  echo "${plot%, }"
}

# Computes means over seeds with their deviations, and each run as a small point.
find_means() {
  awk -F, -v order="${values[*]}" 'BEGIN { n = split(order, v, " "); for (i = 1; i <= n; i++) place[v[i]] = i - 1 }
    NR > 1 && $8 != "" && $4 == "finished" { print place[$2], -$8, ($17 == "" ? "nan" : $17 / 1e6), 1000 * $7 / $5, $19, $12, $2 }' "$csv" >"$work/runs"
  awk -F'\t' -v order="${values[*]}" 'BEGIN { n = split(order, v, " "); for (i = 1; i <= n; i++) place[v[i]] = i - 1 }
    { print place[$1], $4, $5 + 0, ($3 == "" ? "nan" : $3 / 1e6), $16, $1, ($10 == "" ? "nan" : $10), $11 + 0, ($12 == "" ? "nan" : $12), $13 + 0,
      ($1 ~ /^[0-9.]+$/ ? $4 : "nan") }' "$work/summary" >"$work/means"
}

draw_losses() {
  local ticks bars each each_value key_height key between=''
  find_means
  [ -s "$work/means" ] || return 0
  # Points are joined by a line if the values are numbers, not if they are names.
  ! has_figures "$work/means" 11 || between="'means' using 1:11 with lines lw 1 lc rgb '${palette[0]}' notitle, "
  ticks=$(value_ticks)
  bars="with yerrorbars pt 7 ps 0.8 lw 2 lc rgb '${palette[0]}' title 'mean ± deviation over seeds'"
  each="pt 6 ps 0.7 lc rgb '${palette[1]}' title 'a run'"
  key_below '' 'mean ± deviation over seeds' 'a run'
  picture loss-by-value 640 $((400 + key_height)) "Final validation loss: means over seeds with standard deviations, and every run beside them. $scope." "$key
$ticks; set xlabel $(gnuplot_string "$label"); set ylabel '$loss_label'; set offsets 0, 0, graph 0.05, graph 0.05
plot $between'means' using 1:2:3 $bars, 'runs' using (\$1+0.12):2 with points $each"
  key_below "$label" "${values[@]}"
  each_value=$((380 + key_height))
  if [ "$(awk '$4 != "nan" && !seen[$4]++' "$work/means" | wc -l)" -gt 1 ]; then
    picture loss-by-parameters 640 $each_value "Final validation loss against all parameters of the model (logarithmic), means ± standard deviations over seeds. $scope." "$key; set logscale x
$(spread_ticks 4)
set xlabel 'parameters (millions)'; set ylabel '$loss_label'; set offsets 0, 0, graph 0.05, graph 0.05
plot $(points 4)"
  fi
  picture loss-by-step-time 640 $each_value "Final validation loss against the time of a step, means ± standard deviations over seeds: what lies lower and further left is better. $scope." "$key
set xlabel 'time of a step (ms)'; set ylabel '$loss_label'; set offsets graph 0.06, graph 0.06, graph 0.05, graph 0.05
plot $(points 5)"
  draw_speed_ups
  draw_throughput "$each_value"
}

draw_speed_ups() {
  awk -v b="$baseline" '$6 != b && ($7 != "nan" || $9 != "nan") { found = 1 } END { exit !found }' "$work/means" || return 0
  local key key_height plots='' column
  key_below '' 'in steps' 'in time'
  ! has_figures "$work/means" 7 || plots+=", 'means' using (\$1-0.08):7:8 with yerrorbars pt 7 ps 0.8 lw 2 lc rgb '${palette[0]}' title 'in steps'"
  ! has_figures "$work/means" 9 || plots+=", 'means' using (\$1+0.08):9:10 with yerrorbars pt 4 ps 0.8 lw 2 lc rgb '${palette[1]}' title 'in time'"
  picture speed-up 640 $((400 + key_height)) "Steps (training time) of $baseline / those after which a run has its final loss, means ± standard deviations over seeds. 1 is as fast; a value without a point has not reached it with every seed. $scope." "$(value_ticks)
$key; set xlabel $(gnuplot_string "$label"); set ylabel 'speed-up to the loss of $baseline'; set yrange [0:*]; set offsets 0, 0, graph 0.15, 0
plot 1 with lines lw 1.5 lc rgb '$ink' notitle$plots"
}

draw_throughput() {  # HEIGHT
  local value rates=''
  [ "$(awk '!seen[$5]++' "$work/runs" | wc -l)" -gt 1 ] || return 0
  for value in "${values[@]}"; do
    awk -v value="$value" '$7 == value' "$work/runs" >"$work/rates-$value"
    [ ! -s "$work/rates-$value" ] || rates+="'rates-$value' using 5:(\$6/1000) with points ps 1 $(look "${look_of[$value]}" | sed 's/dt .* pt/pt/') title '$value', "
  done
  picture throughput 640 "$1" "Tokens a second against processes, median over the steps of each run. $scope." "$key
set xrange [0:*]; set yrange [0:*]; set xtics 1; set xlabel 'processes'; set ylabel 'thousand tokens a second'; set offsets 0, 0.5, graph 0.1, 0
plot ${rates%, }"
}

# Ticks and range of a logarithmic axis: the figures of the means in this column, unless they are
# too close to each other.
spread_ticks() {
  sort -g -k "$1,$1" "$work/means" | awk -v c="$1" '$c != "nan" && (last == "" || $c > last * 1.25) {
    if (first == "") first = $c; text = text (text == "" ? "" : ", ") sprintf("\"%.3g\" %s", $c, $c); last = $c }
    $c != "nan" { end = $c }
    END { printf "set xtics (%s); set xrange [%g:%g]\n", text, first * (first / end) ^ 0.08, end * (end / first) ^ 0.2 }'
}

# Draws drops, imbalance and loads for the first run with experts of each value.
draw_routing() {
  local value seed drops='' imbalance='' paint shown=() key key_height
  for value in "${values[@]}"; do
    seed=$(awk -F, -v value="$value" '$2 == value && $13 != "" { print $3; exit }' "$csv")
    [ -n "$seed" ] || continue
    smooth $(($(wc -l <"$work/$value-$seed.dat") / 100 + 1)) <"$work/$value-$seed.dat" >"$work/routing-$value"
    paint="with linespoints lw 1.5 $(look "${look_of[$value]}") ps 0.9 pointinterval $(($(wc -l <"$work/routing-$value") / 8 + 1)) title '$value'"
    drops+="'routing-$value' using 1:5 $paint, "
    imbalance+="'routing-$value' using 1:6 $paint, "
    shown+=("$value")
  done
  [ -n "$drops" ] || return 0
  key_below "$label" "${shown[@]}"
  picture dropped 640 $((380 + key_height)) "Share of tokens whose expert was full, mean over a hundredth of the run; first seed of each value, $(budget) per run." "$key; set xlabel 'step'
set ylabel 'dropped tokens (%)'; set yrange [0:*]
plot ${drops%, }"
  picture imbalance 640 $((380 + key_height)) "Tokens of the busiest expert / mean over experts, mean over a hundredth of the run; first seed of each value, $(budget) per run." "$key; set xlabel 'step'
set ylabel 'tokens of the busiest expert / mean'; set yrange [1:*]
plot ${imbalance%, }"
  draw_all_loads
}

draw_all_loads() {
  local value seed
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
  # Remove earlier pictures, which would seem to belong to these runs.
  rm -f "$output"/{loss-by-{step,time,value,parameters,step-time},gain-by-{step,time},speed-up,throughput,dropped,imbalance,load-*}.{svg,png,pdf}
  choose_looks "${values[@]}"
  find_scope
  mean_curves
  draw_curves
  draw_losses
  # NAME.csv alone has no data on single steps.
  [ "$mode" = page ] || draw_routing
}

# Standard input, cells separated by tabs, as rows of an HTML table; the first row is the heading.
html_rows() {
  escaped | awk -F'\t' '{ tag = NR == 1 ? "th" : "td"; printf "<tr>"
    for (i = 1; i <= NF; i++) printf "<%s>%s</%s>", tag, $i, tag; print "</tr>" }'
}

# Standard input, CSV, as cells separated by tabs.
csv_cells() {
  awk '{ gsub(/\t/, " "); text = ""; quoted = 0; n = length($0)
    for (i = 1; i <= n; i++) { c = substr($0, i, 1)
      if (c == "\"" && quoted && substr($0, i + 1, 1) == "\"") { text = text c; i++ }
      else if (c == "\"") quoted = !quoted
      else text = text (c == "," && !quoted ? "\t" : c) }
    print text }'
}

# Everything in one file: no scripts, and nothing that has to be fetched.
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
.wide { overflow-x: auto } .high { overflow-y: auto; max-height: 30em } .high th { position: sticky; top: 0; background: var(--paper) }
summary { cursor: pointer; font-weight: 600; margin: 1em 0 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2em 1em } dt { font-weight: 600 } dd { margin: 0; overflow-wrap: anywhere }
 table { border-collapse: collapse; font-size: 12px }
th, td { border-bottom: 1px solid var(--line); padding: .3em .4em; text-align: right; vertical-align: bottom } th { font-weight: 600 }
th:first-child, td:first-child { text-align: left } td { white-space: nowrap }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(600px, 100%), 1fr)); gap: 1.5em }
figure { margin: 0 } figure svg { width: 100%; height: auto } figcaption { font-size: 12px }
</style></head><body>
<h1>$(printable "$title" | escaped)</h1>
HTML
    echo '<dl>'
    about | escaped | sed 's/^\([^:]*\): \(.*\)$/<dt>\1<\/dt><dd>\2<\/dd>/'
    echo '</dl><div class="wide"><table>'
    table_cells | html_rows
    echo '</table></div><ul>'
    notes | escaped | sed 's/.*/<li>&<\/li>/'
    echo '</ul><main>'
    for entry in "${pictures[@]}"; do
      echo '<figure>'
      # The identifiers in one picture must differ from those in the others.
      sed -E "1d; s/ id=(['\"])/ id=\1${entry%% *}-/g; s/href='#/href='#${entry%% *}-/g; s/url\(#/url(#${entry%% *}-/g" "$output/${entry%% *}.svg"
      echo "<figcaption>$(escaped <<<"${entry#* }")</figcaption></figure>"
    done
    echo "</main><details><summary>Runs: the rows of $(printable "$name" | escaped).csv</summary><div class=\"wide high\"><table>"
    csv_cells <"$published" | html_rows
    echo "</table></div></details></body></html>"
  } >"$output/$name.html" || fail 73 "cannot write to $output"
  tell "$output/$name.html"
}
