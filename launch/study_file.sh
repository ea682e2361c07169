#!/usr/bin/env bash
# Reads a study's file, for study.sh, which sources this: into variables, once, with every mistake
# reported as a sentence with file and line. It knows nothing of runs. cluster/scaling/README.md
# documents the format.
export LC_ALL=C.UTF-8
[[ $0 != "${BASH_SOURCE[0]}" ]] || { . "$(dirname -- "$0")/common.sh"; show_help; }

declare -A study=() own=() seeds_of=() ranks=()
values=() common=() wanted=()
endless=1000000000  # more steps than any budget in minutes allows

read_study() {
  local line number=0 key rest seed_places=() seed_lines=() i
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    read -r key rest <<<"${line%%#*}" || true
    [ -n "$key" ] || continue
    where="$1:$number"
    [ -n "$rest" ] || fail 64 "$where: '$key' says nothing"
    case $key in
      title | config | axis | label | baseline | claim | data | steps | minutes)
        [ -z "${study[$key]:-}" ] || fail 64 "$where: '$key' is said twice"
        study[$key]=$rest ;;
      set) take_settings "$rest"; common+=("${taken[@]}") ;;
      values) read -ra taken <<<"$rest"; for value in "${taken[@]}"; do add_value "$value"; done ;;
      value) read -ra taken <<<"$rest"; add_value "${taken[@]}" ;;
      seeds) seed_places+=("$where") seed_lines+=("$rest") ;;
      *) fail 64 "$where: unknown word '$key' (known: title config set axis label value values baseline seeds claim steps minutes data)" ;;
    esac
  done <"$1"
  where=$1
  check_study
  [ ${#seed_lines[@]} -gt 0 ] || { seed_places=("$1") seed_lines=(1); }
  for i in "${!seed_lines[@]}"; do
    where=${seed_places[i]}
    read -ra taken <<<"${seed_lines[i]}"
    take_seeds "${taken[@]}"
  done
  for value in "${values[@]}"; do
    [ -n "${seeds_of[$value]:-}" ] || fail 64 "$1: value $value has no seed"
  done
}

# take_settings "A=B C=D": checks the settings and sets `taken` to them.
take_settings() {
  local setting
  read -ra taken <<<"$1"
  for setting in "${taken[@]}"; do
    [[ $setting == [a-z]*=?* ]] || fail 64 "$where: '$setting' is not PATH=VALUE"
  done
}

# add_value NAME [PATH=VALUE…]
add_value() {
  [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9._+-]*$ ]] || fail 64 "$where: '$1' cannot name a value (letters, digits, . _ + -)"
  [ -z "${own[$1]+there}" ] || fail 64 "$where: value $1 is there twice"
  values+=("$1")
  take_settings "${*:2}"
  own[$1]="${taken[*]}"
}

check_study() {
  local key
  for key in data steps minutes; do
    [ -z "${over[$key]:-}" ] || study[$key]=${over[$key]}
  done
  # A budget on the command line replaces the one in the file.
  if [ -n "${over[steps]:-}" ] && [ -z "${over[minutes]:-}" ]; then unset 'study[minutes]'; fi
  if [ -n "${over[minutes]:-}" ] && [ -z "${over[steps]:-}" ]; then unset 'study[steps]'; fi
  for key in config axis; do [ -n "${study[$key]:-}" ] || fail 64 "$where: there is no '$key'"; done
  [ "${#values[@]}" -gt 0 ] || fail 64 "$where: there is no 'values' and no 'value'"
  budget_steps=${study[steps]:-} budget_minutes=${study[minutes]:-} data=${study[data]:-} axis=${study[axis]} label=${study[label]:-${study[axis]}}
  [[ $axis =~ ^[a-z][a-z0-9_.]*$ ]] || fail 64 "$where: '$axis' is no axis: an option's path, or one word"
  [ -z "$budget_steps" ] || [ -z "$budget_minutes" ] || fail 64 "$where: 'steps' or 'minutes', not both"
  [ -n "$budget_steps$budget_minutes" ] || fail 64 "$where: there is no budget: 'steps N' or 'minutes M'"
  [[ -z $budget_steps || $budget_steps =~ ^[1-9][0-9]*$ ]] || fail 64 "$where: '$budget_steps' is no number of steps"
  [[ -z $budget_minutes || $budget_minutes =~ ^[0-9]*\.?[0-9]+$ ]] || fail 64 "$where: '$budget_minutes' is no number of minutes"
  baseline=${study[baseline]:-${values[0]}} title=${study[title]:-$(basename -- "$where" .study)}
  [ -n "${own[$baseline]+there}" ] || fail 64 "$where: the baseline $baseline is none of the values"
  config=${study[config]}
  [[ $config == /* || ! -f $(dirname -- "$where")/$config ]] || config=$(dirname -- "$where")/$config
  config_digest=$config
  [ ! -f "$config" ] || config_digest=$(grep -v '^[[:space:]]*#' "$config" | sha256sum | cut -c 1-12)  # comments may change
}

# take_seeds SEED… [for VALUE…]: runs are in the order of the lines, each once.
take_seeds() {
  local seeds=() these=("${values[@]}")
  while [ $# -gt 0 ] && [ "$1" != for ]; do seeds+=("$1"); shift; done
  [ $# -eq 0 ] || these=("${@:2}")
  for value in "${these[@]}"; do
    [ -n "${own[$value]+there}" ] || fail 64 "$where: $value is none of the values"
    for seed in "${seeds[@]}"; do
      [[ $seed =~ ^[0-9]+$ ]] || fail 64 "$where: '$seed' is no seed"
      [[ " ${seeds_of[$value]:-} " != *" $seed "* ]] || continue
      seeds_of[$value]="${seeds_of[$value]:+${seeds_of[$value]} }$seed"
      wanted+=("$value $seed")
    done
  done
}

# settle VALUE SEED: sets run, value, seed, processes, threads and settings of one run.
settle() {
  local setting all=("${common[@]}")
  value=$1 seed=$2 run=$runs/$1-seed$2 processes='' threads=1 settings=()
  # A value that sets the axis itself is only a name: `value dense moe.num_experts=0`.
  if [[ " ${own[$value]}" != *" $axis="* ]] && [[ $axis == *.* || $axis == processes || $axis == threads ]]; then
    all+=("$axis=$value")
  fi
  take_settings "${own[$value]}"
  for setting in "${all[@]}" "${taken[@]}" "${more_settings[@]}"; do
    case $setting in
      processes=*) processes=${setting#*=} ;;
      threads=*) threads=${setting#*=} ;;
      *=steps) [ -n "$budget_steps" ] || fail 64 "$file: $setting needs a budget of steps, not of minutes"
               settings+=("${setting%steps}$budget_steps") ;;
      *) settings+=("$setting") ;;
    esac
  done
  [ ${#settings[@]} -gt 0 ] || settings=("train.seed=$seed")
}

# Prepared data are identified by their manifest, which contains all other hashes; examples by their
# own hash.
digest_of_data() {
  if [ -d "$data" ]; then sha256sum <"$data/dataset.textproto" | cut -c 1-12; else sha256sum <"$data" | cut -c 1-12; fi
}
