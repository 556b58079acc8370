#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Installs what a group of work needs and is missing: tools/install_deps.sh GROUP...
# Does nothing where all is there. On systems without apt-get it names what is missing and fails.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
groups='build test model fuzz example programs bench model-costs lint build32 test32 cross-PROCESSOR vm'

# The one place that says what is needed. A line per need: Debian packages, the first that exists is taken, then how to
# tell that the need is met already, whoever installed it:
#   command NAME | pkgconfig NAME | header NAME | library NAME | file PATH | sanitizer | fuzzer | pythontest MODULE |
#   links32 COMPILER [LIBRARY] | cross COMPILER LIBRARY
needs_of() {
    case $1 in
    build)
        echo 'gcc                                            command gcc'
        echo 'libc6-dev                                      header  stdlib.h'
        echo 'pkg-config|pkgconf                             command pkg-config'
        echo 'meson                                          command meson'
        echo 'ninja-build                                    command ninja'
        echo 'python3                                        command python3'
        echo 'libatomic-ops-dev                              header  atomic_ops.h'
        ;;
    test)
        echo 'libcmocka-dev                                  pkgconfig cmocka'
        echo 'g++                                            command g++'
        echo 'clang                                          command clang'
        echo 'libclang-rt-dev|libclang-rt-CLANG-dev|libclang-common-CLANG-dev sanitizer'
        echo 'valgrind                                       command valgrind'
        echo 'sqlite3                                        command sqlite3'
        echo 'xz-utils                                       command xz'
        ;;
    model) # that is verified by tests/model/run.sh
        echo 'spin                                           command spin'
        ;;
    fuzz) # what tools/fuzz.sh runs, and counts with
        echo 'clang                                          command clang'
        echo 'libclang-rt-dev|libclang-rt-CLANG-dev|libclang-common-CLANG-dev fuzzer'
        echo 'afl++                                          command afl-clang-fast'
        echo 'llvm                                           command llvm-cov'
        ;;
    example)
        echo 'libunwind-dev                                  pkgconfig libunwind'
        echo 'sqlite3                                        command sqlite3'
        echo 'xz-utils                                       command xz'
        ;;
    programs) # that the preload library is put under
        echo 'apache2-utils                                  command ab'
        echo 'git                                            command git'
        echo 'gnuplot-nox                                    command gnuplot'
        echo 'libpython3-testsuite|libpython3.11-testsuite   pythontest test_threading'
        echo 'nginx-light|nginx                              command nginx'
        echo 'perl                                           command perl'
        echo 'redis-server                                   command redis-server'
        echo 'redis-tools                                    command redis-benchmark'
        echo 'sqlite3                                        command sqlite3'
        echo 'xz-utils                                       command xz'
        ;;
    bench)
        echo 'libmimalloc2.0|libmimalloc2.1|libmimalloc3     library libmimalloc.so'
        echo 'libjemalloc2                                   library libjemalloc.so'
        echo 'libtcmalloc-minimal4|libtcmalloc-minimal4t64   library libtcmalloc_minimal.so'
        echo 'gnuplot-nox                                    command gnuplot'
        echo 'valgrind                                       command valgrind'
        ;;
    model-costs) # tools/cost_model.py
        echo 'python3-scipy                                  file    /usr/lib/python3/dist-packages/scipy/__init__.py'
        ;;
    lint)
        echo 'git                                            command git'
        echo 'cppcheck                                       command cppcheck'
        echo 'clang-tidy                                     command clang-tidy'
        echo 'clang-format                                   command clang-format'
        echo 'mandoc                                         command mandoc'
        echo 'shellcheck                                     command shellcheck'
        ;;
    build32) # on x86-64: the library for 32 bits; libatomic_ops is needed for its headers only. Not gcc-multilib, which
        # conflicts with cross compilers for the sake of a link, /usr/include/asm: .ci/run names the folder instead
        echo 'gcc-GCC-multilib|gcc-multilib                  links32 gcc'
        echo 'g++-GCC-multilib|g++-multilib                  links32 g++'
        ;;
    test32)
        echo 'libcmocka-dev:i386                             links32 gcc cmocka'
        ;;
    cross-armhf) cross_needs arm-linux-gnueabihf armhf qemu-arm ;;
    cross-riscv64) # of which Debian 12 has the cross compiler with its libraries only
        echo 'gcc-riscv64-linux-gnu                          command riscv64-linux-gnu-gcc'
        echo 'g++-riscv64-linux-gnu                          command riscv64-linux-gnu-g++'
        echo 'qemu-user                                      command qemu-riscv64'
        cmocka_source_needs
        ;;
    cross-musl)
        echo 'musl-tools                                     command musl-gcc'
        echo 'linux-libc-dev                                 header  linux/rseq.h'
        cmocka_source_needs
        ;;
    cross-aarch64) cross_needs aarch64-linux-gnu arm64 qemu-aarch64 ;;
    cross-ppc64le) cross_needs powerpc64le-linux-gnu ppc64el qemu-ppc64le ;;
    cross-s390x) cross_needs s390x-linux-gnu s390x qemu-s390x ;;
    vm) # a machine for these tests
        echo 'qemu-system-arm                                command qemu-system-aarch64'
        echo 'cpio                                           command cpio'
        echo 'debian-archive-keyring                         file    /usr/share/keyrings/debian-archive-keyring.gpg'
        ;;
    *)
        echo "install_deps.sh: no such group: $1 ($groups)" >&2
        return 2
        ;;
    esac
}

