#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# One process that changes its objects, threads, files and databases for ever. Its number goes to the file pid.
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "$0")/../common.sh"
need /usr/bin/python3

PYTHONHASHSEED=1 PYTHONMALLOC=malloc serve /usr/bin/python3 "$(dirname "$0")/churn.py" &
echo $! >pid
wait
