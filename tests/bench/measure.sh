#!/usr/bin/env bash
# Shared by beside_peer.sh and goals.sh, which source this: runs `switchyard benchmark`, reads its
# JSON, and computes medians. Prints nothing of its own.
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/../../launch/common.sh"; show_help; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$(dirname "${BASH_SOURCE[0]}")/../../launch/common.sh"
case " $* " in *" --help "* | *" -h "*) show_help ;; esac
switchyard=${SWITCHYARD_PROGRAM:-$root/build/release/switchyard}
[ -x "$switchyard" ] || fail 69 "there is no $switchyard: build it, or name another by SWITCHYARD_PROGRAM"

# run_benchmark PROCESSESxTHREADS JSON ARGUMENT…   its output goes to JSON with .log in place of
# .json
run_benchmark() {
  local processes=${1%x*} threads=${1#*x} json=$2
  shift 2
  "$root/launch/local.sh" -n "$processes" -t "$threads" "$switchyard" benchmark "$@" --json "$json" >"${json%.json}.log" 2>&1 </dev/null
}

# figure JSON NAME   a number of the top level, or of `phases`
figure() { sed -n "s/^ *\"$2\": \([-+0-9.e]*\),\{0,1\}\$/\1/p" "$1"; }

# From numbers, one per line: "median minimum maximum"; "nan" is ignored.
spread() { sed '/nan/d' | sort -g | awk '{ x[NR] = $1 } END { if (NR) print (x[int((NR + 1) / 2)] + x[int((NR + 2) / 2)]) / 2, x[1], x[NR] }'; }

# cell FORMAT   formats the output of `spread`: "1.25 (1.20 to 1.31)", or a dash if nothing was
# measured
cell() { awk -v f="$1" '{ printf f " (" f " to " f ")", $1, $2, $3 } END { if (!NR) printf "–" }'; }

machine_line() {
  echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(env -u OMP_NUM_THREADS nproc) cores; $(date +%F);" \
    "$("$switchyard" --version | awk '/^(commit|build)/ { $1 = $1; printf "%s%s", (n++ ? ", " : ""), $0 }')."
}

positive() { [[ $2 =~ ^[1-9][0-9]*$ ]] || fail 64 "$1 is '$2', but must be 1 or more"; }
