#!/usr/bin/env bash
# What beside_peer.sh and goals.sh share, which source this: one run of `switchyard benchmark`, what its
# JSON says, and medians. Prints nothing of its own.
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/../../launch/common.sh"; show_help; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$(dirname "${BASH_SOURCE[0]}")/../../launch/common.sh"
case " $* " in *" --help "* | *" -h "*) show_help ;; esac
switchyard=${SWITCHYARD_PROGRAM:-$root/build/release/switchyard}
[ -x "$switchyard" ] || fail 69 "there is no $switchyard: build it, or name another by SWITCHYARD_PROGRAM"

# run_benchmark PROCESSESxTHREADS JSON ARGUMENT…   what it prints goes to JSON with .log for .json
run_benchmark() {
  local processes=${1%x*} threads=${1#*x} json=$2
  shift 2
  "$root/launch/local.sh" -n "$processes" -t "$threads" "$switchyard" benchmark "$@" --json "$json" >"${json%.json}.log" 2>&1 </dev/null
}

# figure JSON NAME   a number of the top level, or of `phases`
figure() { sed -n "s/^ *\"$2\": \([-+0-9.e]*\),\{0,1\}\$/\1/p" "$1"; }

# Of numbers, a line each: "median least most"; "nan" is left out.
spread() { sed '/nan/d' | sort -g | awk '{ x[NR] = $1 } END { if (NR) print (x[int((NR + 1) / 2)] + x[int((NR + 2) / 2)]) / 2, x[1], x[NR] }'; }

# cell FORMAT   of what `spread` says: "1.25 (1.20 to 1.31)", or a dash where nothing was measured
cell() { awk -v f="$1" '{ printf f " (" f " to " f ")", $1, $2, $3 } END { if (!NR) printf "–" }'; }

machine_line() {
  echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(env -u OMP_NUM_THREADS nproc) cores; $(date +%F);" \
    "$("$switchyard" --version | awk '/^(commit|build)/ { $1 = $1; printf "%s%s", (n++ ? ", " : ""), $0 }')."
}

positive() { [[ $2 =~ ^[1-9][0-9]*$ ]] || fail 64 "$1 is '$2', but must be 1 or more"; }
