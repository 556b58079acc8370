#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Restartable sequences on aarch64 need a kernel for it: builds the test suite for arm64, boots a Debian kernel in
# qemu's full emulation and runs the suite there. No root is needed but to install packages. See --help.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
usage: tools/test_aarch64_vm.sh [--step] [--suite NAME] [--kernel FILE] [--expect MODE] [--cpus N] [--seconds S]
                                [TEST...]

Runs the tests of the suite, all or those named (as "meson test --list" does), in an emulated machine; a run of all
takes a quarter of an hour and more. What steps through single instructions is skipped unless it is named: a step takes
milliseconds there, boundary_interrupted of one variant a quarter of an hour (AOMALLOC_TEST_PERCENT=25).
The last line is "N passed, N failed, N skipped"; the exit status is 0 only when
nothing failed and the machine came to its end.

  --step          interrupts may fall between any two instructions; else only where branches lead to or come from, which
                  is several times faster
  --suite NAME    of Debian, where the kernel comes from (this machine's own); 6.3 and later have mm_cid
  --kernel FILE   this kernel in place of Debian's
  --expect MODE   what AO_malloc_mode() must begin with there (rseq)
  --cpus N        of the machine (4)
  --seconds S     for each stress test (2)
END
}

step='' suite='' kernel='' expect=rseq cpus=4 seconds=2
while [[ ${1-} == -* ]]; do
    case $1 in
    --step)
        step=1
        shift
        continue
        ;;
    --suite) suite=$2 ;;
    --kernel) kernel=$2 ;;
    --expect) expect=$2 ;;
    --cpus) cpus=$2 ;;
    --seconds) seconds=$2 ;;
    --help)
        usage
        exit
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift 2
done

tools/install_deps.sh build cross-aarch64 vm
# shellcheck source-path=SCRIPTDIR source=suite.sh
. tools/suite.sh

build=$PWD/build-cross-aarch64
vm=$PWD/build-vm-aarch64
mkdir -p "$vm"

# Debian's packages for arm64 in a state of our own: nothing of the machine's changes, and any suite will do.
apt_arm64() {
    local program=$1
    shift
    "$program" -q -o Dir::State="$apt/state" -o Dir::Cache="$apt/cache" -o Dir::Etc::sourcelist="$apt/sources.list" \
        -o Dir::Etc::sourceparts=- -o Dir::Etc::preferencesparts=- -o Dir::State::status="$apt/status" \
        -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User="$(id -un)" "$@"
}

# shellcheck disable=SC2016 # apt's own names
prepare_apt() {
    local mirror
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 !~ /-/ { print $2, $3; exit }')
    [ -n "$mirror" ] || { echo 'test_aarch64_vm.sh: this machine has no source of Debian packages' >&2; return 1; }
    suite=${suite:-${mirror% *}}
    apt=$vm/apt-$suite
    mkdir -p "$apt"/{state/lists/partial,cache/archives/partial}
    : >"$apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror#* } $suite main" >"$apt/sources.list"
    apt_arm64 apt-get update
}

