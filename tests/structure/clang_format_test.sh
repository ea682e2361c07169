#!/usr/bin/env bash
# Every source file is what clang-format 14 makes of it; skipped (77) where there is no such version.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

for formatter in clang-format-14 clang-format; do
  if "$formatter" --version 2>/dev/null | grep -q 'version 14\.'; then
    find src tests -name '*.[ch]pp' -print0 | xargs -0 "$formatter" --dry-run -Werror
    exit
  fi
done
echo "clang-format 14 not found"
exit 77
