#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Crashes real programs with the crash_report example loaded and checks what it reports and how they die."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

WATCHDOG_SECONDS = 20
NO_PROC = "cannot read /proc/self/task"  # in a program that put itself into a sandbox
HANG_SECONDS = 3  # a report takes some milliseconds


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def no_core():
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def is_glibc():
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (OSError, ValueError):
        return False


class Crash:
    """A program that was run until it died, and the reports that it left, by pid."""

    def __init__(self, command, preload, folder, before=None, watchdog=WATCHDOG_SECONDS, descriptor=None):
        pattern = os.path.join(folder, "report.%p.json") if descriptor is None else f"&{descriptor}"
        environment = dict(os.environ, LD_PRELOAD=":".join(preload), CRASH_REPORT_FILE=pattern)
        process = subprocess.Popen(command, env=environment, cwd=folder, preexec_fn=no_core,
                                   pass_fds=[] if descriptor is None else [descriptor],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.pid = process.pid
        self.hung = False
        try:
            if before:
                before(process)
            process.wait(watchdog)
        except subprocess.TimeoutExpired:
            self.hung = True
        finally:
            process.kill()
            self.messages = process.communicate()[1].decode(errors="replace")
        self.status = process.returncode
        if descriptor is not None:
            os.rename(os.path.join(folder, "descriptor"), os.path.join(folder, f"report.{self.pid}.json"))
        self.reports = {}
        for name in os.listdir(folder):
            if name.startswith("report."):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    self.reports[int(name.split(".")[1])] = json.load(file)

    def report(self):
        check(not self.hung, "hung in its handler")
        check(self.pid in self.reports, f"no report; status {self.status}, {self.messages!r}")
        return self.reports[self.pid]


def symbols(report):
    return [frame["symbol"] for frame in report["frames"]]


def check_common(crash, signo, frames):
    """What holds for every report of a program that died of signo."""
    report = crash.report()
    check(crash.status == -signo, f"died with status {crash.status}, not of signal {signo}")
    check(report["complete"] is True, "report is not complete")
    check(report["signal"]["number"] == signo, f"signal {report['signal']}")
    check(report["signal"]["name"] == signal.Signals(signo).name, f"signal {report['signal']}")
    check(report["program"]["pid"] == crash.pid, f"program {report['program']}")
    check(len(report["frames"]) >= frames, f"only {len(report['frames'])} frames: {symbols(report)}")
    check(report["registers"]["pc"] == report["frames"][0]["pc"], "the first frame is not at the registers' pc")
    if report["problem"] != NO_PROC:
        check([thread["tid"] for thread in report["threads"] if thread["crashed"]] == [report["program"]["tid"]],
              f"threads {report['threads']}")
    check(abs(time.time() - parse_time(report["time"])) < 120, f"time {report['time']}")
    check_frames(report)
    return report


def parse_time(text):
    import datetime
    moment = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp()


def check_frames(report):
    modules = {module["path"]: module for module in report["modules"]}
    check(len(modules) >= 3, f"modules {list(modules)}")
    for frame in report["frames"]:
        if frame["module"]:
            module = modules[frame["module"]]
            inside = int(module["start"], 0) <= int(frame["pc"], 0) - 1 < int(module["end"], 0)
            check(inside, f"{frame} not in {module}")


class Suite:
    def __init__(self, arguments):
        self.arguments = arguments
        self.library = arguments.library
        self.demo = arguments.demo
        self.passed = self.failed = self.skipped = 0

    def run(self, name, test):
        with tempfile.TemporaryDirectory(prefix="crash_report.") as folder:
            start = time.monotonic()
            try:
                test(folder)
                self.passed += 1
                verdict = "ok"
            except Skip as reason:
                self.skipped += 1
                verdict = f"SKIPPED: {reason}"
            except (Failure, KeyError, ValueError) as fault:
                self.failed += 1
                verdict = f"FAILED: {type(fault).__name__}: {fault}"
            print(f"{name}: {verdict} ({time.monotonic() - start:.1f} s)", flush=True)

    def crash_demo(self, folder, how, signo, function, frames=3, options=()):
        crash = Crash([self.demo, "--how", how, *options], [self.library], folder)
        report = check_common(crash, signo, frames)
        check(report["program"]["name"] == os.path.basename(self.demo)[:15], f"program {report['program']}")
        check(os.path.samefile(report["program"]["executable"], self.demo), f"program {report['program']}")
        check(function in symbols(report), f"no frame of {function}: {symbols(report)}")
        check("demo-worker" in [thread["name"] for thread in report["threads"]], f"threads {report['threads']}")
        return report

    # ---- one way to crash each ----

    def test_segv(self, folder):
        report = self.crash_demo(folder, "segv", signal.SIGSEGV, "crash_segv")
        check(report["problem"] is None, report["problem"])
        check(report["signal"]["code_name"] == "SEGV_MAPERR", f"signal {report['signal']}")
        check(report["signal"]["address"] == "0x0", f"signal {report['signal']}")
        check(symbols(report)[:2] == ["crash_segv", "main"], symbols(report))
        check(report["allocator"] == "aomalloc", report["allocator"])

    def test_abort(self, folder):
        report = self.crash_demo(folder, "abort", signal.SIGABRT, "crash_abort")
        check(report["signal"]["sender"] == report["program"]["pid"], f"signal {report['signal']}")
        check("abort" in symbols(report), symbols(report))

    def test_fpe(self, folder):
        self.crash_demo(folder, "fpe", signal.SIGFPE, "crash_fpe")

    def test_bus(self, folder):
        report = self.crash_demo(folder, "bus", signal.SIGBUS, "crash_bus")
        check(report["signal"]["code_name"] == "BUS_ADRERR", f"signal {report['signal']}")

    def test_ill(self, folder):
        self.crash_demo(folder, "ill", signal.SIGILL, "crash_ill")

    def test_null_call(self, folder):
        # Compilers may leave no way to the caller's caller, since nothing returns from here.
        report = self.crash_demo(folder, "null-call", signal.SIGSEGV, "crash_null_call", frames=2)
        check(report["registers"]["pc"] == "0x0", f"registers {report['registers']}")

    def test_stack_overflow(self, folder):
        report = self.crash_demo(folder, "stack-overflow", signal.SIGSEGV, "overflow", frames=100)
        check(report["problem"] == "more frames than are reported", report["problem"])

    def test_smashed_stack(self, folder):
        self.crash_demo(folder, "smashed-stack", signal.SIGSEGV, "crash_smashed_stack", frames=1)

    def test_thread(self, folder):
        report = self.crash_demo(folder, "segv", signal.SIGSEGV, "crash_segv", options=["--thread"])
        check(report["program"]["tid"] != report["program"]["pid"], f"program {report['program']}")
        crashed = [thread["name"] for thread in report["threads"] if thread["crashed"]]
        check(crashed == ["demo-worker"], f"threads {report['threads']}")

    def test_two_threads_at_once(self, folder):
        self.crash_demo(folder, "twice", signal.SIGSEGV, "crash_segv")

    def test_vfork(self, folder):
        crash = Crash([self.demo, "--how", "after-vfork"], [self.library], folder)
        report = check_common(crash, signal.SIGABRT, 3)
        check("crash_after_vfork" in symbols(report), symbols(report))
        children = [child for pid, child in crash.reports.items() if pid != crash.pid]
        check(len(children) == 1 and "crash_segv" in symbols(children[0]), "no report of the child")

    # ---- locks held at the time of the crash ----

    def test_in_malloc(self, folder):
        if not is_glibc():
            raise Skip("not glibc")
        report = self.crash_demo(folder, "in-malloc", signal.SIGSEGV, "crash_in_malloc")
        check("malloc" in symbols(report), symbols(report))
        check(report["problem"] is None, report["problem"])

    def test_in_malloc_with_libc_handler_hangs(self, folder):
        if not is_glibc():
            raise Skip("not glibc")
        command = [self.demo, "--how", "in-malloc"]
        crash = Crash(command, [self.arguments.libc_library], folder, watchdog=HANG_SECONDS)
        check(crash.hung, f"ended with status {crash.status}")
        check(not any(report["complete"] for report in crash.reports.values()), "wrote a complete report")

    def test_libc_handler_without_lock(self, folder):
        """That only malloc's lock makes the other build hang."""
        crash = Crash([self.demo, "--how", "segv"], [self.arguments.libc_library], folder)
        report = check_common(crash, signal.SIGSEGV, 3)
        check(report["allocator"] == "libc", report["allocator"])

    def test_loader_lock(self, folder):
        self.crash_demo(folder, "loader-lock", signal.SIGSEGV, "crash_segv")

    # ---- the handler itself ----

    def test_fault_in_handler(self, folder):
        preload = [self.arguments.faulty_readlink, self.library]
        crash = Crash([self.demo, "--how", "abort"], preload, folder)
        report = check_common(crash, signal.SIGABRT, 3)
        check(report["problem"] == "fault while reading the program's name", report["problem"])
        check("crash_abort" in symbols(report), symbols(report))

    def test_strange_names(self, folder):
        name = 'q"b\\n\nt\té\x01'
        path = os.path.join(os.fsencode(folder), os.fsencode(name) + b"\xff\xe2\x28")
        shutil.copy(self.demo, path)
        crash = Crash([path, "--how", "segv"], [self.library], folder)
        report = check_common(crash, signal.SIGSEGV, 3)
        check(os.path.basename(report["program"]["executable"]) == name + "\ufffd\ufffd(", report["program"])
        check(report["program"]["name"] == name + "\ufffd\ufffd(", report["program"])
        check("crash_segv" in symbols(report), symbols(report))

    def test_unwritable(self, folder):
        """Without a report the program dies all the same."""
        os.mkdir(os.path.join(folder, "report"))
        environment = dict(os.environ, LD_PRELOAD=self.library, CRASH_REPORT_FILE=folder)
        status = subprocess.call([self.demo, "--how", "fpe"], env=environment, preexec_fn=no_core)
        check(status == -signal.SIGFPE, f"status {status}")

    def test_pipe(self, folder):
        """What cannot be rewound gets the final report alone."""
        environment = dict(os.environ, LD_PRELOAD=self.library, CRASH_REPORT_FILE="/dev/stdout")
        done = subprocess.run([self.demo, "--how", "segv"], env=environment, cwd=folder, preexec_fn=no_core,
                              stdout=subprocess.PIPE)
        check(json.loads(done.stdout)["complete"] is True, "report is not complete")

    def test_libgcc_before_libunwind(self, folder):
        readelf = shutil.which("readelf")
        if not readelf:
            raise Skip("no readelf")
        output = subprocess.run([readelf, "-dW", self.library], stdout=subprocess.PIPE, text=True).stdout
        needed = [line.split("[")[1].split("]")[0] for line in output.splitlines() if "(NEEDED)" in line]
        order = [name.split(".")[0] for name in needed if name.startswith(("libgcc_s", "libunwind"))]
        check(order[:1] == ["libgcc_s"], f"needed {needed}")

    # ---- programs of other people ----

    def test_python(self, folder):
        program = os.path.realpath(sys.executable)
        command = [program, "-c", "import ctypes; ctypes.string_at(0)"]
        report = check_common(Crash(command, [self.library], folder), signal.SIGSEGV, 10)
        check(report["program"]["executable"] == program, f"program {report['program']}")
        check(report["signal"]["address"] == "0x0", f"signal {report['signal']}")
        check(report["problem"] is None, report["problem"])
        modules = [frame["module"] or "" for frame in report["frames"]]
        check(any("_ctypes" in module for module in modules), f"no frame in _ctypes: {modules}")

    def kill_at_work(self, folder, command, frames):
        program = shutil.which(command[0])
        if not program:
            raise Skip(f"{command[0]} is not installed")

        def kill(process):
            wait_for_work(process)
            os.kill(process.pid, signal.SIGSEGV)

        with open(os.path.join(folder, "descriptor"), "wb") as file:
            crash = Crash([program, *command[1:]], [self.library], folder, before=kill, descriptor=file.fileno())
        report = check_common(crash, signal.SIGSEGV, frames)
        check(report["signal"]["code_name"] == "SI_USER", f"signal {report['signal']}")
        check(report["signal"]["sender"] == os.getpid(), f"signal {report['signal']}")
        check(report["program"]["name"] == command[0], f"program {report['program']}")
        check(os.path.samefile(report["program"]["executable"], program), f"program {report['program']}")
        check(report["problem"] == NO_PROC or any(symbols(report)), f"no symbol in {report['frames']}")
        return report

    def test_sqlite(self, folder):
        query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i * i % 7) FROM n;"
        self.kill_at_work(folder, ["sqlite3", ":memory:", query], 3)

    def test_xz(self, folder):
        self.kill_at_work(folder, ["xz", "-T1", "-9", "-c", "/dev/urandom"], 3)


def wait_for_work(process):
    """Until the program has used 50 ms of processor time, so that it is at its work and no longer being loaded."""
    for _ in range(WATCHDOG_SECONDS * 50):
        with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:
            ticks = int(file.read().rsplit(")", 1)[1].split()[11])
        if ticks * 1000 >= 50 * os.sysconf("SC_CLK_TCK"):
            return
        check(process.poll() is None, "ended before it was killed")
        time.sleep(0.02)
    raise Failure("does no work")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", required=True, type=os.path.realpath)
    parser.add_argument("--libc-library", required=True, type=os.path.realpath)
    parser.add_argument("--demo", required=True, type=os.path.realpath)
    parser.add_argument("--faulty-readlink", required=True, type=os.path.realpath)
    suite = Suite(parser.parse_args())
    for name in sorted(dir(suite)):
        if name.startswith("test_"):
            suite.run(name[len("test_"):], getattr(suite, name))
    if suite.skipped:
        print(f"{suite.skipped} skipped")
    print(f"{suite.passed} passed, {suite.failed} failed")
    return 1 if suite.failed else 77 if suite.skipped else 0


if __name__ == "__main__":
    sys.exit(main())
