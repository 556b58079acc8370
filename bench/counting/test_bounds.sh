#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# How many read-modify-writes an operation may take. The simulation's figures do not depend on time: only a preemption
# that aborts a section adds one now and then.

set -eu

simulate=$1 variant=$2
failed=0

# expect COUNT LEAST MOST CPUS WORKLOAD...
expect()
{
    count=$1 least=$2 most=$3 cpus=$4
    shift 4
    for workload in "$@"; do
        line=$("$simulate" --workload "$workload" --cpus "$cpus" ${mode:+--mode "$mode"}) || exit $?
        echo "$line"
        echo "$line" | awk -v count="$count" -v least="$least" -v most="$most" '{
                sub(".* " count "_per_op=", "")
                sub(/ .*/, "")
                exit !($0 + 0 >= least && $0 + 0 <= most)
            }' || { echo "$count not within $least to $most" >&2; failed=1; }
    done
}

mode=
case $variant in
percpu | perthread)
    expect rmw 0 0.03 1 pair batch churn
    expect rmw 0 0.03 8 pair batch churn
    expect rmw 0 0.3 8 exchange falseshare
    expect rmw 0.01 0.3 8 oneway # a batch at a time must go through a shared word
    expect moved 0 0.001 256 pair
    ;;
percpu-cas)
    mode=cas
    expect rmw 2 2.2 1 pair batch churn
    expect rmw 1.9 2.3 8 pair batch churn exchange oneway falseshare
    expect contended 0 0.2 4 pair batch churn # heaps of their own, unless two stacks go to the same
    expect hottest 0 0.2 4 pair batch churn
    ;;
*)
    expect rmw 2 2 1 pair
    expect rmw 2 2.1 1 batch churn
    expect rmw 1.9 2.2 8 pair batch churn exchange oneway falseshare
    expect moved 0 0 1 pair batch churn
    expect moved 1.9 2.1 256 pair # each word is most likely another's
    expect hottest 1.9 2.1 256 pair # and there is but one
    expect hottest 0.8 1 256 batch # one word at a time, which blocks are taken from
    ;;
esac
exit $failed
