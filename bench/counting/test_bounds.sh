#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# How many read-modify-writes an operation may take. The simulation's figures do not depend on time: only a preemption
# that aborts a section adds one now and then.

set -eu

simulate=$1 variant=$2
failed=0

# expect LEAST MOST CPUS WORKLOAD...
expect()
{
    least=$1 most=$2 cpus=$3
    shift 3
    for workload in "$@"; do
        line=$("$simulate" --workload "$workload" --cpus "$cpus") || exit $?
        echo "$line"
        echo "$line" | awk -v least="$least" -v most="$most" '{
                sub(/.* rmw_per_op=/, "")
                sub(/ .*/, "")
                exit !($0 + 0 >= least && $0 + 0 <= most)
            }' || { echo "not within $least to $most" >&2; failed=1; }
    done
}

case $variant in
percpu)
    expect 0 0.03 1 pair batch churn
    expect 0 0.03 8 pair batch churn
    expect 0 0.3 8 exchange falseshare
    expect 0.01 0.3 8 oneway # a batch at a time must go through a shared word
    ;;
*)
    expect 2 2 1 pair
    expect 2 2.1 1 batch churn
    expect 1.9 2.2 8 pair batch churn exchange oneway falseshare
    ;;
esac
exit $failed
