#!/usr/bin/env bash
# Measures the performance goals of a step and prints a Markdown table: goal, required value,
# measured value (median, minimum to maximum). The runs of a goal alternate, so that drifts affect
# all of them; runs are compared round by round. Needs a machine that is otherwise idle.
#   tests/bench/goals.sh [GOAL…] [--rounds N] [--steps N] [--output DIR]
# GOALs: mfu avx2 dense experts ranks long memory input; all of them by default. beside_peer.sh measures
# the tokens per second compared with PyTorch. Every run's figures are kept in DIR as GOAL.RUN.ROUND.json.
#
# Loads are balanced by force: an untrained router drops many tokens, whose operations would still count.
set -euo pipefail
export LC_ALL=C.UTF-8
. "$(dirname "${BASH_SOURCE[0]}")/measure.sh"

goals=() rounds=5 steps=5 output=$root/build/bench/goals
while [ $# -gt 0 ]; do
  case "$1" in
    mfu | avx2 | dense | experts | ranks | long | memory | input) goals+=("$1"); shift; continue ;;
    --rounds | --steps | --output) [ $# -ge 2 ] || fail 64 "$1 needs a value" ;;
    *) fail 64 "unknown argument '$1' (known: mfu avx2 dense experts ranks long memory input --rounds --steps --output)" ;;
  esac
  declare "${1#--}=$2"
  shift 2
