#!/usr/bin/env bash
# Root directories of Debian suites other than this machine's, and commands inside of them. distributions.sh,
# arm64.sh and tests/bench/beside_peer.sh source this, after launch/common.sh. Nothing of a suite runs outside of its
# root. They stay for the next time, in $SWITCHYARD_ROOTS (default /var/tmp/switchyard-roots).
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/../launch/common.sh"; show_help; }

roots=${SWITCHYARD_ROOTS:-/var/tmp/switchyard-roots}

require_roots() {
  [ "$(id -u)" -eq 0 ] || fail 69 "only root may make root directories"
  type -P debootstrap >/dev/null || fail 69 "debootstrap is missing: apt-get install debootstrap"
  mkdir -p -- "$roots" || fail 73 "cannot write to $roots"
}

# This machine's own mirror of Debian.
mirror() {
  local own
  own=$(grep -hoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
    grep -vE 'security|snapshot' | sed -n 1p)
  echo "${own:-http://deb.debian.org/debian}"
}

# What runs inside has devices of its own: a package's script must not change this machine's.
# shellcheck disable=SC2016  # the inner shell's variables
enter_root='
  root=$1; shift
  mount -t proc proc "$root/proc" && mount --rbind /sys "$root/sys" && mount -t tmpfs devices "$root/dev" || exit
  cd "$root/dev" && mkdir pts shm && ln -s pts/ptmx ptmx && ln -s /proc/self/fd fd || exit
  ln -s fd/0 stdin && ln -s fd/1 stdout && ln -s fd/2 stderr || exit
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620 pts pts && mount -t tmpfs -o mode=1777 shm shm || exit
  for device in null zero full random urandom tty; do touch $device && mount --bind /dev/$device $device || exit; done
  exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"'

# inside NAME COMMAND…: runs in that root, with mounts that end with it and a clean environment.
inside() {
  local root=$roots/$1
  shift
  unshare --mount --fork bash -c "$enter_root" - "$root" "$@" </dev/null
}

install_inside() {
  local name=$1
  shift
  inside "$name" apt-get update && inside "$name" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# make_root SUITE [NAME]: the root of that name, where it is not there yet.
make_root() {
  local name=${2:-$1}
  [ ! -e "$roots/$name/made" ] || return 0
  rm -rf --one-file-system -- "${roots:?}/$name"  # of an attempt that did not end
  # A mirror may be of an earlier day than a suite that is still being made allows.
  debootstrap --variant=minbase "$1" "$roots/$name" "$(mirror)" && cp /etc/resolv.conf "$roots/$name/etc/" &&
    echo 'Acquire::Check-Valid-Until "false";' >"$roots/$name/etc/apt/apt.conf.d/90any-day" &&
    install_inside "$name" git ca-certificates && touch "$roots/$name/made"
}

# update_clone NAME: /root/switchyard there is HEAD of this project, and keeps what it has built.
update_clone() {
  local project clone=$roots/$1/root/switchyard
  project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  [ -d "$clone" ] || git clone -q --no-hardlinks "$project" "$clone" || return
  git -C "$clone" fetch -q "$project" HEAD && git -C "$clone" checkout -qf FETCH_HEAD && git -C "$clone" clean -qfd
}

commit_and_machine() {
  echo "$(git -C "$(dirname "${BASH_SOURCE[0]}")" log -1 --format='commit %h'), $(date -u +%F)," \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sed -n 1p), $(nproc) cores"
}
