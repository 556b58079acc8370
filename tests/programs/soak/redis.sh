#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# A server under changing load for ever: values of several sizes come, are saved by a fork, and go.
# The server's process number goes to the file pid.
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "$0")/../common.sh"
need redis-server redis-benchmark redis-cli

serve redis-server --bind 127.0.0.1 --port "$PORT" --save '' --dir "$PWD" >server.log &
echo $! >pid
until_true 20 redis-cli -h 127.0.0.1 -p "$PORT" ping
while :; do
    for bytes in 30 300 3000; do
        redis-benchmark -h 127.0.0.1 -p "$PORT" -q -n 1000 -c 10 -r 1000 -d "$bytes" -t set,lpush,hset,zadd,lrange_100
        redis-cli -h 127.0.0.1 -p "$PORT" bgsave || true # one may be under way
    done
    redis-cli -h 127.0.0.1 -p "$PORT" flushall
done >load.log
