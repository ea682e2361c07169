#!/usr/bin/env bash
# Tries the program with many more processes than this machine has cores. Under SimGrid's SMPI the processes of an MPI
# program take turns in one thread: all arithmetic happens, time on the network is simulated.
#   cluster/simulate/run.sh [OPTION…] [bits|bytes|memory|time]…      (default: all four)
# bits    losses, norms and weights of every routing method must be those of one process, bit for bit
# bytes   what a process sends in a step beside what `switchyard describe` predicts
# memory  the largest allocation of a process on many processes and on 16, with the same work for each
# time    simulated seconds per step on the networks in platforms/: a table (CSV) and a picture (SVG)
#   --processes N   the most processes, a power of two from 64 to 1,024      (default: 1024)
#   --build DIR     where the simulated program is built                     (default: build/simulate)
#   --output DIR    where `time` writes                                      (default: build/simulate/output)
#   --short         bits of SWITCH and TOP2 on 64 processes, nothing else: less than a minute once it is built
#   --no-install    where SimGrid is missing, say so instead of installing it
# The exit code is 0 if all that was asked for holds, 1 if not, 69 where it cannot work here.
set -uo pipefail
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../launch/common.sh"
. "$here/../../launch/figures.sh"
root=$(cd "$here/../.." && pwd)
usage="usage: cluster/simulate/run.sh [--processes N] [--build DIR] [--output DIR] [--short] [--no-install] [bits|bytes|memory|time]…"

build=$root/build/simulate output='' parts=() most=1024 short='' install=yes
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) show_help ;;
    --short) short=yes ;;
    --no-install) install='' ;;
    --processes | --build | --output)
      [ $# -ge 2 ] || fail 64 "$1 needs a value; $usage"
      case $1 in --processes) most=$2 ;; --build) build=$2 ;; *) output=$2 ;; esac
      shift ;;
    bits | bytes | memory | time) parts+=("$1") ;;
    *) fail 64 "unknown argument '$1'; $usage" ;;
  esac
  shift
