#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# gcc: compiles this project, in full size links it as well and runs a program with it.
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "$0")/../common.sh"
need gcc
under gcc cc1 as

# shellcheck disable=SC2153 # from the environment
sed -e 's/@AOMALLOC_VERSION_[A-Z]*@/0/; s/@AOMALLOC_ABI_VERSION@/0/' "$SOURCE/include/aomalloc.h.in" >aomalloc.h
flags=(-std=gnu11 -O2 -g -fPIC -DAOMA_INITIAL_HEAP_KIB=2048 -DAOMA_CHECKS=0
    -I. -I"$SOURCE/lib" -I"$SOURCE/variants/base"
    "-fdebug-prefix-map=$PWD=.")
if [ "$SIZE" != short ]; then
    sources=("$SOURCE"/lib/*.c "$SOURCE"/variants/base/*.c)
else
    sources=("$SOURCE"/lib/api.c "$SOURCE"/lib/run.c)
fi
for source in "${sources[@]}"; do
    run gcc "${flags[@]}" -c "$source" -o "result/$(basename "$source" .c).o"
done
if [ "$SIZE" = full ]; then
    under gcc cc1 as ld
    run gcc -flto "${flags[@]}" -shared -o result/library.so "${sources[@]}"
    run gcc -shared -o result/libaomalloc.so result/*.o
    cat >main.c <<'END'
#include "aomalloc.h"
int main(void) { return AO_malloc(1) == 0; }
END
    run gcc main.c -o main -I. -Lresult -laomalloc
    LD_LIBRARY_PATH=result ./main
fi
