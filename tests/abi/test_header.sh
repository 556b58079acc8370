#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# test_header.sh HEADER c|cpp STANDARD INCLUDE_DIR... -- COMPILER...
# Compiles a file that holds nothing but the header, twice, and one use of every function, without a single warning.
set -eu

header=$1 language=$2 standard=$3
shift 3
includes=
while [ "$1" != -- ]; do
    includes="$includes -I$1"
    shift
done
shift

case $language in
c) strict=-Wstrict-prototypes ;;
cpp) strict='' language=c++ ;;
esac

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

cat >"$dir/alone" <<EOF
#include <$header>
#include <$header>
EOF
cat >"$dir/use" <<EOF
#include <$header>
int use(void);
int use(void)
{
    void *block = AO_malloc(1), *zero = AO_calloc(2, 3), *aligned = AO_aligned_alloc(64, 5);
    int result = AO_malloc_add_region(block, AO_malloc_usable_size(block));
    block = AO_realloc(block, 7);
    AO_malloc_enable_mmap();
    AO_malloc_set_limit(AO_malloc_trim());
    AO_free(block);
    AO_free(zero);
    AO_free(aligned);
    return result + AO_malloc_is_lock_free() + AO_malloc_version() + AO_malloc_variant()[0] + AOMALLOC_VERSION +
           AOMALLOC_ABI_VERSION + AO_MALLOC_IS_LOCK_FREE;
}
EOF
for source in alone use; do
    # shellcheck disable=SC2086 # several words on purpose
    "$@" -x "$language" -std="$standard" -pedantic-errors -Wall -Wextra -Wundef -Wconversion $strict -Werror \
        $includes -fsyntax-only "$dir/$source"
done
