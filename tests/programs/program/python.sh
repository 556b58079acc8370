#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Python: work.py, all of it through malloc; and of its own regression tests those that come with it, in full size.
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "$0")/../common.sh"
python=/usr/bin/python3 # which has its tests in a Debian package
need "$python"
under python3

PYTHONHASHSEED=1 PYTHONMALLOC=malloc run "$python" "$(dirname "$0")/work.py" "$(size 1 20 2)" >result/work

has_tests() {
    "$python" -c 'import test.test_json, test.test_dict, test.test_list, test.test_threading, test.test_subprocess'
}

if [ "$SIZE" = full ]; then
    has_tests 2>/dev/null || {
        echo "python3's regression tests are missing (tools/install_deps.sh programs)"
        exit 77
    }
    # What it says at its end, but for the time it took.
    run "$python" -m test -v test_json test_dict test_list test_threading test_subprocess >log 2>&1 || {
        cat log >&2
        exit 1
    }
    sed -n 's/^\(Ran [0-9]* tests\) in .*/\1/p; /^OK/p; /^FAILED/p; s/^\(Tests result: .*\)/\1/p' log >result/regression
    grep '^aomalloc: ' log >&2 || true
fi
