#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# The committed table is what the generator writes. test_size_class_table.sh PYTHON GENERATOR TABLE
set -eu
"$1" "$2" | diff -u "$3" -
