#!/usr/bin/env bash
# Shared by the scripts that source this file: their --help, error messages, a scratch directory,
# and the path of the switchyard program. It knows nothing of what the scripts do.
export LC_ALL=C.UTF-8
program=$(basename -- "$0")

# The comment at the beginning of a script is its help.
show_help() {
  sed -n '2,${/^#/!q;s/^# \{0,1\}//p}' "$0"
  exit 0
}

# If nobody can read the message, the exit code still tells.
fail() {
  echo "$program: $2" >&2 || true
  exit "$1"
}

# Prints a line for people that nothing depends on; a reader that has gone away does not end the
# script.
tell() { echo "$1" 2>/dev/null || true; }

# Also works for a command or directory that begins with "-".
directory_of() { (cd -P -- "$(dirname -- "$1")" && pwd); }

# Sets `switchyard` to the program of the build tree or installation that contains these scripts,
# else to the one in PATH; to "" if there is none.
find_switchyard() {
  local scripts
  scripts=$(directory_of "${BASH_SOURCE[0]}")
  for switchyard in "$scripts/../build/release/switchyard" "$scripts/../../../bin/switchyard" "$(type -P switchyard || true)"; do
    [ ! -x "$switchyard" ] || return 0
  done
  switchyard=
}

temporary_directory() { echo "${TMPDIR:-/tmp}"; }

# Open MPI prints many messages about a temporary directory that it cannot use, but not where its
# name comes from.
require_temporary_directory() {
  local directory
  directory=$(temporary_directory)
  if [ ! -d "$directory" ] || [ ! -w "$directory" ] || [ ! -x "$directory" ]; then refuse_temporary_directory; fi
}

refuse_temporary_directory() {
  if [ -n "${TMPDIR:-}" ]; then
    fail 73 "TMPDIR is '$TMPDIR', where nothing can be written: set it to a directory that can be written to, or unset it"
  fi
  fail 73 "nothing can be written to /tmp: set TMPDIR to a directory that can be written to"
}

# Sets `work` to the absolute path of a new directory, which is removed when the script ends.
make_work_directory() {
  work=$(cd -- "$(temporary_directory)" 2>/dev/null && mktemp -d "$PWD/switchyard-XXXXXX" 2>/dev/null) || refuse_temporary_directory
  trap 'rm -rf -- "$work"' EXIT
}

# Prints words in shell syntax; only words that need quotes get them.
shell_words() {
  local word text=''
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || word="'${word//"'"/"'\\''"}'"
    text+=" $word"
  done
  echo "${text# }"
}

[[ $0 != "${BASH_SOURCE[0]}" ]] || show_help
