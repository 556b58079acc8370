#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Looks at every file that git knows: trailing whitespace, final newline, tabs, lines over 120 columns, SPDX line, and
# clang-format for C; and whether the mutations still apply. Says what is wrong and where; changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

failures=0

# report WHAT LINES: LINES is empty when all is well.
report() {
    if [ -n "$2" ]; then
        printf '%s:\n%s\n' "$1" "$2"
        failures=$((failures + 1))
    fi
}

# Text that people edit: not images, not data.
mapfile -t files < <(git ls-files | grep -Ev '\.(png|svg|csv|tsv|txt|dat|patch)$')
mapfile -t code < <(printf '%s\n' "${files[@]}" |
    grep -E '\.([ch]|in|py|sh|build|S|pml|inc)$|^\.ci/run$|meson_options\.txt')
mapfile -t c_files < <(git ls-files '*.c' '*.h')

report 'trailing whitespace' "$(grep -nHE '[[:blank:]]+$' "${files[@]}" || true)"
report 'tabs' "$(grep -nHP '\t' "${code[@]}" || true)"
report 'over 120 columns' "$(grep -nHE '^.{121,}' "${code[@]}" | cut -c 1-100 || true)"
report 'no final newline' "$(for file in "${files[@]}"; do
    [ ! -s "$file" ] || [ -z "$(tail -c 1 "$file")" ] || echo "$file"
done)"
report 'no SPDX line near the top' "$(for file in "${code[@]}"; do
    head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MIT' || echo "$file"
done)"
report 'clang-format' "$(clang-format --dry-run -Werror "${c_files[@]}" 2>&1 | grep -E 'error:' || true)"

report 'mutations' "$(tools/mutate.py --check | grep -v 'mutations apply$' || true)"

if [ "$failures" -ne 0 ]; then
    echo "style: $failures kinds of faults"
    exit 1
fi
echo "style: ${#files[@]} files, nothing to say"
