#!/usr/bin/env bash
# Installs into a new prefix and uses the installation from an empty directory.
#   install_test.sh CMAKE BUILD_DIRECTORY
set -euo pipefail
cmake=$1 build=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() { echo "install_test: $*" >&2; exit 1; }

"$cmake" --install "$build" --prefix "$scratch/prefix" >/dev/null
for file in bin/switchyard share/switchyard/configs/tiny.textproto share/switchyard/configs/README.md \
            share/switchyard/launch/local.sh share/switchyard/README.md \
            share/switchyard/launch/study.sh share/switchyard/cluster/scaling/experts/experts.study \
            share/bash-completion/completions/switchyard; do
  [ -f "$scratch/prefix/$file" ] || fail "$file is not installed"
done
[ -x "$scratch/prefix/share/switchyard/launch/local.sh" ] || fail "local.sh cannot be executed"

mkdir "$scratch/empty"
cd "$scratch/empty"
switchyard=$scratch/prefix/bin/switchyard
options=$("$switchyard" options moe)  # whole: a closed pipe would stop it
[[ $options == *moe.num_experts* ]] || fail "options does not print moe.num_experts"

expect() {
  local code=$1 text=$2 output status=0
  shift 2
  output=$("$switchyard" "$@" 2>&1) || status=$?
  [ "$status" -eq "$code" ] || fail "'$*' exits with $status, not $code: $output"
  grep -q -- "$text" <<<"$output" || fail "'$*' does not say '$text': $output"
}
expect 64 batch_size train --config tiny --set train.batch_size=3 --set data.train=nowhere --output run
expect 66 nowhere train --config tiny --set data.train=nowhere --output run
[ -z "$(ls -A)" ] || fail "a refused command left something behind: $(ls -A)"

# They must come from the prefix, not from the source tree.
echo 'train { batch_size: 3 }' >"$scratch/prefix/share/switchyard/configs/only_here.textproto"
expect 64 batch_size train --config only_here --set data.train=nowhere --output run
