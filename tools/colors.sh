# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Sourced by what draws: allocators' colors. bench_programs.py has them too.
color_of()
{
    case $1 in
    percpu | percpu-rseq) echo "#b2182b" ;;
    base) echo "#ef8a62" ;;
    percpu-cas) echo "#67a9cf" ;;
    perthread) echo "#f7c8a0" ;;
    reference) echo "#222222" ;;
    glibc | libc) echo "#888888" ;;
    mimalloc) echo "#2166ac" ;;
    jemalloc) echo "#67a9cf" ;;
    tcmalloc) echo "#35978f" ;;
    *) echo "#9970ab" ;;
    esac
}
