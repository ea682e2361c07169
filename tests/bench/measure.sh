# What beside_peer.sh and goals.sh share, which source this: one run of `switchyard benchmark`, what its
# JSON says, and medians. Prints nothing of its own. $program is the name of the script.

fail() { echo "$program: $2" >&2; exit "$1"; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
switchyard=${SWITCHYARD_PROGRAM:-$root/build/release/switchyard}
[ -x "$switchyard" ] || fail 69 "there is no $switchyard: build it, or name another by SWITCHYARD_PROGRAM"
if [ "$(id -u)" -eq 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}

# run_benchmark PROCESSESxTHREADS JSON ARGUMENT…   what it prints goes to JSON with .log for .json
run_benchmark() {
  local processes=${1%x*} threads=${1#*x} json=$2 binding=core
  shift 2
  [ "$threads" -eq 1 ] || binding=none
  OMP_NUM_THREADS=$threads mpirun -n "$processes" --bind-to "$binding" --quiet -x OMP_NUM_THREADS \
    "$switchyard" benchmark "$@" --json "$json" >"${json%.json}.log" 2>&1 </dev/null
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
