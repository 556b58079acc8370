#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# git, on this project's own history.
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "$0")/../common.sh"
need git
under git
export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
git -C "$SOURCE" rev-parse --verify --quiet HEAD >/dev/null || {
    echo "the source is not a git repository"
    exit 77
}

run git clone --quiet --no-local --bare "$SOURCE" repository
cd repository
count=$(size 10 100000 100)
run git fsck --full --strict >../result/fsck
run git log -n "$count" --stat --patch --find-renames --format=fuller HEAD | sha256sum >../result/log
run git blame HEAD -- README.md | sha256sum >../result/blame
run git grep -n -E 'aoma_[a-z]+' HEAD | sha256sum >../result/grep
run git archive HEAD | sha256sum >../result/archive
run git rev-list --objects HEAD | sha256sum >../result/objects
run git repack -a -d -f --quiet
run git fsck --full --strict >../result/fsck_packed
run git rev-list --objects HEAD | sha256sum >../result/objects_packed
