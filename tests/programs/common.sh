# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# To be sourced by program/*.sh. Such a script does real work with a program, in an empty directory of its own, and
# writes all that must be the same under any malloc to files in result/. test_programs.py runs it several times.
#
# From the environment: RUN, a command that runs programs, or nothing; SIZE, short, full or bench; SOURCE, the project;
# PORT.
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by who sources this
set -euo pipefail
export LC_ALL=C TZ=UTC PATH=$PATH:/usr/sbin:/sbin
mkdir -p result

# need PROGRAM...: ends as skipped if one is missing.
need() {
    local program
    for program; do
        command -v "$program" >/dev/null || {
            echo "$program is missing (tools/install_deps.sh programs)"
            exit 77
        }
    done
}

# run PROGRAM ARGUMENT...: under aomalloc, if so wanted.
run() {
    # shellcheck disable=SC2086 # a command and its options
    $RUN "$@"
}

# serve PROGRAM ARGUMENT... &: the same, of which $! then is the process itself.
serve() {
    # shellcheck disable=SC2086
    exec $RUN "$@"
}

# under NAME...: the programs of which each must have said that aomalloc was under it.
under() {
    printf '%s\n' "$@" >under
}

# size SHORT FULL BENCH: the last for some seconds of work, in tools/bench_programs.py
size() {
    case $SIZE in
    full) echo "$2" ;;
    bench) echo "$3" ;;
    *) echo "$1" ;;
    esac
}

# until_true SECONDS COMMAND...
until_true() {
    local tries=$(($1 * 10))
    shift
    while ! "$@" >/dev/null 2>&1; do
        ((tries-- > 0)) || {
            echo "gave up waiting for: $*" >&2
            return 1
        }
        sleep 0.1
    done
}

# A server with two workers on the loopback interface that compresses what it serves; /again/ is a proxy to itself.
nginx_configure() {
    mkdir -p root logs tmp
    awk 'BEGIN { for (x = i = 1; i <= 200000; i++) { x = (x * 16807) % 2147483647; print i, x } }' >root/large.txt
    head -n 2000 root/large.txt >root/medium.txt
    echo hello >root/small.txt
    cat >nginx.conf <<END
$([ "$(id -u)" != 0 ] || echo "user root;")
daemon off;
worker_processes 2;
pid nginx.pid;
error_log logs/error.log warn;
events { worker_connections 256; }
http {
    access_log off;
    default_type text/plain;
    gzip on;
    gzip_types text/plain;
    gzip_min_length 100;
    client_body_temp_path tmp/body;
    proxy_temp_path tmp/proxy;
    fastcgi_temp_path tmp/fastcgi;
    uwsgi_temp_path tmp/uwsgi;
    scgi_temp_path tmp/scgi;
    server {
        listen 127.0.0.1:$PORT;
        root $PWD/root;
        location /again/ { proxy_pass http://127.0.0.1:$PORT/; }
    }
}
END
}