# The files of a package, in a folder of its name, if it is not there yet.
unpack() {
    local folder=$apt/$1
    [ ! -d "$folder" ] || return 0
    rm -rf "$folder.new"
    mkdir "$folder.new"
    (cd "$folder.new" && apt_arm64 apt-get download "$1" && dpkg-deb -x ./*.deb .)
    mv "$folder.new" "$folder"
}

# The kernel's package is what the one named after the processor alone depends on.
fetch_kernel() {
    local package
    package=$(apt_arm64 apt-cache depends linux-image-cloud-arm64 |
        sed -n 's/.*Depends: \(linux-image-.*\)/\1/p' | head -n 1)
    unpack "$package"
    kernel=$(echo "$apt/$package"/boot/vmlinuz-*)
}

# A call per test that is a program of the build: name with suites, seconds, environment and command. Without those
# that take pages of 4 KiB for granted. Fails if one that was named is not among them.
list_tests() {
    meson introspect --tests "$build" | python3 -c '
import json, shlex, sys

build, expect, chosen = sys.argv[1], sys.argv[2], sys.argv[3:]
listed = set()
for test in json.load(sys.stdin):
    if not test["cmd"][0].startswith(build) or (chosen and test["name"] not in chosen):
        continue
    suites = "+".join(suite.split(":")[-1] for suite in test["suite"])
    if test["name"] in ("unit_index", "unit_mapping", "unit_segment", "unit_source"):
        continue
    listed.add(test["name"])
    env = dict(test["env"])
    if test["name"] == "percpu_mode":
        env["AOMALLOC_TEST_EXPECTED_MODE"] = expect
    command = ["env"] + [f"{key}={value}" for key, value in env.items()] + test["cmd"]
    print("run", shlex.quote(suites + "/" + test["name"]), test["timeout"] * 20, shlex.join(command))
if missing := [name for name in chosen if name not in listed]:
    sys.exit("test_aarch64_vm.sh: no such test, or none that runs there: " + " ".join(missing))
' "$build" "$expect" "$@"
}

# What the machine runs in place of an init: each test, its output when it fails, then the sums.
write_init() {
    local calls steps=''
    calls=$(list_tests "$@")
    [ $# -gt 0 ] || steps='export AOMALLOC_TEST_STEP=none'
    cat <<END
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
export AOMALLOC_TEST_SECONDS=$seconds AOMALLOC_TEST_PERCENT=${AOMALLOC_TEST_PERCENT-100}
${steps}
passed=0 failed=0 skipped=0
run() {
    name=\$1 seconds=\$2
    shift 2
    timeout -s KILL \$seconds "\$@" >/tmp/log 2>&1
    status=\$?
    case \$status in
    0) passed=\$((passed + 1)); result=OK ;;
    77) skipped=\$((skipped + 1)); result="SKIP \$(grep -m 1 '^skipped: ' /tmp/log)" ;;
    *) failed=\$((failed + 1)); result="FAIL \$status"; cat /tmp/log ;;
    esac
    grep -E '^(mode|covered): ' /tmp/log
    echo "[\$(cut -d ' ' -f 1 /proc/uptime)] \$name: \$result"
}
uname -a; nproc
$calls
echo "guest: \$passed passed, \$failed failed, \$skipped skipped"
sync
poweroff -f
END
}

write_initramfs() {
    local root=$vm/root file
    rm -rf "$root"
    mkdir -p "$root"/{bin,lib,proc,sys,dev,tmp,etc}
    unpack busybox-static
    cp "$(find "$apt/busybox-static" -type f -path '*/bin/busybox')" "$root/bin/"
    # What the tests are linked with, at the places that their names say.
    mkdir -p "$root/usr/lib/aarch64-linux-gnu"
    cp -L /lib/ld-linux-aarch64.so.1 "$root/lib/"
    cp -L /lib/aarch64-linux-gnu/{libc.so.6,libdl.so.2,libgcc_s.so.1,libm.so.6} \
        /usr/lib/aarch64-linux-gnu/{libcmocka.so.0,libstdc++.so.6} "$root/usr/lib/aarch64-linux-gnu/"
    ln -sfn /usr/lib/aarch64-linux-gnu "$root/lib/aarch64-linux-gnu"
    (cd "$build" && find . -name '*.so*' -type f -o -name '*.so*' -type l -o -type f -perm -u+x -path './tests/*') |
        while read -r file; do
            mkdir -p "$root$build/$(dirname "$file")"
            cp -P "$build/$file" "$root$build/$file"
        done
    mkdir -p "$root$PWD/tests/fuzz" # where replay_* are told to look
    cp -r tests/fuzz/seeds "$root$PWD/tests/fuzz/"
    write_init "$@" >"$root/init"
    chmod +x "$root/init"
    (cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$vm/initramfs.gz"
}

# By what name the emulator translates each instruction by itself.
step_options() {
    [ -n "$step" ] || return 0
    if [ "$(qemu-system-aarch64 --version | sed -n 's/.*version \([0-9]*\).*/\1/p' | head -n 1)" -ge 9 ]; then
        echo ',one-insn-per-tb=on'
    else
        echo ' -singlestep'
    fi
}

boot() {
    echo "==> $kernel, $cpus processors"
    # shellcheck disable=SC2046 # an option of its own, or part of the one before
    qemu-system-aarch64 -M virt -cpu cortex-a76 -accel tcg,thread=multi$(step_options) -smp "$cpus" -m 2048 \
        -nographic -no-reboot -nodefaults -serial stdio -kernel "$kernel" -initrd "$vm/initramfs.gz" \
        -append 'console=ttyAMA0 quiet panic=-1' </dev/null |
        stdbuf -o0 tr -d '\r' | tee "$vm/console.log"
}

suite_build "$build" --cross-file tools/cross/aarch64.ini --werror -Dtests=enabled -Dbench=disabled \
    -Dexamples=disabled
prepare_apt
[ -n "$kernel" ] || fetch_kernel
write_initramfs "$@"
boot
result=$(sed -n 's/^guest: \([0-9]* passed, \([0-9]*\) failed, [0-9]* skipped\)$/\1/p' "$vm/console.log")
if [ -z "$result" ]; then
    echo 'the machine did not come to its end'
    echo '0 passed, 1 failed, 0 skipped'
    exit 1
fi
echo "$result"
[[ $result == *' 0 failed,'* && $result != '0 passed'* ]]
