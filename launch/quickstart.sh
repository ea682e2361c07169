#!/usr/bin/env bash
# From a bare clone to a trained Switch Transformer in a few minutes: installs what is missing,
# builds the program, prepares the King James Bible, trains the `tiny` configuration on two
# processes, and shows what the model has learnt. Run again, it reuses what exists.
#   launch/quickstart.sh [--steps N] [--output DIRECTORY]     (default: 500 steps, quickstart/)
set -euo pipefail
export LC_ALL=C.UTF-8
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

here=quickstart
steps=500
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) show_help ;;
    --steps | --output) [ -n "${2:-}" ] || fail 64 "$1 needs a value" ;;
    *) fail 64 "unknown argument '$1' (known: --steps N, --output DIRECTORY)" ;;
  esac
  case "$1" in
    --steps) steps=$2 ;;
    --output) here=$2 ;;
  esac
  shift 2
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."
run=$here/run
switchyard=build/release/switchyard
start=$SECONDS
mkdir -p -- "$here" 2>/dev/null || fail 73 "cannot write to $here"

stage() { printf '\n[%d:%02d] %s\n' $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)) "$*"; }

# logged FILE COMMAND…: writes output to a log, and shows its last lines if the command fails.
logged() {
  local log=$1
  shift
  "$@" >"$log" 2>&1 || {
    local status=$?
    tail -n 30 "$log" >&2
    fail "$status" "'$*' failed with exit code $status; its whole output is in $log"
  }
}

stage "packages"
launch/install_dependencies.sh

stage "build (output in $here/build.log)"
logged "$here/build.log" cmake --preset release
logged "$here/build.log" cmake --build --preset release --target switchyard
$switchyard --version | sed 's/^/  /'

stage "the text: the King James Bible, verse references removed, a chapter a document"
if [ ! -s "$here/bible.txt" ]; then
  bible -f -l 100000 'Gen1:1-Rev22:21' </dev/null |
    awk '{ split($1, place, ":"); if (NR > 1 && place[1] != last) print ""; last = place[1]
           sub(/^[^ ]+ /, ""); print }' >"$here/bible.txt.tmp"
  mv "$here/bible.txt.tmp" "$here/bible.txt"
else
  echo "  $here/bible.txt is there already"
fi
for line in 1 14000 30000; do
  awk -v line=$line 'NR >= line && NF { print "  | " substr($0, 1, 150); exit }' "$here/bible.txt"
done

stage "prepare: tokenizer and token files"
if [ ! -s "$here/data/dataset.textproto" ]; then
  $switchyard prepare --input "$here/bible.txt" --vocab-size 4000 --output "$here/data" 2>"$here/prepare.log" | sed 's/^/  /' ||
    { tail -n 20 "$here/prepare.log" >&2; fail 1 "prepare failed; what it said is in $here/prepare.log"; }
else
  echo "  $here/data is there already"
fi

stage "training: configs/tiny.textproto on 2 processes x 1 thread"
if [ -d "$run" ]; then echo "  $run is there already: training goes on from its newest checkpoint"; fi
launch/local.sh -n 2 -t 1 train --config tiny --set data.train="$here/data" train.steps="$steps" --output "$run"

stage "what was learnt: the same validation passages, before and after training"
launch/local.sh -n 2 -t 1 evaluate --checkpoint "$run" --untrained --unigram --show 2 2>"$here/evaluate.log" | tee "$here/evaluation.txt" ||
  { tail -n 20 "$here/evaluate.log" >&2; fail 1 "the evaluation failed; what it said is in $here/evaluate.log"; }

stage "the same bits on any number of processes: 20 steps on 1 and on 2"
for processes in 1 2; do
  rm -rf "$here/check-$processes"
  logged "$here/check-$processes.log" launch/local.sh -n $processes -t 1 train --config tiny --set data.train="$here/data" \
    --set train.steps=20 --set train.eval_interval=0 --output "$here/check-$processes"
  printf '  %d process%-3s %s\n' $processes "$([ $processes -eq 1 ] || echo es)" \
    "$($switchyard inspect "$here/check-$processes" --hash 2>/dev/null | tail -n 1)"
done

stage "pictures"
launch/plot.sh "$run" | sed 's/^/  /'

stage "done"
awk '$1 == "trained" { printf "  validation loss %s nats per target token (%s on text pieces)\n", $2, $5; exit }' "$here/evaluation.txt"
cat <<EOF
  pictures in $run/plots

Next:
  the dense twin         launch/local.sh -n 2 -t 1 train --config tiny_dense --set data.train=$here/data train.steps=$steps --output $here/dense
                         launch/plot.sh $run $here/dense
  more experts           launch/local.sh -n 2 -t 1 train --config tiny --set moe.num_experts=32 data.train=$here/data train.steps=$steps --output $here/experts-32
  go on, on 1 process    launch/local.sh -n 1 -t 2 train --set train.steps=2000 --output $run
  your own text          $switchyard prepare --input 'mine/*.txt' --vocab-size 8000 --output mine/data
EOF
