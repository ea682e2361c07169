#!/usr/bin/env bash
# A simulated cluster: several hosts on this machine, to try what only happens between hosts. Each host is a network
# namespace with a name (n1, n2, …), an address (10.99.0.1, …), a /tmp and a /dev/shm of its own. Their links meet in a
# switch in a namespace of its own, so the machine's network is untouched. All else, cores and memory included, is shared.
#   hosts.sh up N              makes n1 … nN
#   hosts.sh on HOST COMMAND…  runs a command there
#   hosts.sh ssh HOST COMMAND… the same in place of ssh (launch/cluster.sh --agent): code 255 while the link is cut
#   hosts.sh rate RATE [N…]    the rate of the links of hosts N…, or of all: 1gbit, 100mbit, off
#   hosts.sh cut HOST          takes its link down;  hosts.sh mend HOST: up again
#   hosts.sh list              the hosts
#   hosts.sh down              ends what runs there and removes everything
#   hosts.sh possible          exit code 0 if hosts can be made here; 69 with the reason if not
# $SWITCHYARD_HOSTS (default /tmp/switchyard-hosts; under /tmp) is the directory that all hosts see, as by NFS.
# There is one simulated cluster per machine. Needs root, ip, tc, nsenter and unshare.
set -euo pipefail
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../launch/common.sh"

usage='usage: hosts.sh up N | on HOST COMMAND… | ssh HOST COMMAND… | rate RATE [HOST…] | cut HOST | mend HOST | list | down | possible'
shared=${SWITCHYARD_HOSTS:-/tmp/switchyard-hosts}
[[ $shared == /tmp/?* ]] || fail 64 "SWITCHYARD_HOSTS is '$shared', but must be a directory under /tmp"
prefix=switchyard-                        # of the namespaces' names
state=/run/switchyard-hosts               # namespaces of host names, which exist as long as they are mounted
private=/var/tmp/switchyard-hosts-private # each host's own files

namespace() { echo "$prefix$1"; }
list() { ip netns list 2>/dev/null | sed -nE "s/^${prefix}(n[0-9]+)( .*)?$/\1/p" | sort -V; }
require_host() { list | grep -qxF -- "$1" || fail 64 "there is no host '$1' (hosts: $(list | paste -sd ' '))"; }

why_not() {
  local tool
  [ "$(id -u)" -eq 0 ] || { echo 'only root may make hosts'; return; }
  for tool in ip tc nsenter unshare; do
    [ -n "$(type -P "$tool")" ] || { echo "$tool is missing (Debian: iproute2, util-linux)"; return; }
  done
  unshare --net --uts --mount true 2>/dev/null || { echo 'the kernel refuses namespaces here'; return; }
  unshare --net ip link add name bridge0 type bridge 2>/dev/null || echo 'the kernel has no bridges here'
}
require_possible() {
  local why
  why=$(why_not)
  [ -z "$why" ] || fail 69 "$why"
}

up() {
  [[ ${1:-} =~ ^[1-9][0-9]?$ ]] || fail 64 "$usage"
  require_possible
  [ -z "$(list)" ] || fail 73 "there are hosts already ($(list | paste -sd ' ')): remove them with hosts.sh down"
  trap down ERR
  local i switch
  switch=$(namespace switch)
  mkdir -p "$state" "$shared"
  mount --bind "$state" "$state"
  mount --make-private "$state"
  ip netns add "$switch"
  ip -n "$switch" link add bridge type bridge forward_delay 0
  ip -n "$switch" link set bridge up
  for i in $(seq "$1"); do add_host "n$i" "$i"; done
  { echo '127.0.0.1 localhost'; for i in $(seq "$1"); do echo "10.99.0.$i n$i"; done; } >"$private/hosts"
}

add_host() {
  local host=$1 ns switch
  ns=$(namespace "$host") switch=$(namespace switch)
  ip netns add "$ns"
  ip -n "$ns" link set lo up
  ip -n "$ns" link add eth0 type veth peer name "$host" netns "$switch"
  ip -n "$ns" address add "10.99.0.$2/24" dev eth0
  ip -n "$ns" link set eth0 up
  ip -n "$switch" link set "$host" master bridge up
  mkdir -p "$private/$host/tmp/${shared#/tmp/}" "$private/$host/shm"
  touch "$state/$host"
  unshare --uts="$state/$host" hostname "$host"
}

# The inner shell's mounts end with the command.
# shellcheck disable=SC2016  # its variables
enter='
  private=$1 host=$2 shared=$3 here=$4
  shift 4
  mount --bind "$private/hosts" /etc/hosts && mount --bind "$private/$host/shm" /dev/shm &&
    mount --bind "$shared" "$private/$host/tmp/${shared#/tmp/}" && mount --rbind "$private/$host/tmp" /tmp || exit 73
  cd "$here" 2>/dev/null || cd /
  exec sh -c "$*"'
on() {
  [ $# -ge 2 ] || fail 64 "$usage"
  local host=$1
  shift
  require_host "$host"
  exec nsenter --net="/run/netns/$(namespace "$host")" --uts="$state/$host" \
    unshare --mount sh -c "$enter" - "$private" "$host" "$shared" "$PWD" "$@"
}

through_link() {
  [ $# -ge 2 ] || fail 64 "$usage"
  require_host "$1"
  ip -n "$(namespace switch)" link show "$1" | grep -q 'state UP' || fail 255 "no route to host $1"
  on "$@"
}

rate() {
  [ $# -ge 1 ] || fail 64 "$usage"
  local rate=$1 host
  shift
  [ $# -gt 0 ] || { mapfile -t all < <(list); set -- "${all[@]}"; }
  for host; do
    require_host "$host"
    limit "$(namespace "$host")" eth0 "$rate"
    limit "$(namespace switch)" "$host" "$rate"
  done
}
limit() {
  ip netns exec "$1" tc qdisc delete dev "$2" root 2>/dev/null || true
  # A short queue in front of the link, as switches have it.
  [ "$3" = off ] || ip netns exec "$1" tc qdisc add dev "$2" root tbf rate "$3" burst 64kb latency 50ms ||
    fail 64 "tc does not take '$3' as a rate: 1gbit, 100mbit, off"
}

link() {
  [ $# -eq 2 ] || fail 64 "$usage"
  require_host "$1"
  ip -n "$(namespace switch)" link set "$1" "$2"
}

mend() {
  local host
  link "${1:-}" up
  # Nobody still believes that the host cannot be reached.
  for host in $(list); do ip -n "$(namespace "$host")" neighbour flush dev eth0; done
  sleep 1
}

down() {
  trap - ERR
  local host pid ns
  for host in $(list); do
    for pid in $(ip netns pids "$(namespace "$host")"); do kill -KILL "$pid" 2>/dev/null || true; done
  done
  for ns in $(ip netns list 2>/dev/null | sed -nE "s/^(${prefix}[a-z0-9]+)( .*)?$/\1/p"); do ip netns delete "$ns"; done
  for host in "$state"/n*; do [ ! -e "$host" ] || umount "$host" 2>/dev/null || true; done
  umount "$state" 2>/dev/null || true
  rm -rf -- "$state" "$private"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  -h | --help) show_help ;;
  up | down | list | rate | on) "$command" "$@" ;;
  ssh) through_link "$@" ;;
  cut) link "${1:-}" down ;;
  mend) mend "$@" ;;
  possible) require_possible ;;
  *) fail 64 "$usage" ;;
esac
