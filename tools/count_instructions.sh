#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Instructions per call of malloc and free in the workload "pair", as callgrind counts them: a figure that does not
# depend on the machine's load. Two runs that differ only in the number of operations are subtracted, so start-up and
# the first refill drop out and what is left is the fast path alone, callees included.
#
# Valgrind offers no restartable sequences: a variant that uses them is counted on the path that it takes without.

set -eu

usage()
{
    cat <<EOF
usage: $(basename "$0") [--ops N] [--workload NAME] [--functions MALLOC,FREE] WORKER

Prints how many instructions WORKER, a bench-worker program of the build's bench directory, spends in each call.

  --ops N                   operations that are counted (default 10000)
  --workload NAME           instead of pair; the result is then a mean over fast and slow calls
  --functions MALLOC,FREE   names to look for (default: AO_malloc,AO_free, or malloc,free for bench-worker-system)

LD_PRELOAD is passed on, so bench-worker-system can count other allocators too.
EOF
}

fail()
{
    echo "$(basename "$0"): $*" >&2
    exit 1
}

options=$(getopt -n "$(basename "$0")" -o h -l help,ops:,workload:,functions: -- "$@") || { usage >&2; exit 2; }
eval set -- "$options"
ops=10000 workload=pair functions=
while [ "$1" != -- ]; do
    case $1 in
    --ops) ops=$2; shift 2 ;;
    --workload) workload=$2; shift 2 ;;
    --functions) functions=$2; shift 2 ;;
    *) usage; exit 0 ;;
    esac
done
shift
[ $# -eq 1 ] || { usage >&2; exit 2; }
worker=$1
[ -x "$worker" ] || fail "there is no program $worker"
[ "$ops" -gt 0 ] 2>/dev/null || fail "--ops needs a positive number, not '$ops'"
command -v valgrind >/dev/null || fail "valgrind is missing (Debian package valgrind)"
if [ -z "$functions" ]; then
    case $worker in
    *-system) functions=malloc,free ;;
    *) functions=AO_malloc,AO_free ;;
    esac
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# profile FILE OPS: the inclusive instructions of every function, to FILE
profile()
{
    valgrind --tool=callgrind --callgrind-out-file="$1.raw" "$worker" --workload "$workload" --ops "$2" \
        --timeout 3600 >"$1.log" 2>&1 || { cat "$1.log" >&2; fail "$worker did not run under valgrind"; }
    callgrind_annotate --inclusive=yes --threshold=100 --show=Ir "$1.raw" >"$1" 2>>"$1.log" ||
        { cat "$1.log" >&2; fail "callgrind's output was not understood"; }
}

# instructions FILE FUNCTION: lines look like " 1,234 (5.67%)  file:function [object]"
instructions()
{
    awk -v name="$2" '
        / \[[^]]*\]$/ || /:/ {
            line = $0
            sub(/ \[[^]]*\]$/, "", line)
            n = split(line, part, ":")
            sub(/\047[0-9]+$/, "", part[n])
            if (n > 1 && part[n] == name) {
                count = $1
                gsub(/,/, "", count)
                if (count + 0 > most)
                    most = count + 0
            }
        }
        END { print most + 0 }' "$1"
}

profile "$scratch/once" "$ops"
profile "$scratch/twice" $((2 * ops))

echo "$(basename "$worker"), $workload, instructions per call over $ops calls:"
for function in $(echo "$functions" | tr ',' ' '); do
    once=$(instructions "$scratch/once" "$function")
    twice=$(instructions "$scratch/twice" "$function")
    [ "$twice" -gt "$once" ] || fail "$function was not found in the profile; give its name with --functions"
    awk -v name="$function" -v once="$once" -v twice="$twice" -v ops="$ops" \
        'BEGIN { printf "  %-12s %.2f\n", name, (twice - once) / ops }'
done
