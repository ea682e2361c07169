#!/usr/bin/env bash
# Trains the same models with `switchyard benchmark` and with PyTorch (peer/peer_torch.py),
# alternating A B A B …, and prints a Markdown table of tokens per second. AdamW on both sides,
# whole steps.
#   tests/bench/beside_peer.sh [small-bf16 | small-f32 | tiny-bf16 | tiny-f32]… [--rounds N] [--steps N]
#       [--ours 2x1,1x2] [--peer 1x2,2x1] [--stock | --suite SUITE] [--compiled] [--output DIR]
# --ours, --peer: layouts, processes x threads; the ratio compares the best layout of each side in each
# round. Loads are balanced by force, so that every token is computed; the peer always computes its full
# capacity.
# --stock: PyTorch as packaged by Debian, with OpenBLAS; otherwise tuned, with BLIS and jemalloc.
# --suite: the stock PyTorch of another Debian suite (trixie has 2.6, sid a newer one) in a root directory of that
# suite, made as in cluster/roots.sh; needs root and debootstrap. --compiled: the model goes through torch.compile.
# The peer computes its experts by torch._grouped_mm where its PyTorch has that for this machine.
set -euo pipefail
export LC_ALL=C.UTF-8
. "$(dirname "${BASH_SOURCE[0]}")/measure.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../../cluster/roots.sh"

cases=() rounds=5 steps=5 ours=2x1 peer=1x2 environment=tuned suite='' compiled='' output=$root/build/bench/beside_peer
while [ $# -gt 0 ]; do
  case "$1" in
    small-bf16 | small-f32 | tiny-bf16 | tiny-f32) cases+=("$1"); shift; continue ;;
    --stock) environment=stock; shift; continue ;;
    --compiled) compiled=1; shift; continue ;;
    --rounds | --steps | --ours | --peer | --output | --suite) [ $# -ge 2 ] || fail 64 "$1 needs a value" ;;
    *) fail 64 "unknown argument '$1' (known: small-bf16 small-f32 tiny-bf16 tiny-f32 --rounds --steps --ours --peer --stock --suite --compiled --output)" ;;
  esac
  declare "${1#--}=$2"
  shift 2