done
case $most in 64 | 128 | 256 | 512 | 1024) ;; *) fail 64 "--processes is '$most' but must be 64, 128, 256, 512 or 1024" ;; esac
[ ${#parts[@]} -gt 0 ] || parts=(bits bytes memory time)
[ -z "$short" ] || { parts=(bits) most=64; }

require_simgrid() {
  [ -z "$(type -P smpicxx)" ] || [ -z "$(type -P smpirun)" ] || return 0
  local how="SimGrid is not installed (Debian: apt-get install libsimgrid-dev)"
  [ -n "$install" ] || fail 69 "$how"
  [ "$(id -u)" = 0 ] && [ -n "$(type -P apt-get)" ] || fail 69 "$how, and only root can install it"
  echo "SimGrid is missing: installing libsimgrid-dev" >&2
  apt-get install -y --no-install-recommends libsimgrid-dev >"$work/apt" 2>&1 ||
    fail 69 "SimGrid is not installed, and apt-get failed: $(tail -n 1 "$work/apt")"
}

# The compiler makes shared objects, in which a test program of CMake would miss symbols that smpirun brings.
build_program() {
  mkdir -p -- "$build" 2>/dev/null && build=$(cd -- "$build" && pwd) || fail 73 "cannot write to $build"
  { [ -e "$build/CMakeCache.txt" ] ||
    SMPI_NO_UNDEFINED_CHECK=1 cmake -S "$here" -B "$build" -DCMAKE_CXX_COMPILER=smpicxx; } >"$build/build.log" 2>&1 &&
    cmake --build "$build" -j "${SWITCHYARD_BUILD_JOBS:-$(nproc)}" >>"$build/build.log" 2>&1 ||
    { tail -n 20 "$build/build.log" >&2; fail 1 "the simulated program could not be built; the whole output is in $build/build.log"; }
}

# Each exchange as R - 1 rounds of pairs: all at once would put R x R messages into the simulated network. Gathers and
# reductions take log2 R rounds.
settings=(smpi/privatization:no smpi/simulate-computation:no network/crosstraffic:0 contexts/stack-size:1024
  smpi/alltoallv:pair smpi/alltoall:bruck smpi/allgather:rdb smpi/allgatherv:mpich_rdb smpi/allreduce:rdb
  smpi/bcast:binomial_tree smpi/barrier:ompi_recursivedoubling smpi/bw-factor:0:0.95 smpi/lat-factor:0:1)

# simulate PROCESSES PLATFORM NAME=VALUE…: writes the program's lines to $work/out and sets `seconds`, the real ones it
# took. $per_host processes share a host.
per_host=1
simulate() {
  local processes=$1 platform=$2 begin options=() setting
  shift 2
  awk -v n="$processes" -v each="$per_host" 'BEGIN { for (i = 0; i < n; i++) printf "node%d\n", int(i / each) }' >"$work/hosts"
  for setting in "${settings[@]}"; do options+=("--cfg=$setting"); done
  begin=$(date +%s.%N)
  (cd "$work" && OMP_NUM_THREADS=1 SMPI_PRIVATIZATION=no timeout "${SWITCHYARD_SIMULATE_SECONDS:-3600}" smpirun -np "$processes" \
    -platform "$here/platforms/$platform.xml" -hostfile "$work/hosts" "${options[@]}" "$build/simulated_steps" "$@") \
    >"$work/out" 2>"$work/errors"
  local status=$?
  seconds=$(awk -v begin="$begin" -v end="$(date +%s.%N)" 'BEGIN { printf "%.1f\n", end - begin }')
  [ "$status" -eq 0 ] && grep -q '^weights' "$work/out" && return 0
  tail -n 5 "$work/errors" >&2
  echo "$program: $processes processes with $* ended with code $status" >&2
  return 1
}

# Losses, norms and weights of the last simulation.
bits_of_last() { sed -n 's/ seconds .*//; /^step\|^weights/p' "$work/out"; }

# compare PROCESSES NAME NAME=VALUE…: a row of the table: the same on PROCESSES processes and on one.
compare() {
  local processes=$1 name=$2 one alone equal=no
  shift 2
  simulate 1 ethernet "$@" || { failed=1; return; }
  one=$(bits_of_last) alone=$seconds
  simulate "$processes" ethernet "$@" || { echo "| $name | $processes | $alone | | failed |"; failed=1; return; }
  if [ "$(bits_of_last)" = "$one" ]; then equal=yes held=$((held + 1)); else failed=1; fi
  cases=$((cases + 1))
  echo "| $name | $processes | $alone | $seconds | $equal |"
}

# What must move no bit, all of it off and on. A further switch of the program is a further word here.
off=(overlap=0 exchange=DIRECT exchange_chunks=1 shard_optimizer=0)
on=(overlap=1 exchange=TWO_LEVEL exchange_chunks=3 shard_optimizer=1)

# Further cases that must move no bit become further rows here.
run_bits() {
  local routing methods=(SWITCH TOP2 TOPK EXPERT_CHOICE SOFT HASH NTLB)
  [ -z "$short" ] || methods=(SWITCH TOP2)
  echo '| case | processes | seconds on one | seconds on all | same bits |'
  echo '| --- | --- | --- | --- | --- |'
  for routing in "${methods[@]}"; do
    compare 64 "$routing" virtual_ranks=64 num_experts=16 routing="$routing"
  done
  [ -z "$short" ] || return 0
  compare 64 'SWITCH, 2 micro-steps, BFLOAT16, AdamW' virtual_ranks=64 num_experts=16 micro_steps=2 precision=BFLOAT16 optimizer=ADAMW
  compare 64 'TOP2, 4 replica groups, SGD' virtual_ranks=64 num_experts=16 groups=4 routing=TOP2 optimizer=SGD
  compare 16 'SWITCH, 4 virtual ranks per process' virtual_ranks=64 num_experts=16
  compare_switches 64 virtual_ranks=64 num_experts=192
  [ "$most" -gt 64 ] || return 0
  [ "$most" -lt 256 ] || compare_switches 256 virtual_ranks=256 "${large[@]}" num_experts=512
  compare "$most" 'one sparse layer, 64 experts, all off' virtual_ranks="$most" "${large[@]}" "${off[@]}"
  per_host=16
  compare "$most" 'the same, all on, 16 processes per host' virtual_ranks="$most" "${large[@]}" "${on[@]}"
  per_host=1
}

# compare_switches PROCESSES NAME=VALUE…: each switch alone turned on, and each alone turned off, with 8 processes per host.
compare_switches() {
  local processes=$1 i
  shift
  per_host=8
  for i in "${!off[@]}"; do
    compare_switched "only ${on[i]}" "$processes" "$@" "${off[@]:0:i}" "${on[i]}" "${off[@]:i+1}"
    compare_switched "all on but ${off[i]}" "$processes" "$@" "${on[@]:0:i}" "${off[i]}" "${on[@]:i+1}"
  done
  per_host=1
}

# The simulator starts all R x R messages of a nonblocking exchange at once, and takes minutes for those of 64 processes.
compare_switched() {
  local name=$1 processes=$2
  shift 2
  case " $* " in *" exchange=DIRECT ${on[2]} "*) processes=16 ;; esac
  compare "$processes" "$name" "$@"
}
large=(num_layers=1 encoder_sparse_step=1 decoder_sparse_step=0 num_experts=64 d_model=8 d_ff=16 d_kv=4 vocab_size=64 input_length=8 target_length=8)

# value CARGO NAME: of the last step. A line is: sent STEP CARGO NAME VALUE NAME VALUE …
value() { awk -v cargo="$1" -v name="$2" '$1 == "sent" && $3 == cargo { for (i = 4; i < NF; i += 2) if ($i == name) v = $(i + 1) } END { print v }' "$work/out"; }
planned() { awk -v cargo="$1" -v name="$2" '$1 == "plan" && $2 == cargo { for (i = 3; i < NF; i += 2) if ($i == name) print $(i + 1) }' "$work/out"; }

# Tokens go to experts in turn and none is dropped, so the prediction must be exact.
run_bytes() {
  local processes routing equal cargo row
  echo '| routing | processes | cargo | messages of the busiest | its bytes | bytes together | predicted | same |'
  echo '| --- | --- | --- | --- | --- | --- | --- | --- |'
  for routing in SWITCH TOP2; do
    for processes in 4 16 64; do
      cases=$((cases + 1))
      simulate "$processes" ethernet virtual_ranks="$processes" num_experts=16 balanced=1 steps=2 routing="$routing" || { failed=1; continue; }
      equal=yes
      for cargo in rows gradients figures; do
        row="| $routing | $processes | $cargo | $(value "$cargo" messages) | $(value "$cargo" bytes) | $(value "$cargo" together) |"
        if [ "$cargo" = figures ]; then echo "$row not | |"; continue; fi
        if [ "$(planned "$cargo" together)" = "$(value "$cargo" together)" ]; then row+=" $(planned "$cargo" together) | yes |"; else row+=" $(planned "$cargo" together) | no |" equal=no; fi
        echo "$row"
      done
      if [ "$equal" = yes ]; then held=$((held + 1)); else failed=1; fi
    done
  done
}

# One virtual rank per process, an expert for every four of them, and tokens that go to experts in turn: a process's own
# share is the same on any number of processes. The largest allocation may be twice that on 16.
run_memory() {
  local processes period largest together names before=''
  local -A first
  echo '| when | processes | largest allocation, bytes | most held, bytes | the largest was made in |'
  echo '| --- | --- | --- | --- | --- |'
  for processes in 16 64 256 "$most"; do
    [ "$processes" -le "$most" ] && [ "$processes" != "$before" ] || continue
    before=$processes
    simulate "$processes" ethernet virtual_ranks="$processes" "${large[@]}" num_experts=$((processes / 4)) d_model=32 \
      d_ff=128 input_length=32 balanced=1 steps=1 || { failed=1; return; }
    for period in start step; do
      read -r largest together names < <(sed -n "s/^memory $period largest \([0-9]*\) held \([0-9]*\) by /\1 \2 /p" "$work/out")
      echo "| $period | $processes | $largest | $together | $names |"
      [ "$processes" -ne 16 ] || first[$period]=$largest
      [ "$processes" -eq "$most" ] || continue
      cases=$((cases + 1))
      if [ "$largest" -le $((2 * first[$period])) ]; then held=$((held + 1)); else failed=1; fi
    done
  done
}

# The network alone: computing takes no simulated time.
run_time() {
  local platform processes csv
  output=${output:-$build/output}
  mkdir -p -- "$output" 2>/dev/null || fail 73 "cannot write to $output"
  csv=$output/time.csv
  echo 'platform,processes,simulated_seconds,messages,bytes' >"$csv" || fail 73 "cannot write to $output"
  echo '| network | processes | simulated seconds a step | real seconds of the simulation |'
  echo '| --- | --- | --- | --- |'
  for platform in ethernet fat_tree torus; do
    : >"$work/$platform.dat"
    for processes in 4 16 64 256 1024; do
      [ "$processes" -le "$most" ] || continue
      cases=$((cases + 1))
      simulate "$processes" "$platform" virtual_ranks="$processes" "${large[@]}" d_model=64 d_ff=128 input_length=32 steps=2 || { failed=1; continue; }
      held=$((held + 1))
      awk -v platform="$platform" -v processes="$processes" '$1 == "step" { s = $8 } $1 == "sent" && $2 == 2 { m += $5; b += $7 }
        END { print platform "," processes "," s "," m "," b }' "$work/out" >>"$csv"
      awk -v processes="$processes" '$1 == "step" { s = $8 } END { print processes, 1000 * s }' "$work/out" >>"$work/$platform.dat"
      echo "| $platform | $processes | $(tail -n 1 "$csv" | cut -d, -f3) | $seconds |"
    done
  done
  draw_time
}

draw_time() {
  local curves='' platform number=0 names=('1 Gbit/s Ethernet' '100 Gbit/s fat tree' 'torus of 5 GB/s')
  command -v gnuplot >/dev/null || { echo "gnuplot is not installed: no picture"; return; }
  for platform in ethernet fat_tree torus; do
    [ ! -s "$work/$platform.dat" ] || curves+="'$platform.dat' using 1:2 with linespoints lw 2 $(look "$number") title $(gnuplot_string "${names[number]}"), "
    number=$((number + 1))
  done
  [ -n "$curves" ] || return 0
  take_formats svg
  key_below '' "${names[@]}"
  draw "$output/time" 640 $((300 + key_height)) 'Simulated time of communication in a step' \
    'SWITCH, one sparse layer, 64 experts, 32 tokens a process, width 64; one process a host; computing takes no time' \
    "$(one_plot "set logscale xy; set xtics (4, 16, 64, 256, 1024); set xlabel 'processes'; set ylabel 'ms per step'
plot ${curves%, }")"
}

make_work_directory
require_simgrid
for tool in cmake awk; do [ -n "$(type -P "$tool")" ] || fail 69 "$tool is not installed"; done
build_program
failed=0 cases=0 held=0
for part in "${parts[@]}"; do
  tell ""
  tell "$part"
  tell ""
  "run_$part"
done
tell ""
tell "$held of $cases cases hold"
exit "$failed"
