#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# nginx, two workers on the loopback interface, compressing, under ab; all that it serves is compared.
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "$0")/../common.sh"
need nginx ab python3
under nginx ab
server=

finish() {
    local status=$?
    [ -z "$server" ] || kill "$server"
    [ "$status" = 0 ] || cat logs/error.log >&2
}

nginx_configure

fetch() {
    python3 - "$@" <<'END'
import hashlib, sys, urllib.request

for path in sys.argv[2:]:
    for encoding in 'identity', 'gzip':
        request = urllib.request.Request(f'http://127.0.0.1:{sys.argv[1]}{path}', headers={'Accept-Encoding': encoding})
        with urllib.request.urlopen(request, timeout=20) as answer:
            print(path, encoding, answer.headers['Content-Encoding'], hashlib.sha256(answer.read()).hexdigest())
END
}

trap finish EXIT
serve nginx -p "$PWD" -e logs/error.log -c nginx.conf &
server=$!
until_true 20 fetch "$PORT" /small.txt
for path in /small.txt /medium.txt /again/medium.txt; do
    run ab -q -k -n "$(size 200 30000 3000)" -c 20 -H 'Accept-Encoding: gzip' "http://127.0.0.1:$PORT$path" >ab.log
    grep -E '^(Complete|Failed) requests' ab.log >>result/ab
done
kill -HUP "$server" # new workers
fetch "$PORT" /small.txt /medium.txt /large.txt /again/large.txt >result/files
kill -QUIT "$server"
wait "$server"
server=
cat logs/error.log >result/errors