done
[ ${#goals[@]} -gt 0 ] || goals=(mfu avx2 dense experts ranks long memory input)
positive --rounds "$rounds"
positive --steps "$steps"
mkdir -p "$output" || fail 73 "cannot write to $output"

# The runs of a goal, name -> layout and arguments; `alternate` makes them, round after round. A run
# that fails is omitted from the table, and its output is shown.
declare -A layout arguments  # the latter in a string, without blanks of their own
order=()
plan() {  # NAME LAYOUT ARGUMENT…
  order+=("$1")
  layout[$1]=$2
  arguments[$1]=${*:3}
}
forget() { layout=() arguments=() order=(); }

alternate() {  # GOAL ROUNDS
  local round name file words
  rm -f "$output/$1".*
  for ((round = 1; round <= $2; round++)); do
    for name in "${order[@]}"; do
      read -ra words <<<"${arguments[$name]}"
      echo "$program: $1, round $round of $2: $name" >&2
      file=$output/$1.$name.$round
      run_benchmark "${layout[$name]}" "$file.json" --steps "$steps" --config "${words[@]}" ||
        { rm -f "$file.json"; echo "$program: $name did not finish: $(tail -n 2 "$file.log" | tr '\n' ' ')" >&2; }
    done
  done
}

# series GOAL RUN FIGURE   one line per round, "nan" if it is missing
series() {
  local round value
  for ((round = 1; round <= rounds; round++)); do
    value=
    [ ! -f "$output/$1.$2.$round.json" ] || value=$(figure "$output/$1.$2.$round.json" "$3")
    echo "${value:-nan}"
  done
}

# compute EXPRESSION SERIES…   awk's EXPRESSION of $1, $2 …, the columns of these files, round by round
compute() {
  local expression=$1
  shift
  paste "$@" | awk '/nan/ { next } { print '"$expression"' }' | spread
}

row() { echo "| $1 | $2 | $3 |"; }

force=--force-load-balancing

mfu() {
  local model
  plan small 2x1 bench_small $force
  plan tiny 2x1 bench_tiny $force
  alternate mfu "$rounds"
  for model in small:0.75:0.65 tiny:0.65:0.58; do
    IFS=: read -r model forward_backward step <<<"$model"
    row "bench_$model, BFLOAT16, 2 processes: forward and backward / matmul rate" ">= $forward_backward" \
      "$(series mfu "$model" mfu_forward_backward | spread | cell %.3f)"
    row "the same, whole step with Adafactor" ">= $step" "$(series mfu "$model" mfu_step | spread | cell %.3f)"
  done
}

# FLOAT32 without AVX-512, where oneDNN reads matrices in place, and strides of whole pages halve
# its rate.
avx2() {
  local model bound float32=(--set train.precision=FLOAT32 optimizer.name=ADAMW)
  plan small 2x1 bench_small "${float32[@]}" $force
  plan tiny 2x1 bench_tiny "${float32[@]}" $force
  ONEDNN_MAX_CPU_ISA=AVX2 alternate avx2 "$rounds"
  for model in small:0.72 tiny:0.74; do
    IFS=: read -r model bound <<<"$model"
    row "bench_$model, FLOAT32, AdamW, AVX2, 2 processes: forward and backward / matmul rate" ">= $bound" \
      "$(series avx2 "$model" mfu_forward_backward | spread | cell %.3f)"
  done
}

dense() {
  plan switch 2x1 bench_small $force
  plan twin 2x1 bench_small_dense
  alternate dense "$rounds"
  row "Switch with 8 experts (capacity 1.25) / its dense twin: forward and backward" "<= 1.10" \
    "$(compute '$1 / $2' <(series dense switch forward_backward_seconds) <(series dense twin forward_backward_seconds) | cell %.3f)"
  row "the same, whole step" "<= 1.16" \
    "$(compute '$1 / $2' <(series dense switch step_seconds) <(series dense twin step_seconds) | cell %.3f)"
}

# Bytes that one additional expert parameter moves between memory and caches in a step, with
# BFLOAT16 and Adafactor, one group. An expert's tensors (4 MB each) stay in the last-level cache
# while one function sweeps over them repeatedly, so each function counts what it reads and writes
# once:
#   bf16 weight read by the product forward                2    experts_forward
#   bf16 weight read by the product of dx                  2    experts_backward
#   gradient written by the product of dW                  4    experts_backward (the first micro-step writes)
#   gradient read for the norm                             4    gradient_norm
#   gradient and weight read, weight written               4 + 8    Adafactor: its means, RMS(u), RMS(W), update
#   bf16 weight written                                    2    Adafactor, in the update
# Row and column means add about a thousandth. Must be updated when these functions change.
bytes_of_parameter=26

experts() {
  local parameters
  parameters=$(for count in 64 8; do
    "$switchyard" describe --config bench_small --set "moe.num_experts=$count" |
      awk '/^parameters/ { here = 1 } here && $1 == "total" { gsub(",", ""); print $2; exit }'
  done | paste -sd ' ' | awk '{ print $1 - $2 }')
  plan eight 2x1 bench_small $force
  plan many 2x1 bench_small $force --set moe.num_experts=64
  alternate experts "$rounds"
  row "experts 8 -> 64 at the same tokens: extra time / ($bytes_of_parameter bytes x $parameters extra parameters / memory bandwidth)" \
    "<= 1.3" "$(compute "(\$2 - \$1) * (\$3 + \$4) / 2 * 1e9 / ($bytes_of_parameter * $parameters)" \
      <(series experts eight step_seconds) <(series experts many step_seconds) \
      <(series experts eight memory_gb_per_second) <(series experts many memory_gb_per_second) | cell %.2f)"
}

# The difference of two step times, as a share of the second.
ranks() {
  local of_four=(--set parallel.virtual_ranks=4)
  plan threads 1x2 bench_small $force "${of_four[@]}"
  plan processes 2x1 bench_small $force "${of_four[@]}"
  plan two 2x1 bench_small $force
  alternate ranks "$rounds"
  row "V = 4: a step of 1 process x 2 threads / of 2 processes x 1 thread" "0.95 to 1.05" \
    "$(compute '$1 / $2' <(series ranks threads step_seconds) <(series ranks processes step_seconds) | cell %.3f)"
  row "2 processes: a step of V = 4 / of V = 2, the same batch" "0.95 to 1.05" \
    "$(compute '$1 / $2' <(series ranks processes step_seconds) <(series ranks two step_seconds) | cell %.3f)"
}

# Operations of the scores (QK^T and weights x V of all attentions) that `describe` counts in a step.
score_operations() { "$switchyard" describe --config "$1" | sed -n 's/^ *attention scores *//p'; }

# Time beyond attention's own operations: the step without the time that the operations of its
# scores take at the matmul rate of the same run. Per token, over encoder and decoder positions.
# Long rows have fewer targets per token, which are more expensive (logits), so the same is also
# given per operation outside of the scores.
long() {
  local window='bench_long_window' length kind config small_scores long_scores
  plan small 2x1 bench_small $force
  plan window 2x1 $window $force
  plan full 2x1 bench_long $force
  # Less of the text is removed, so that 8,192 inputs also fit 512 targets.
  for length in 2048 8192; do
    plan "window_$length" 2x1 $window $force --set data.input_length=$length data.noise_density=0.048
    plan "full_$length" 2x1 bench_long $force --set data.input_length=$length data.noise_density=0.048
  done
  alternate long "$rounds"
  small_scores=$(score_operations bench_small)
  for kind in window full; do
    config=bench_long
    [ $kind = full ] || config=bench_long_window
    long_scores=$(score_operations $config)
    inputs=()
    for name in $kind small; do
      for key in positions step_seconds matmul_gflops model_gflop; do
        series long "$name" "$key" >"$output/long.$name.$key"
        inputs+=("$output/long.$name.$key")
      done
    done
    # Columns: positions, seconds, GFLOP/s, GFLOP; of the long rows, then of bench_small.
    beyond="(\$2 - $long_scores / (\$3 * 1e9)) / (\$6 - $small_scores / (\$7 * 1e9))"
    row "$config / bench_small: time a token beyond attention's own operations" "<= 1.10" \
      "$(compute "$beyond * \$5 / \$1" "${inputs[@]}" | cell %.3f)"
    row "the same, an operation beyond attention's own" "–" \
      "$(compute "$beyond * (\$8 * 1e9 - $small_scores) / (\$4 * 1e9 - $long_scores)" "${inputs[@]}" | cell %.3f)"
    row "$config, peak memory: what 4,096 positions more take after 4,096 / what 2,048 more take after 2,048" "2 is linear" \
      "$(compute '($3 - $2) / ($2 - $1)' <(series long ${kind}_2048 peak_bytes) <(series long $kind peak_bytes) \
        <(series long ${kind}_8192 peak_bytes) | cell %.2f)"
  done
}

# described CONFIG PRECISION   bytes of the largest process, experts balanced
described() {
  "$switchyard" describe --config "$1" --set "train.precision=$2" --processes 2 | awk '
    BEGIN { unit["B"] = 1; unit["kB"] = 1e3; unit["MB"] = 1e6; unit["GB"] = 1e9 }
    /^memory of each process/ { here = 1 }
    here && $1 ~ /^[0-9]+$/ { total = $16 * unit[$17]; if (total > most) most = total }  # the eighth part is the total
    END { print most }'
}

memory() {
  local model precision
  for model in small tiny; do
    for precision in BFLOAT16 FLOAT32; do
      plan ${model}_$precision 2x1 bench_$model $force --set train.precision=$precision
    done
  done
  alternate memory 1  # not a time measurement
  for model in small tiny; do
    for precision in BFLOAT16 FLOAT32; do
      row "bench_$model, $precision: peak memory of a process / the sum that describe prints" "<= 1.05" \
        "$(compute "\$1 / $(described bench_$model $precision)" <(series memory ${model}_$precision peak_bytes) | cell %.3f)"
    done
  done
}

input() {
  local model
  plan small 2x1 bench_small $force
  plan tiny 2x1 bench_tiny $force
  alternate input "$rounds"
  for model in small tiny; do
    row "bench_$model: share of a step that waits for input" "< 0.01" \
      "$(compute '$1 / 1000 / $2' <(series input $model input) <(series input $model step_seconds) | cell %.4f)"
  done
}

rows=$(for goal in "${goals[@]}"; do forget; "$goal"; done)
echo "| goal | must | measured |"
echo "| --- | --- | --- |"
echo "$rows"
echo
echo "Medians of $rounds rounds (least to most), $steps steps each; raw figures in $output."
machine_line
