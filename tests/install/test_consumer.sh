#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Installs into a temporary prefix and compiles programs outside the tree with nothing but what pkg-config says: C
# and C++,
# shared and static, with both headers.
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

command -v pkg-config >/dev/null || {
    echo "pkg-config is missing"
    exit 77
}

prefix=$work/prefix
quietly meson setup "$work/build" "$source_dir" --prefix "$prefix" --libdir lib -Dvariant="$TEST_VARIANT" \
    -Dtests=disabled -Dbench=disabled -Dexamples=disabled
quietly meson install -C "$work/build"
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"

[ "$(pkg-config --variable=variant aomalloc)" = "$TEST_VARIANT" ] || fail "pkg-config --variable=variant"
[ "$(pkg-config --modversion aomalloc)" = "$TEST_VERSION" ] || fail "pkg-config --modversion"
case $(pkg-config --static --libs aomalloc) in
*atomic_ops*) fail "pkg-config --static --libs: $(pkg-config --static --libs aomalloc)" ;;
esac
[ -n "$(pkg-config --variable=initial_heap_kib aomalloc)" ] || fail "pkg-config --variable=initial_heap_kib"
[ "$(find "$prefix/include" -name '*.h' | wc -l)" -eq 2 ] ||
    fail "headers installed: $(find "$prefix/include" -name '*.h')"

# As written for libatomic_ops' AO_malloc.
cat >"$work/ported.c" <<'EOF'
#include <atomic_ops_malloc.h>
#include <string.h>

#ifndef AO_MALLOC_IS_LOCK_FREE
#error "AO_MALLOC_IS_LOCK_FREE is not defined"
#endif

int main(void)
{
    AO_t count = 0; /* libatomic_ops' header declares its operations, too */
    char *text = (char *)AO_malloc(100);
    if (!text || AO_fetch_and_add1(&count) != 0)
        return 1;
    strcpy(text, "hello");
    AO_malloc_enable_mmap();
    char *large = (char *)AO_malloc(10000000);
    if (!large)
        return 2;
    memset(large, 1, 10000000);
    AO_free(large);
    AO_free(text);
    return 0;
}
EOF

cat >"$work/native.c" <<EOF
#include <aomalloc.h>
#include <string.h>

int main(void)
{
    void *block = AO_realloc(AO_calloc(3, 5), 1000);
    if (!block || AO_malloc_usable_size(block) < 1000)
        return 1;
    AO_free(block);
    return AO_malloc_version() != AOMALLOC_VERSION || strcmp(AO_malloc_variant(), "$TEST_VARIANT") != 0;
}
EOF

# check NAME RESULT COMMAND...: compiles with the command and runs the result.
compile_and_run() {
    program=$1
    shift
    quietly "$@" -o "$program"
    LD_LIBRARY_PATH="$prefix/lib" "$program" || fail "exit status $? of $*"
}

links_shared() {
    readelf -dW "$1" | grep -q 'NEEDED.*libaomalloc'
}

# shellcheck disable=SC2046,SC2086 # several words on purpose
for name in ported native; do
    source=$work/$name.c
    compile_and_run "$work/$name-c" $CC -Wall -Werror "$source" $(pkg-config --cflags --libs aomalloc)
    links_shared "$work/$name-c" || fail "$name is not linked with the shared library"
    compile_and_run "$work/$name-lto" $CC -O2 -flto "$source" $(pkg-config --cflags --libs aomalloc)
    if [ "$CXX" != none ]; then
        compile_and_run "$work/$name-c++" $CXX -x c++ -std=c++11 -Wall -Werror "$source" -x none \
            $(pkg-config --cflags --libs aomalloc)
    fi

    # Only the static library is left to be found.
    mkdir -p "$work/static"
    cp "$prefix/lib/libaomalloc.a" "$work/static"
    compile_and_run "$work/$name-static" $CC -Wall -Werror "$source" \
        $(pkg-config --cflags --libs --static aomalloc | sed "s#-L$prefix/lib#-L$work/static#")
    ! links_shared "$work/$name-static" || fail "$name is not linked with the static library"
done

if echo 'int main(void) { return 0; }' | $CC -static -x c - -o "$work/probe" 2>/dev/null; then
    # shellcheck disable=SC2046,SC2086
    compile_and_run "$work/all-static" $CC -static "$work/native.c" $(pkg-config --cflags --libs --static aomalloc)
fi
