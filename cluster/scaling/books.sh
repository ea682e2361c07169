#!/usr/bin/env bash
# English classics as text for `switchyard prepare`, out of a clone of
# https://github.com/mlschmitt/classic-books-markdown:
#   cluster/scaling/books.sh CLONE OUTPUT
# OUTPUT/validation.txt has all of Jane Austen, OUTPUT/train.txt all others: a paragraph a line, a blank line
# between documents of up to 3,000 bytes. Headings and the signs of Markdown are left out.
set -euo pipefail
export LC_ALL=C.UTF-8
. "$(dirname "${BASH_SOURCE[0]}")/../../launch/common.sh"
case ${1:-} in -h | --help) show_help ;; esac
[ $# -eq 2 ] || fail 64 "usage: cluster/scaling/books.sh CLONE OUTPUT"
clone=$1 output=$2
[ -d "$clone/Jane Austen" ] || fail 66 "$clone has no 'Jane Austen': is it a clone of classic-books-markdown?"
mkdir -p -- "$output" 2>/dev/null || fail 73 "cannot write to $output"

documents() {  # Markdown files, one a line
  local book
  while IFS= read -r book; do
    awk 'BEGIN { RS = "" }
      /^(#|!|\||---|\*\*\*)/ { next }
      { gsub(/[ \t\r\n]+/, " "); gsub(/[*_`]/, ""); sub(/^ /, ""); sub(/ $/, ""); if ($0 == "") next
        if (size && size + length($0) > 3000) { print ""; size = 0 }
        print; size += length($0) + 1 }
      END { if (size) print "" }' "$book"
  done
}

books() { find "$clone" -mindepth 2 -maxdepth 2 -name '*.md' -not -path '*/.*' "$@" | LC_ALL=C sort; }

books -path '*/Jane Austen/*' | documents >"$output/validation.txt"
books -not -path '*/Jane Austen/*' | documents >"$output/train.txt"
echo "$output/train.txt $output/validation.txt"
