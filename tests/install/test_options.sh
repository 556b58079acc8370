#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Options that make no sense stop the configuration with a sentence; those at the edge do not.
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

configure() {
    rm -rf "$work/build"
    meson setup "$work/build" "$source_dir" -Dtests=disabled -Dbench=disabled -Dexamples=disabled -Dman=disabled \
        -Dpreload=disabled "$@" >"$work/log" 2>&1
}

refuse() {
    sentence=$1
    shift
    ! configure "$@" || fail "$* was accepted"
    grep -q "ERROR: .*$sentence" "$work/log" || {
        cat "$work/log" >&2
        fail "$*: no sentence with \"$sentence\""
    }
}

accept() {
    configure "$@" || {
        cat "$work/log" >&2
        fail "$* was refused"
    }
}

refuse 'initial_heap_kib=0: ' -Dinitial_heap_kib=0
refuse 'initial_heap_kib=12: ' -Dinitial_heap_kib=12
refuse 'initial_heap_kib=100: must be a multiple of 8' -Dinitial_heap_kib=100
refuse '[Vv]alue .*nonsense' -Dvariant=nonsense
refuse '[Vv]alue .*nonsense' -Dchecks=nonsense

accept -Dinitial_heap_kib=64
quietly ninja -C "$work/build"
accept -Dinitial_heap_kib=65536 -Dchecks=expensive
quietly ninja -C "$work/build"

# told VARIABLE: what the .pc file says
told() {
    sed -n "s/^$1=//p" "$work/build/meson-private/aomalloc.pc"
}

# installs VARIANT REASON OPTION...: by the .pc file and by the summary
installs() {
    variant=$1 reason=$2
    shift 2
    accept "$@"
    told="$(told variant): $(told variant_reason)"
    [ "$told" = "$variant: $reason" ] || fail "$*: $told"
    grep -q "variant installed *: $told$" "$work/log" || fail "$*: not in the summary: $told"
}

installs perthread 'as asked for' -Dvariant=perthread

code='extern const unsigned __rseq_size; int main(void) { return __rseq_size != 0; }'
# shellcheck disable=SC2086 # several words on purpose
if ! $CC -dM -E -x c /dev/null | grep -Eq '__x86_64__|__aarch64__'; then
    accept -Dvariant=auto
    told variant_reason | grep -q 'no restartable sequences for' || fail "auto: $(told variant_reason)"
elif echo "$code" | $CC -x c - -o "$work/probe" 2>/dev/null; then
    installs base 'ThreadSanitizer knows no restartable sequences' -Dvariant=auto -Db_sanitize=thread -Db_lundef=false
    # As if the C library lacked the symbol.
    installs base 'the C library does not register restartable sequences' -Dvariant=auto \
        -Dc_args=-D__rseq_size=no_such_symbol
    installs percpu 'the C library registers restartable sequences' -Dvariant=auto
else
    installs base 'the C library does not register restartable sequences' -Dvariant=auto
fi

# And the library is the one that is told.
quietly ninja -C "$work/build" variants/libaomalloc.a
cat >"$work/variant.c" <<'EOF'
#include <aomalloc.h>
#include <stdio.h>

int main(void)
{
    return puts(AO_malloc_variant()) < 0;
}
EOF
# shellcheck disable=SC2086 # several words on purpose
quietly $CC "$work/variant.c" -I"$work/build/include" "$work/build/variants/libaomalloc.a" -o "$work/variant"
[ "$("$work/variant")" = "$(told variant)" ] || fail "the library is $("$work/variant"), not $(told variant)"
