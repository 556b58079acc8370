#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# A compressing server and proxy under load for ever. Its process number goes to the file pid.
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "$0")/../common.sh"
need nginx ab

nginx_configure
serve nginx -p "$PWD" -e logs/error.log -c nginx.conf &
echo $! >pid
until_true 20 ab -q -n 1 "http://127.0.0.1:$PORT/small.txt"
while :; do
    for path in small medium large again/medium again/large; do
        ab -q -k -n 300 -c 10 -H 'Accept-Encoding: gzip' "http://127.0.0.1:$PORT/$path.txt"
    done
done >load.log