# The library and its tests for another processor, run by qemu-user; libatomic_ops is needed for its headers only.
cross_needs() { # TRIPLET ARCHITECTURE EMULATOR
    echo "gcc-${1/_/-}  command $1-gcc"
    echo "g++-${1/_/-}  command $1-g++"
    echo "libcmocka-dev:$2  cross $1-gcc cmocka"
    echo "libstdc++6:$2  file /usr/lib/$1/libstdc++.so.6"
    echo "qemu-user  command $3"
}

# For tools/cross/prefix.sh.
cmocka_source_needs() {
    echo 'dpkg-dev                                       command dpkg-source'
    echo 'cmake                                          command cmake'
}

is_met() {
    case $1 in
    command) command -v "$2" ;;
    pkgconfig) pkg-config --exists "$2" ;;
    header) echo "#include <$2>" | gcc -E - ;;
    library) ldconfig -p | grep -F "$2" ;;
    file) [ -f "$2" ] ;;
    cross) echo 'int main(void) { return 0; }' | "$2" -x c - -x none -l"$3" -o /dev/null ;;
    pythontest) /usr/bin/python3 -c "import test.$2" ;;
    links32) echo 'int main() { return 0; }' | "$2" -m32 -x c - -x none ${3:+-l"$3"} -o /dev/null ;;
    fuzzer) echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | clang -fsanitize=fuzzer -x c - -o /dev/null ;;
    sanitizer) echo 'int main(void) { return 0; }' | clang -fsanitize=address -x c - -o /dev/null ;;
    esac >/dev/null 2>&1
}

# The packages of unmet needs, one line each, alternatives still in it.
unmet() {
    local group packages kind arguments
    for group; do
        needs_of "$group"
    done | sort -u | while read -r packages kind arguments; do
        # shellcheck disable=SC2086 # one or two words
        is_met "$kind" $arguments || echo "$packages"
    done
}

is_known() {
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p' | grep -qv '(none)'
}

# Debian's clang package depends on the versioned one that it stands for.
clang_version() {
    apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p' | head -n 1
}

gcc_version() {
    apt-cache depends gcc 2>/dev/null | sed -n 's/.*Depends: gcc-\([0-9]*\)$/\1/p' | head -n 1
}

# First of the alternatives a|b|c that apt knows; fails if none is.
choose() {
    local package alternatives=$1
    alternatives=${alternatives//CLANG/$(clang_version)}
    IFS='|' read -ra alternatives <<<"${alternatives//GCC/$(gcc_version)}"
    for package in "${alternatives[@]}"; do
        if is_known "$package"; then
            echo "$package"
            return
        fi
    done
    return 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "install_deps.sh: must be root, or have sudo, to run: $*" >&2
        return 1
    fi
}

# apt must be told before it looks at packages of another architecture, name:i386.
add_architectures() {
    local architecture
    for architecture in i386 arm64 armhf ppc64el s390x; do
        if [[ "$* " == *:"$architecture "* ]] && ! dpkg --print-foreign-architectures | grep -qx "$architecture"; then
            as_root dpkg --add-architecture "$architecture"
        fi
    done
}

# Names of the packages for these unmet needs; fails if one is not known to apt.
choose_all() {
    local need
    for need; do
        choose "$need" || return
    done
}

main() {
    local missing packages group
    [ $# -gt 0 ] || { echo "usage: tools/install_deps.sh GROUP... ($groups)" >&2; exit 2; }
    for group; do
        needs_of "$group" >/dev/null || exit
    done
    mapfile -t missing < <(unmet "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "install_deps.sh: no apt-get here; install what Debian calls: ${missing[*]}" >&2
        exit 1
    fi
    add_architectures "${missing[@]}"
    # A fresh machine has no package lists; old ones may not know a package. A list that cannot be had matters only if
    # a package is still unknown afterwards.
    if ! choose_all "${missing[@]}" >/dev/null; then
        as_root apt-get -q update || echo 'install_deps.sh: apt-get update failed in part' >&2
    fi
    if ! packages=$(choose_all "${missing[@]}"); then
        echo "install_deps.sh: apt-get does not know all of: ${missing[*]}" >&2
        exit 1
    fi
    # What is there stays: packages that conflict with it are for somebody to decide.
    # shellcheck disable=SC2086 # a list of package names
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends --no-remove $packages
    mapfile -t missing < <(unmet "$@")
    if [ ${#missing[@]} -gt 0 ]; then
        echo "install_deps.sh: installed, but still not usable: ${missing[*]}" >&2
        exit 1
    fi
}

main "$@"
