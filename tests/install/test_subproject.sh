#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Uses the source tree as a meson subproject: found as a dependency, built, run, and nothing of it installed,
# without which the installed program runs all the same.
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

mkdir -p "$work/project/subprojects"
ln -s "$source_dir" "$work/project/subprojects/aomalloc"
cat >"$work/project/meson.build" <<'EOF'
project('user', 'c', meson_version: '>= 1.0')
aomalloc = dependency('aomalloc', fallback: ['aomalloc', 'aomalloc_dep'])
assert(aomalloc.get_variable(internal: 'variant', pkgconfig: 'variant') != '')
test('main', executable('main', 'main.c', dependencies: aomalloc, install: true))
EOF
cat >"$work/project/main.c" <<'EOF'
#include <aomalloc.h>

int main(void)
{
    void *block = AO_malloc(100);
    AO_free(block);
    return block ? AO_malloc_version() - AOMALLOC_VERSION : 1;
}
EOF

quietly meson setup "$work/build" "$work/project" --force-fallback-for=aomalloc --default-library static \
    --prefix /usr -Daomalloc:variant="$TEST_VARIANT"
quietly meson test -C "$work/build"
grep -q "^Ok: *1 *$" "$work/log" || fail "more than the test of the project itself was run"
DESTDIR="$work/root" quietly meson install -C "$work/build"
installed=$(cd "$work/root" && find . -type f)
[ "$installed" = ./usr/bin/main ] || fail "installed as a subproject: $installed"
"$work/root/usr/bin/main" || fail "what was installed does not run"
