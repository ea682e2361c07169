# Completion for bash. It asks the program for its commands and options, so it is always up to date.
_switchyard() {
  local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
  local candidates='' installed
  if (( COMP_CWORD == 1 )) || [[ $previous == help ]]; then
    candidates=$("$program" help | sed -n 's/^  \([a-z]\+\) .*/\1/p')
  elif [[ $previous == --set || $previous == options ]]; then
    candidates=$("$program" options 2>/dev/null | sed -n 's/^  \([a-z]\+\.[a-z_]\+\) .*/\1/p')
  elif [[ $previous == --config ]]; then
    installed=$(dirname "$(readlink -f "$(type -P "$program")")")/../share/switchyard/configs
    candidates=$(cd "$installed" 2>/dev/null && ls | sed -n 's/\.textproto$//p')
  elif [[ $current == -* ]]; then
    candidates=$("$program" help "${COMP_WORDS[1]}" 2>/dev/null | grep -o -- '--[a-z][a-z-]*' | sort -u)
  fi
  mapfile -t COMPREPLY < <(compgen -W "$candidates" -- "$current")
}
complete -o bashdefault -o default -F _switchyard switchyard
