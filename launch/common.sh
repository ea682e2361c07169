#!/usr/bin/env bash
# What the scripts share, which source this: their --help, sentences of failure, a scratch directory,
# and where the switchyard program is. Knows nothing of what they do.
export LC_ALL=C.UTF-8
program=$(basename -- "$0")

# The comment that a script begins with is its help.
show_help() {
  sed -n '2,${/^#/!q;s/^# \{0,1\}//p}' "$0"
  exit 0
}

# Where nobody reads it, the exit code says it.
fail() {
  echo "$program: $2" >&2 || true
  exit "$1"
}

# A line for people, of which nothing depends: a reader that has gone away does not end the script.
tell() { echo "$1" 2>/dev/null || true; }

# With a command or a directory that begins with "-", too.
directory_of() { (cd -P -- "$(dirname -- "$1")" && pwd); }

# Sets `switchyard` to the program of the build tree or of the installation that these scripts belong
# to, else to the one in PATH; to nothing where there is none.
find_switchyard() {
  local scripts
  scripts=$(directory_of "${BASH_SOURCE[0]}")
  for switchyard in "$scripts/../build/release/switchyard" "$scripts/../../../bin/switchyard" "$(type -P switchyard || true)"; do
    [ ! -x "$switchyard" ] || return 0
  done
  switchyard=
}

temporary_directory() { echo "${TMPDIR:-/tmp}"; }

# Open MPI says a lot about a temporary directory that it cannot use, but not where its name comes from.
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

# Sets `work` to a new directory, which goes when the script ends. Its path is absolute.
make_work_directory() {
  work=$(cd -- "$(temporary_directory)" 2>/dev/null && mktemp -d "$PWD/switchyard-XXXXXX" 2>/dev/null) || refuse_temporary_directory
  trap 'rm -rf -- "$work"' EXIT
}

# Words as a shell reads them again; only those that need it are quoted.
shell_words() {
  local word text=''
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || word="'${word//"'"/"'\\''"}'"
    text+=" $word"
  done
  echo "${text# }"
}

[[ $0 != "${BASH_SOURCE[0]}" ]] || show_help
