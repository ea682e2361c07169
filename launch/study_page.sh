#!/usr/bin/env bash
# The pictures and the page of a study, for study.sh, which sources this after write_table: one
# gnuplot picture per question, as SVG, PNG and PDF next to the table, and NAME.html, which contains
# all of them. Reads the table's files and the curves; every figure it shows is in the table.
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/common.sh"; show_help; }

pictures=()  # drawn ones, in the page's order: "FILE caption"
loss_label='validation loss (nats per target token)'

# What the picture shows and what it is of (how many seeds, which budget) stand in it, below each other; in its
# description and on the page stands what takes more words, too.
picture() {  # FILE HEIGHT WHAT OF MORE SCRIPT
  local caption="$3${5:+ ($5)}: $4."
  draw "$output/$1" 640 "$2" "$title: $3" "${4^}" "$6" "$title: $caption"
  caption=${caption^}
  pictures+=("$1 $caption")
}

# How many seeds and which budget the pictures are of: sets `scope`, for captions, and `means`, which says that
# there are means, where a value has several seeds.
find_scope() {
  local least most
  read -r least most < <(awk -F'\t' '{ n = split($2, list, " "); if (least == "" || n < least) least = n; if (n > most) most = n }
    END { print least + 0, most + 0 }' "$work/summary")
  scope="$least to $most seeds per value" means='mean over seeds; '
  [ "$least" != "$most" ] || scope="$most seeds per value"
  # Of claimed seeds there are fewer than a reader counts among the runs.
  [ -z "${study[claim]:-}" ] || scope+=" (only seeds ${study[claim]} where a value has them)"
  [ "$most" -gt 1 ] || scope="one seed per value" means=''
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
  # The fall of all runs in their first tenth would compress the rest of the plot, so the axis ends slightly above
  # the rest. All digits are kept, since rounding down would hide the point of a run with one evaluation.
  local top seeds=$means$scope height key key_height step_axis time_axis below="validation loss below $baseline (nats)"
  top=$(awk '{ if ($3 > last[$1 " " $2]) last[$1 " " $2] = $3; n++; s[n] = $3; r[n] = $1 " " $2; l[n] = $5 }
    END { for (i = 1; i <= n; i++) if (s[i] > last[r[i]] / 10 && l[i] > top) top = l[i]; printf "%.10g\n", top * 1.002 }' "$curves")
  # Studies drawn from older tables have no curves of single seeds.
  ! compgen -G "$work/band-*" >/dev/null || seeds="mean over seeds (thin lines: each seed; band: least to most); $scope"
  key_below "$label" "${values[@]}"
  height=$((370 + key_height))
  step_axis="$side_room; set xtics $(tick_distance "$(awk '$3 > most { most = $3 } END { print most }' "$curves")"); set xlabel 'step'"
  time_axis="$side_room; set xlabel 'training time (minutes)'"
  picture loss-by-step $height 'validation loss by step' "$seeds" '' "$(one_plot "set yrange [*:$top]; $step_axis; set ylabel '$loss_label'
plot $(lines '$1' 3)")"
  picture loss-by-time $height 'validation loss by training time' "$seeds" 'evaluations and saving are not counted' "$(one_plot "set yrange [*:$top]; $time_axis; set ylabel '$loss_label'
plot $(lines '$2/60' 3)")"
  [ -n "$(lines '$1' 4 "$baseline")" ] || return 0
  key+="; set xzeroaxis lc rgb '$ink' lw 1.5"
  picture gain-by-step $height "validation loss below that of $baseline, by step" "$seeds" "that of $baseline with the same seed at the same step; above 0 is better" "$(one_plot "$step_axis; set ylabel '$below'
plot $(lines '$1' 4 "$baseline")")"
  # With one evaluation per run there is no equal time to compare at.
  [ -n "$(lines '$2/60' 5 "$baseline")" ] || return 0
  picture gain-by-time $height "validation loss below that of $baseline, by training time" "$seeds" "that of $baseline with the same seed at the same training time; above 0 is better" "$(one_plot "$time_axis; set ylabel '$below'
plot $(lines '$2/60' 5 "$baseline")")"
}

# Ticks that name the values; names that would run into each other are turned, and need more room: sets `ticks`
# and `axis_height`.
value_ticks() {
  local i list='' length=0 longest=0
  for i in "${!values[@]}"; do
    list+="${list:+, }'${values[$i]}' $i"
    length=$((length + ${#values[$i]} + 2))
    [ "${#values[$i]}" -le "$longest" ] || longest=${#values[$i]}
  done
  ticks="set xtics ($list); set xrange [-0.5:${#values[@]}-0.5]"
  [ "$length" -gt 64 ] || return 0
  ticks="set xtics rotate by 35 right ($list); set xrange [-0.5:${#values[@]}-0.5]"
  axis_height=$((axis_height + longest * 5))
}

# points X Y [NAMED]: one mean per value with its look, from columns X and Y of the means, with its deviation if there
# are several seeds; NAMED: with names for the legend.
points() {
  local i value plot='' kind="$2 with points"
  [ -z "$means" ] || kind="$2:$(($2 + 1)) with yerrorbars lw 2"
  for i in "${!values[@]}"; do
    value=${values[$i]}
    awk -v i="$i" -v x="$1" -v y="$2" '$1 == i && $x != "nan" && $y != "nan" { found = 1 } END { exit !found }' "$work/means" || continue
    plot+="'means' using (\$1 == $i ? \$$1 : NaN):$kind ps 1.1 $(look "${look_of[$value]}" | sed 's/dt .* pt/dt 1 pt/') $([ -n "${3:-}" ] && echo "title '$value'" || echo notitle), "
  done
  echo "${plot%, }"
}

# Each run as a small ring beside its value's mean, in its value's colour.
rings() {
  local i plot=''
  for i in "${!values[@]}"; do
    awk -v i="$i" '$1 == i { found = 1 } END { exit !found }' "$work/runs" || continue
    plot+="'runs' using (\$1 == $i ? \$1 + 0.15 : NaN):2 with points pt 6 ps 0.6 lc rgb '$(colour "${look_of[${values[$i]}]}")' notitle, "
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
  local ticks axis_height=$axis_height between='' each='' deviations='' key key_height height
  find_means
  [ -s "$work/means" ] || return 0
  # Points are joined by a line if the values are numbers, not if they are names.
  ! has_figures "$work/means" 11 || between="'means' using 1:11 with lines lw 1 lc rgb '$ink' notitle, "
  no_key
  # With one seed per value there is neither a mean nor a deviation.
  if [ -n "$means" ]; then
    each=", $(rings), keyentry with yerrorbars pt 7 ps 1.1 lw 2 lc rgb '$ink' title 'mean ± standard deviation over seeds', keyentry with points pt 6 ps 0.6 lc rgb '$ink' title 'a run'"
    deviations="${means%; } ± standard deviation; "
    key_below '' 'mean ± standard deviation over seeds' 'a run'
  fi
  height=$axis_height
  value_ticks
  picture loss-by-value $((344 + axis_height + key_height)) 'final validation loss by value' "$deviations$scope" "${means:+every run stands beside the mean of its value}" "$(one_plot "$ticks; set xlabel $(gnuplot_string "$label"); set ylabel '$loss_label'; set offsets 0, 0, graph 0.05, graph 0.05
plot $between$(points 1 2)$each")"
  draw_speed_ups
  axis_height=$height
  key_below "$label" "${values[@]}"
  # Of models that differ in a router alone there is nothing to see.
  if awk '$4 != "nan" { if (least == "" || $4 < least) least = $4; if ($4 > most) most = $4 } END { exit !(most > 1.05 * least) }' "$work/means"; then
    picture loss-by-parameters $((370 + key_height)) 'final validation loss against all parameters of the model' "$deviations$scope" 'the scale of the parameters is logarithmic' "$(one_plot "set logscale x
$(spread_ticks 4)
set xlabel 'parameters (millions)'; set ylabel '$loss_label'; set offsets 0, 0, graph 0.05, graph 0.05
plot $(points 4 2 named)")"
  fi
  picture loss-by-step-time $((370 + key_height)) 'final validation loss against time per step' "$deviations$scope" 'what lies lower and further left is better' "$(one_plot "set xlabel 'time per step (ms)'; set ylabel '$loss_label'; set offsets graph 0.06, graph 0.06, graph 0.05, graph 0.05
plot $(points 5 2 named)")"
  draw_throughput
}

# In steps above, in time below: so each value has its own colour and marker in both.
draw_speed_ups() {
  awk -v b="$baseline" '$6 != b && ($7 != "nan" || $9 != "nan") { found = 1 } END { exit !found }' "$work/means" || return 0
  local key key_height panel=$((190 + axis_height)) one="plot 1 with lines lw 1.5 lc rgb '$ink' notitle" steps time
  no_key
  steps=$(points 1 7) time=$(points 1 9)
  picture speed-up $((2 * panel)) "speed-up to the final validation loss of $baseline" "$deviations$scope" "steps (training time) of $baseline / those after which a run has its final loss; 1 is as fast; a value without a point has not reached it with every seed" "$(two_plots $panel "$ticks
set xlabel $(gnuplot_string "$label"); set ylabel 'speed-up in steps'; set yrange [0:*]; set offsets 0, 0, graph 0.15, 0
$one${steps:+, $steps}" "set ylabel 'speed-up in time'
$one${time:+, $time}")"
}

draw_throughput() {
  local value rates=''
  [ "$(awk '!seen[$5]++' "$work/runs" | wc -l)" -gt 1 ] || return 0
  for value in "${values[@]}"; do
    awk -v value="$value" '$7 == value' "$work/runs" >"$work/rates-$value"
    [ ! -s "$work/rates-$value" ] || rates+="'rates-$value' using 5:(\$6/1000) with points ps 1 $(look "${look_of[$value]}" | sed 's/dt .* pt/pt/') title '$value', "
  done
  picture throughput $((370 + key_height)) 'tokens per second against processes' "median over the steps of each run; $scope" '' "$(one_plot "set xrange [0:*]; set yrange [0:*]; set xtics 1; set xlabel 'processes'; set ylabel 'thousand tokens per second'; set offsets 0, 0.5, graph 0.1, 0
plot ${rates%, }")"
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
  local value seed drops='' imbalance='' paint shown=() key key_height step_axis of
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
  step_axis="$side_room; set xtics $(tick_distance "$(cat "$work"/routing-* | awk '$1 > most { most = $1 } END { print most }')"); set xlabel 'step'"
  of="mean over a hundredth of the run; first seed of each value, $(budget) per run"
  picture dropped $((370 + key_height)) 'share of tokens whose expert was full' "$of" '' "$(one_plot "$step_axis; set ylabel 'dropped tokens (%)'; set yrange [0:*]
plot ${drops%, }")"
  picture imbalance $((370 + key_height)) 'tokens of the busiest expert / mean over experts' "$of" '' "$(one_plot "$step_axis; set ylabel 'busiest expert / mean'; set yrange [1:*]
plot ${imbalance%, }")"
  draw_all_loads
}

draw_all_loads() {
  local value seed what of
  for value in "${values[@]}"; do
    seed=$(awk -F, -v value="$value" '$2 == value && $13 != "" && $14 > 1 { print $3; exit }' "$csv")
    [ -n "$seed" ] || continue
    mkdir -p "$work/loads-$value"
    loads 100 "loads-$value/" <"$runs/$value-seed$seed/metrics.jsonl"
    what="load of the experts over time, $label $value" of="Tokens that wanted an expert / its fair share; seed $seed, $(budget) per run"
    draw_loads "$output/load-$value" "loads-$value/" "$title: $what" "$of"
    [ ! -f "$output/load-$value.svg" ] || pictures+=("load-$value ${what^}: ${of,}.")
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
