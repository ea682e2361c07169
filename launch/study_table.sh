#!/usr/bin/env bash
# The figures of a study, for study.sh, which sources this: NAME.csv, one row per run, from what the
# runs have recorded; and NAME.md, one row per value, with means over its seeds and the gain over
# the baseline. Runs nothing and draws nothing.
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/common.sh"; show_help; }

csv_header=study,value,seed,status,steps,tokens,seconds,final_neg_log_perplexity,best_neg_log_perplexity,best_step
csv_header+=,late_train_loss,tokens_per_second,dropped_fraction,load_imbalance,tokens_per_expert,peak_memory_bytes
csv_header+=,parameters,active_parameters,processes,threads,commit,machine,data,settings,precision,date,command

quoted() { printf '"%s"' "${1//\"/\"\"}"; }
# Quotes a cell only if necessary.
cell() { if [[ $1 == *[,\"$'\n']* ]]; then quoted "$1"; else printf '%s' "$1"; fi; }
said() { sed -n "s/^$2 //p" "$1/study.txt" | tr -d '\n'; }

# Tokens that chose an expert over all steps, averaged over the experts of a layer and over layers;
# steps whose records do not list them are taken to be like the others.
tokens_per_expert() {
  awk '/}$/ { rest = $0; steps++
      while (match(rest, /"tokens": *\[[^]]*\]/)) {
        entry = substr(rest, RSTART, RLENGTH); rest = substr(rest, RSTART + RLENGTH)
        sub(/.*\[/, "", entry); sub(/\]/, "", entry); experts = split(entry, tokens, ",")
        for (e = 1; e <= experts; e++) sum += tokens[e] / experts
        entries++ } }
    END { if (entries) printf "%.0f", sum * steps / entries }' "$1/metrics.jsonl"
}

# One row of the CSV without its first cell, the study's name, which is the same in all rows: for
# the run that `settle` has described and `progress` has read.
table_row() {
  local tokens final best best_step late rate dropped imbalance memory parameters active
  IFS=, read -r _ _ tokens _ _ final best_step best late rate dropped imbalance memory parameters active _ <<<"${figures#*,}"
  printf ',%s' "$value" "$seed" "$(status)" "$steps" "$tokens" "$seconds" "$final" "$best" "$best_step" "$late" \
    "$rate" "$dropped" "$imbalance" "$(tokens_per_expert "$run")" "$memory" "$parameters" "$active" \
    "$(said "$run" processes)" "$(said "$run" threads)" \
    "$(awk '/^commit / && !seen[$2]++ { printf "%s%s", (n++ ? "+" : ""), $2 }' "$run/build.txt")"
  printf ',%s,%s,%s' "$(quoted "$(said "$run" machine)")" "$(said "$run" data)" "$(quoted "$(said "$run" settings)")"
  printf ',%s,%s,%s\n' "$(sed -n 's/^ *precision: *//p' "$run/config.textproto" | head -n 1)" \
    "$(sed -n 's/^started \([0-9-]*\)T.*/\1/p' "$run/build.txt" | head -n 1)" "$(quoted "$(said "$run" command)")"
}

# Depends on the runs alone, no matter who made them and when. `csv` is without the study's name,
# which may contain any character; everything is computed from it. `published` is with it.
write_table() {
  local entry
  published=$output/$name.csv curves=$work/curves csv=$work/table
  published_curves=$output/$name-curves.csv
  echo "${csv_header#study}" >"$csv"
  : >"$curves"
  for entry in "${wanted[@]}"; do
    settle "${entry% *}" "${entry#* }"
    progress "$run"
    if [ "$steps" -eq 0 ] || [ ! -f "$run/study.txt" ]; then continue; fi
    table_row >>"$csv"
    columns <"$run/metrics.jsonl" >"$work/$value-$seed.dat"
    awk -v value="$value" -v seed="$seed" '$4 != "nan" { print value, seed, $1, 60 * $2, $4 }' "$work/$value-$seed.dat" >>"$curves"
  done
  [ "$(wc -l <"$csv")" -gt 1 ] || fail 66 "no run of $file has made a step in $runs"
  { mkdir -p -- "$output" && name=$(cell "$name") awk '{ print (NR == 1 ? "study" : ENVIRON["name"]) $0 }' "$csv" >"$published.tmp" &&
    mv -- "$published.tmp" "$published" &&
    { echo value,seed,step,seconds,validation_loss; tr ' ' ',' <"$curves"; } >"$published_curves"; } 2>/dev/null || fail 73 "cannot write to $output"
  sum_up
  tell "$published $published_curves $output/$name.md"
}

# The inverse: reads what write_table wrote, so that the runs are not needed.
read_table() {
  published=$output/$name.csv curves=$work/curves csv=$work/table
  published_curves=$output/$name-curves.csv
  local table
  for table in "$published" "$published_curves"; do
    [ -s "$table" ] || fail 66 "$table is not there: --page draws from it; with the runs there, --csv writes it"
  done
  name=$(cell "$name") awk '{ print substr($0, (NR == 1 ? 5 : length(ENVIRON["name"])) + 1) }' "$published" >"$csv"
  tail -n +2 "$published_curves" | tr ',' ' ' >"$curves"
  sum_up
  tell "$output/$name.md"
}

sum_up() {
  (cd "$work" && awk -F, -v baseline="$baseline" -v claim="${study[claim]:-}" -v curves=curves "$summary" "$csv") >"$work/summary"
  markdown >"$output/$name.md"
}

# One line per value, separated by tabs: value, seeds, parameters, then mean and deviation over the
# seeds of: final loss, late training loss, loss below the baseline's, speed-up in steps, speed-up
# in time, loss at equal time; then ms per step, tokens per second, dropped %, imbalance, tokens per
# expert, compared runs, the equal time in seconds, memory, compared runs that reach the baseline's
# loss. Runs that are unfinished or diverged are not counted.
# Speed-up: the baseline's steps (seconds) / those after which the run reaches the baseline's final
# loss, interpolated linearly between evaluations. Each run is compared with the baseline's of the
# same seed. The speed-up is omitted unless all runs reach that loss, since a mean over those that do
# would be biased towards lucky seeds. If the study's claim is based on certain seeds, only those
# count, even if others were run.
summary='
function add(list, x) { if (x != "") { n[list]++; total[list] += x; squares[list] += x * x } }
function mean(list) { return n[list] ? total[list] / n[list] : "" }
function deviation(list,   d) { if (n[list] < 2) return ""
  d = (squares[list] - total[list] * total[list] / n[list]) / (n[list] - 1); return d > 0 ? sqrt(d) : 0 }
function both(list) { return mean(list) "\t" deviation(list) }
# The first time (field 4) or step (field 3) at which run r reaches this loss.
function reached(r, loss, x,   i, part) {
  for (i = 1; i <= points[r]; i++) if (at[r, i] <= loss) {
    if (i == 1) return x[r, 1]
    part = (at[r, i - 1] - loss) / (at[r, i - 1] - at[r, i]); return x[r, i - 1] + part * (x[r, i] - x[r, i - 1]) }
  return "" }
function loss_at(r, time,   i) {
  for (i = points[r]; i > 0; i--) if (second[r, i] <= time * 1.0000001) {
    if (i == points[r]) return at[r, i]
    return at[r, i] + (time - second[r, i]) / (second[r, i + 1] - second[r, i]) * (at[r, i + 1] - at[r, i]) }
  return "" }
BEGIN {
  while ((getline line < curves) > 0) { split(line, f, " "); r = f[1] SUBSEP f[2]; i = ++points[r]
    step[r, i] = f[3]; second[r, i] = f[4]; at[r, i] = f[5] }
  split(claim, list, " "); for (i in list) claims[list[i]] = 1 }
NR > 1 && $4 == "finished" && $8 != "" {
  value = $2; r = value SUBSEP $3
  if (!(value in seeds)) order[++values] = value
  seeds[value] = seeds[value] " " $3; if ($3 in claims) claimed[value] = 1
  final[r] = -$8; late[r] = $11; steps[r] = $5; seconds[r] = $7; rate[r] = $12; drop[r] = $13; load[r] = $14
  tokens[r] = $15; memory[r] = $16; parameters[value] = $17
  if (shortest == "" || $7 < shortest) shortest = $7 }
END {
  for (v = 1; v <= values; v++) { value = order[v]; count = split(seeds[value], list, " "); shown = ""; used = 0
    for (i = 1; i <= count; i++) { r = value SUBSEP list[i]; b = baseline SUBSEP list[i]
      if ((value in claimed) && !(list[i] in claims)) continue
      used++; shown = shown (shown == "" ? "" : " ") list[i]
      add(value "loss", final[r]); add(value "late", late[r]); add(value "ms", 1000 * seconds[r] / steps[r]); add(value "rate", rate[r])
      add(value "drop", drop[r] == "" ? "" : 100 * drop[r]); add(value "load", load[r]); add(value "tokens", tokens[r])
      if (memory[r] > most[value]) most[value] = memory[r]
      add(value "equal", loss_at(r, shortest))
      if (b in final) { add(value "gain", final[b] - final[r])
        s = reached(r, final[b], step); add(value "steps", s == "" ? "" : (value == baseline ? 1 : steps[b] / s))
        s = reached(r, final[b], second); add(value "time", s == "" ? "" : (value == baseline ? 1 : seconds[b] / s)) } }
    print value "\t" shown "\t" parameters[value] "\t" both(value "loss") "\t" both(value "late") "\t" both(value "gain") "\t" \
      (n[value "steps"] == n[value "gain"] ? both(value "steps") "\t" both(value "time") : "\t\t\t") "\t" \
      both(value "equal") "\t" mean(value "ms") "\t" mean(value "rate") "\t" mean(value "drop") "\t" mean(value "load") "\t" mean(value "tokens") "\t" n[value "gain"] + 0 "\t" shortest "\t" most[value] "\t" n[value "steps"] + 0 } }'

# The summary's columns in a form for people, separated by tabs; the first line is the heading.
table_cells() {
  axis=${label//[[:cntrl:]]/ } awk -F'\t' -v baseline="$baseline" '
    BEGIN { axis = ENVIRON["axis"] }
    function cell(m, d, decimals) { if (m == "") return "–"
      return sprintf("%." decimals "f", m) (d == "" ? "" : sprintf(" ± %." decimals "f", d)) }
    function speed_up(m, d) { if ($1 == baseline) return "1"
      if (!$21 || m != "") return cell(m, d, 2)
      return $24 ? sprintf("reached by %d of %d", $24, $21) : "not reached" }
    NR == 1 { OFS = "\t"
      print axis, "seeds", "parameters (millions)", "validation loss", "training loss, last fifth", "validation loss below " baseline "’s", \
        "speed-up in steps", "speed-up in time", sprintf("validation loss after %.1f minutes", $22 / 60), "ms per step", "tokens per second", \
        "dropped (%)", "busiest expert / mean", "tokens per expert", "memory (MB)" }
    { print $1, $2, cell($3 == "" ? "" : $3 / 1e6, "", 2), cell($4, $5, 4), cell($6, $7, 4), ($1 == baseline ? "–" : cell($8, $9, 4)), \
        speed_up($10, $11), speed_up($12, $13), cell($14, $15, 4), cell($16, "", 0), cell($17, "", 0), \
        cell($18, "", 2), cell($19, "", 2), cell($20 == "" ? "" : $20, "", 0), cell($23 == "" ? "" : $23 / 1e6, "", 0) }'  "$work/summary"
}

# What a reader must know to judge the table, one line each.
notes() {
  local unfinished
  echo "Means ± standard deviations over the seeds. Loss: cross-entropy in nats per target token, on validation data at the end, and of training over the last fifth of the steps."
  echo "Speed-ups: steps (training time) of $baseline / those after which the run has the final validation loss of $baseline with the same seed; evaluations and saving are not counted."
  awk -F'\t' -v baseline="$baseline" '$1 != baseline && $21 + 0 < 3 { few = few (few == "" ? "" : ", ") $1 }
    $1 != baseline && $21 >= 3 && $8 * $8 < $9 * $9 { close_by = close_by (close_by == "" ? "" : ", ") $1 }
    END { if (few != "") print "Fewer than three seeds beside " baseline "’s, so no claim: " few "."
      if (close_by != "") print "Less apart from " baseline " than the seeds are from each other, so no claim: " close_by "." }' "$work/summary"
  unfinished=$(awk -F, 'NR > 1 && $4 != "finished" { n++ } END { print n + 0 }' "$csv")
  [ "$unfinished" -eq 0 ] || echo "$unfinished of the runs are not finished, or diverged: their rows in $name.csv say so."
  [ "$(wc -l <"$csv")" -gt "${#wanted[@]}" ] || echo "Runs that have not begun: $((${#wanted[@]} + 1 - $(wc -l <"$csv")))."
}

# What the study is and with what it was made, as far as recorded: lines of the form "Word: text".
about() {
  local precision command
  question=$(question) awk 'BEGIN { if (ENVIRON["question"] != "") print "Question: " ENVIRON["question"] }'
  echo "Settings: configuration ${study[config]}${common[*]:+, ${common[*]}}; each value's own stand in $name.csv"
  precision=$(last_cells 1)
  [ -n "$precision" ] || precision=$(said_precision)
  [ -z "$precision" ] || echo "Precision: $precision"
  echo "Budget: $(budget) per run"
  sed -n '2,$s/^\([^,]*,\)\{21\}"\([^"]*\)",\([^,]*\),.*/Machine: \2. Data: \3/p' "$csv" | sort -u
  [ -z "$(last_cells 2)" ] || echo "Date: $(last_cells 2)"
  awk -F, 'NR > 1 && !seen[$21]++ { commits = commits (n++ ? ", " : "") $21 } END { print "Commit: " commits (n > 1 ? ". Not all runs were made by the same program" : "") }' "$csv"
  command=$(last_cells 3)
  [ -z "$command" ] || echo "Command: $command"
}

# The comment at the beginning of the study's file.
question() { awk '!/^#/ { exit } { sub(/^# */, ""); text = text (n++ ? " " : "") $0 } END { print text }' "$file" | tr -d '\000-\010\013-\037'; }

# The distinct cells in the N-th of the last three columns: precision, date, command. Older tables
# lack these columns.
last_cells() {
  head -n 1 "$csv" | grep -q ',precision,date,command$' || return 0
  awk -v column="$1" 'NR > 1 && match($0, /,[A-Z0-9_]*,[0-9-]*,"([^"]|"")*"$/) {
    rest = substr($0, RSTART + 1); split(rest, part, ",")
    command = substr(rest, length(part[1]) + length(part[2]) + 4); sub(/"$/, "", command); gsub(/""/, "\"", command)
    text = column == 1 ? part[1] : column == 2 ? part[2] : command
    if (text != "" && !seen[text]++) all = all (n++ ? (column == 3 ? " ; " : ", ") : "") text }
    END { if (n) print all }' "$csv"
}

# For a table without a precision: what the configuration says, if it is a file.
said_precision() {
  [ ! -f "$config" ] || grep -v '^ *#' "$config" | grep -o '\bprecision: *[A-Z0-9]*' | sed 's/.*: *//;q' || true
}

markdown() {
  about | sed 's/[\\*_<>`|[]/\\&/g; s/^\([^:]*\):/* **\1:**/'
  echo
  table_cells | awk -F'\t' '{ for (i = 1; i <= NF; i++) printf "| %s ", $i; print "|" } NR == 1 { for (i = 1; i <= NF; i++) printf "| --- "; print "|" }'
  echo
  notes | sed 's/^/* /'
}
