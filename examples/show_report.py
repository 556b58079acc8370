#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Prints reports of the crash_report example for people: show_report.py FILE..."""

import json
import os
import sys

FRAMES_SHOWN = 16


def show_frame(number, frame):
    place = frame["symbol"] or "?"
    if frame["symbol"]:
        place += f"+{frame['symbol_offset']}"
    module = f"{os.path.basename(frame['module'])}+{frame['module_offset']}" if frame["module"] else "no module"
    print(f"  #{number:<3} {frame['pc']:>14}  {place}  ({module})")


def show(report):
    program, info = report["program"], report["signal"]
    cause = info["code_name"] or info["code"]
    if "address" in info:
        cause = f"{cause} at {info['address']}"
    elif "sender" in info:
        cause = f"{cause} from process {info['sender']}"
    print(f"{report['time']}  {program['name']} ({program['executable']}), process {program['pid']}")
    print(f"{info['name']} ({cause}), memory for this report from: {report['allocator']}")
    if not report["complete"]:
        print("The handler did not get to its end.")
    if report["problem"]:
        print(f"Problem: {report['problem']}")
    for number, frame in enumerate(report["frames"][:FRAMES_SHOWN]):
        show_frame(number, frame)
    if len(report["frames"]) > FRAMES_SHOWN:
        print(f"  and {len(report['frames']) - FRAMES_SHOWN} more frames")
    threads = [f"{thread['tid']} {thread['name']}" + " (crashed)" * thread["crashed"] for thread in report["threads"]]
    print(f"threads: {', '.join(threads)}")
    print(f"{len(report['registers'])} registers and {len(report['modules'])} modules are in the file")


def main():
    if len(sys.argv) < 2:
        print("usage: show_report.py FILE...", file=sys.stderr)
        return 2
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            show(json.load(file))
    return 0


if __name__ == "__main__":
    sys.exit(main())
