#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# SQLite: builds a table (in full size of a million rows) with indexes, asks, changes, and dumps it.
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "$0")/../common.sh"
need sqlite3
under sqlite3

run sqlite3 table.db >result/answers <<END
PRAGMA cache_size = -65536;
PRAGMA journal_mode = MEMORY;
CREATE TABLE item (id INTEGER PRIMARY KEY, number INTEGER, name TEXT, content BLOB);
WITH RECURSIVE counter (n, x) AS (
    SELECT 1, 1 UNION ALL
    SELECT n + 1, (x * 1103515245 + 12345) % 2147483648 FROM counter WHERE n < $(size 30000 1000000 80000))
INSERT INTO item SELECT n, x, printf('name %08x', x), zeroblob(x / 65536 % 64) FROM counter;
CREATE INDEX item_name ON item (name);
CREATE INDEX item_number ON item (number % 1000, name);
SELECT count(*), sum(number), min(name), max(name), sum(length(content)) FROM item;
SELECT number % 1000 AS k, count(*), group_concat(id % 7) FROM item GROUP BY k ORDER BY 2 DESC, 1 LIMIT 50;
SELECT a.id, b.id, a.name FROM item a JOIN item b ON a.name = b.name AND a.id < b.id ORDER BY 1, 2 LIMIT 100;
UPDATE item SET name = upper(name) || ' ' || id WHERE id % 3 = 0;
DELETE FROM item WHERE number % 5 = 0;
VACUUM;
PRAGMA integrity_check;
SELECT name, hex(content) FROM item ORDER BY name DESC LIMIT 1000;
END
run sqlite3 table.db .dump | sha256sum >result/dump
sha256sum table.db >result/file