done
[ ${#cases[@]} -gt 0 ] || cases=(small-bf16 small-f32 tiny-bf16)
positive --rounds "$rounds"
positive --steps "$steps"
IFS=, read -ra our_layouts <<<"$ours"
IFS=, read -ra peer_layouts <<<"$peer"
for layout in "${our_layouts[@]}" "${peer_layouts[@]}"; do
  [[ $layout =~ ^[1-9][0-9]*x[1-9][0-9]*$ ]] || fail 64 "'$layout' is no layout; 2x1 is two processes of one thread each"
done
mkdir -p "$output" || fail 73 "cannot write to $output"

# The Debian packages that make up the peer's environment.
libraries=/usr/lib/x86_64-linux-gnu python=/usr/bin/python3 peer_program=$root/tests/bench/peer/peer_torch.py

require_peer_here() {
  local missing=()
  "$python" -c 'import torch' 2>/dev/null || missing+=(python3-torch)
  if [ "$environment" = tuned ]; then
    blas=$libraries/blis-openmp
    [ -e "$blas/libblas.so.3" ] || missing+=(libblis4-openmp)
    [ -e "$libraries/libjemalloc.so.2" ] || missing+=(libjemalloc2)
  else
    blas=$libraries/openblas-openmp
    [ -e "$blas/libblas.so.3" ] || missing+=(libopenblas0-openmp)
  fi
  [ ${#missing[@]} -eq 0 ] || fail 69 "the $environment peer needs Debian's ${missing[*]}: apt-get install ${missing[*]}"
}

# In a root of its own, beside that of cluster/distributions.sh.
require_peer_in_suite() {
  require_roots
  echo "$program: PyTorch of $suite in $roots/$suite-peer" >&2
  { make_root "$suite" "$suite-peer" && install_inside "$suite-peer" python3-torch libopenblas0-openmp ${compiled:+libtorch-dev python3-dev python3-setuptools g++}; } \
    >"$output/$suite.log" 2>&1 || fail 69 "no PyTorch of $suite; see $output/$suite.log"
  blas=$libraries/openblas-openmp environment=$suite
  cp -- "$peer_program" "$roots/$suite-peer/root/" && peer_program=/root/${peer_program##*/}
}

# in_peers_environment COMMAND…
in_peers_environment() {
  if [ -n "$suite" ]; then inside "$suite-peer" env "$@"; else env "$@"; fi
}

if [ -n "$suite" ]; then require_peer_in_suite; else require_peer_here; fi
version=$(in_peers_environment "LD_LIBRARY_PATH=$blas" "$python" -c 'import torch; print(torch.__version__)' 2>/dev/null)

# run_peer LAYOUT LOG ARGUMENT…   BLIS uses generic kernels unless it is told which to use.
run_peer() {
  local processes=${1%x*} threads=${1#*x} log=$2 variables=(LD_LIBRARY_PATH="$blas")
  shift 2
  [ "$environment" != tuned ] || variables+=(BLIS_ARCH_TYPE=0 BLIS_NUM_THREADS="$threads" OMP_NUM_THREADS="$threads"
    LD_PRELOAD="$libraries/libjemalloc.so.2" "MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always")
  in_peers_environment "${variables[@]}" "$python" "$peer_program" --procs "$processes" --threads "$threads" \
    --steps "$steps" ${compiled:+--compile} "$@" >"$log" 2>&1 </dev/null
}

# one_round CASE ROUND   appends each layout's tokens per second to CASE.SIDE.LAYOUT.
one_round() {
  local case=$1 model=${1%-*} precision=FLOAT32 peer_arguments=(--config "${1%-*}") layout i raw
  [ "${case#*-}" = f32 ] || precision=BFLOAT16 peer_arguments+=(--bf16)
  for ((i = 0; i < ${#our_layouts[@]} || i < ${#peer_layouts[@]}; i++)); do
    layout=${our_layouts[i]:-}
    if [ -n "$layout" ]; then
      raw=$output/$case.ours.$layout.$2
      run_benchmark "$layout" "$raw.json" --config "bench_$model" --steps "$steps" --force-load-balancing \
        --set optimizer.name=ADAMW optimizer.learning_rate=1e-4 "train.precision=$precision" ||
        fail 1 "switchyard did not finish; see $raw.log"
      figure "$raw.json" tokens_per_second >>"$output/$case.ours.$layout"
    fi
    layout=${peer_layouts[i]:-}
    if [ -n "$layout" ]; then
      raw=$output/$case.peer.$layout.$2
      run_peer "$layout" "$raw.log" "${peer_arguments[@]}" || fail 1 "the peer did not finish; see $raw.log"
      sed -n 's/.* with opt \([0-9.]*\) .*/\1/p' "$raw.log" >>"$output/$case.peer.$layout"
    fi
  done
}

# of_side CASE SIDE LAYOUT…   "2x1: 1865 (1840 to 1890); …"
of_side() {
  local case=$1 side=$2 separator='' layout
  shift 2
  for layout in "$@"; do
    printf '%s%s: %s' "$separator" "$layout" "$(spread <"$output/$case.$side.$layout" | cell %.0f)"
    separator='; '
  done
}

# best CASE SIDE LAYOUT…   the file of the layout with the highest median
best() {
  local case=$1 side=$2 layout
  shift 2
  for layout in "$@"; do
    echo "$(spread <"$output/$case.$side.$layout") $output/$case.$side.$layout"
  done | sort -g -k 1,1 | awk 'END { print $4 }'
}

row() {
  local a b
  a=$(best "$1" ours "${our_layouts[@]}") b=$(best "$1" peer "${peer_layouts[@]}")
  echo "| $1 | $(of_side "$1" ours "${our_layouts[@]}") | $(of_side "$1" peer "${peer_layouts[@]}") |" \
    "$(paste "$a" "$b" | awk '{ print $1 / $2 }' | spread | cell %.2f), ${a##*.} beside ${b##*.} |"
}

for case in "${cases[@]}"; do
  rm -f "$output/$case".*
  for ((round = 1; round <= rounds; round++)); do
    echo "$program: $case, round $round of $rounds" >&2
    one_round "$case" "$round"
  done
done
echo "| model | switchyard, tokens/s | PyTorch $version ($environment${compiled:+, compiled}), tokens/s | ratio |"
echo "| --- | --- | --- | --- |"
for case in "${cases[@]}"; do row "$case"; done
echo
echo "Medians of $rounds rounds in turn (least to most), $steps steps each, AdamW, whole steps; raw figures in $output."
machine_line
