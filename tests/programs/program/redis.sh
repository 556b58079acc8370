#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Redis on the loopback interface: redis-benchmark, then known data, a background save (which forks) under load, and
# the server anew from what was saved.
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "$0")/../common.sh"
need redis-server redis-benchmark redis-cli
under redis-server redis-benchmark redis-cli
server=

finish() {
    local status=$?
    [ -z "$server" ] || kill "$server"
    [ "$status" = 0 ] || cat server.log >&2
}

client() {
    redis-cli -h 127.0.0.1 -p "$PORT" "$@"
}

# A second I/O thread spins; on one CPU that is all that would be measured.
start() {
    serve redis-server --bind 127.0.0.1 --port "$PORT" --save '' --dir "$PWD" --enable-debug-command local \
        --io-threads "$(size 2 2 1)" >>server.log &
    server=$!
    until_true 20 client ping
}

stop() {
    client shutdown nosave
    wait "$server"
    server=
}

is_saved() {
    ! client info persistence | grep -q 'rdb_bgsave_in_progress:1'
}

trap finish EXIT
start
count=$(size 100 100000 3000)
run redis-benchmark -h 127.0.0.1 -p "$PORT" -q -n "$count" -c 20 -d 200 -r 10000 \
    -t set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset >benchmark
client flushall >/dev/null

awk -v count="$(size 1500 200000 30000)" 'BEGIN {
    for (x = i = 1; i <= count; i++) {
        x = (x * 16807) % 2147483647
        printf "SET key:%d %0*d\r\n", i, x % 500 + 1, x
        printf "HSET hash:%d field%d value%d\r\n", x % 1000, x % 97, x
        printf "ZADD sorted:%d %d member%d\r\n", x % 10, x % 5000, i
        if (i % 3 == 0) printf "DEL key:%d\r\n", i / 3
    }
}' >commands
# The line about replies counts what is ours alone; a benchmark runs beside the save, on a key that goes away.
run redis-cli -h 127.0.0.1 -p "$PORT" --pipe <commands | grep 'errors:' >result/load
client debug digest >result/digest
client dbsize >result/size
client config set rdb-key-save-delay "$(size 20 1 1)" >/dev/null # so that the save takes a while
client select 1 >/dev/null
client bgsave >/dev/null
redis-benchmark -h 127.0.0.1 -p "$PORT" --dbnum 1 -q -n "$count" -c 20 -d 100 -t set,lpush,lrange_100 >/dev/null
until_true 60 is_saved
client info persistence | grep '^rdb_last_bgsave_status' >result/save
client -n 1 flushdb >/dev/null
client debug digest >>result/digest
stop

# What had been saved in the moment of the fork: the same but for database 1, which was empty then.
start
client debug digest >>result/digest
client hgetall hash:7 | sort >result/hash
client zrange sorted:3 0 -1 withscores | sha256sum >result/sorted
stop
