#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Run one guest and judge how it ended: the host side of the results protocol.

QEMU writes two files into the output directory: stream.log, what the test runner in the guest reports on its own
virtio-serial port, and console.log, what the kernel says. Both are read as they grow. The verdict rests on the
stream; the console only adds what a dying kernel could not report any more. Nothing is a pass unless the runner
announced how many cases it would run, reported each of them and said goodbye.

The result is vm.json in the output directory. The exit code is that of "run.sh run".
"""
import argparse
import json
import os
import re
import resource
import signal
import sys
import time

from host import Host

FAIL, RIG, LIMIT, SKIPPED, INTERRUPTED = 1, 99, 124, 4, 130

POLL = 0.02             # seconds between two looks at the files
PANIC_GRACE = 3         # a panicking kernel restarts at once (panic=-1), which ends QEMU (-no-reboot)
GOODBYE_GRACE = 15      # the time to power off after the last line
SILENCE_MARGIN = 20     # the runner itself ends a case at its limit; this is what it gets on top of that

PANIC = re.compile(r"Kernel panic - not syncing")
# What a kernel prints when it found itself at fault. One entry per family, not per message.
COMPLAINT = re.compile("|".join((
    r"\bBUG: ", r"\bWARNING: (?!.*\bmitigation)", r"kernel BUG at", r"\bKASAN: ", r"\bKCSAN: ", r"\bKMSAN: ", r"\bKFENCE: ",
    r"\bUBSAN: ", r"\bOops: ", r"general protection fault", r"possible recursive locking",
    r"possible circular locking", r"inconsistent lock state", r"suspicious RCU usage", r"INFO: task .* blocked for more",
    r"rcu: INFO: .*stall", r"soft lockup", r"hard LOCKUP", r"refcount_t: ", r"list_(add|del) corruption",
    r"Bad page (state|map)", r"pagealloc: memory corruption", r"bad: scheduling while atomic",
    r"sleeping function called from invalid context",
    r"DMA-API: .*(error|leak|overlap|not mapped|freed)", r"kmemleak: \d+ new suspected", r"stack-protector: ",
)))
RESULT = re.compile(r"^(ok|not ok) (\d+) ([^ #]+)(?: *# *(.*))?$")
STARTED = re.compile(r"pindma-test: start (\S+)$")
STAMP = re.compile(r"^\[ *\d+\.\d+\](\[ *[TC]\d+\])? ")
SGR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Tail:
    """A text file that grows; whole lines only."""

    def __init__(self, path):
        self.path, self.file, self.rest = path, None, ""

    def lines(self):
        if self.file is None:
            try:
                self.file = open(self.path, encoding="utf-8", errors="replace", newline="")
            except FileNotFoundError:
                return
        self.rest += self.file.read()
        *whole, self.rest = self.rest.split("\n")
        for line in whole:
            yield SGR.sub("", line.rstrip("\r"))


class Guest:
    """What is known of the guest so far."""

    def __init__(self):
        self.started = time.monotonic()
        self.header = {}            # kernel, seed, device, ... as the runner announced them
        self.boot_seconds = None    # until the runner's first line
        self.first_case_seconds = None
        self.planned = None
        self.cases = []
        self.by_name = {}
        self.promises = {}          # of scenarios; behind a "|" what made it true
        self.in_flight = None
        self.case_started = None
        self.evidence = {}
        self.trace = {}             # what timelines are made of, see timeline.py
        self.errors = []            # "# error:" lines
        self.complaints = []        # kernel complaints: (case or None, line)
        self.expected = {}          # case -> why it is expected to lose something
        self.tolerated = {}         # case -> what it may complain of, a part of the line
        self.panic = None
        self.exit = None
        self.last_news = self.started
        self.console = []
        self.console_case = None    # the last that began, as the console has it

    def elapsed(self):
        return time.monotonic() - self.started

    def stream_line(self, line):
        self.last_news = time.monotonic()
        if self.boot_seconds is None:
            self.boot_seconds = round(self.elapsed(), 2)
        found = RESULT.match(line)
        if found:
            self.result(found[1] == "ok", found[3], found[4] or "")
        elif re.match(r"^1\.\.\d+$", line):
            self.planned = int(line[3:])
        elif line.startswith("# start "):
            self.in_flight = line[8:]
            self.case_started = time.monotonic()
            if self.first_case_seconds is None:
                self.first_case_seconds = round(self.elapsed(), 2)
        elif line.startswith("# time "):
            name, _, seconds = line[7:].rpartition(" ")
            if name in self.by_name:
                self.by_name[name]["seconds"] = float(seconds)
        elif line.startswith("# promise "):
            name, _, text = line[10:].partition(": ")
            self.promises[name] = text
        elif line.startswith("# trace "):
            name, _, text = line[8:].partition(": ")
            self.trace.setdefault(name, []).append(text)
        elif line.startswith("# expected "):
            name, _, text = line[11:].partition(": ")
            self.expected[name] = text
        elif line.startswith("# tolerated "):
            name, _, text = line[12:].partition(": ")
            self.tolerated[name] = text
        elif line.startswith("# exit: "):
            self.exit = int(line[8:])
        elif line.startswith("# error: "):
            self.errors.append(line[9:])
        elif line.startswith("# pindma-test: "):
            key, _, value = line[15:].partition(" ")
            self.header[key] = value
        elif line.startswith("# ") and ": " in line:
            name, _, text = line[2:].partition(": ")
            if name == self.in_flight or name in self.by_name:
                self.evidence.setdefault(name, []).append(text)

    def result(self, passed, name, comment):
        word, _, rest = comment.partition(" ")
        if not passed:
            verdict, reason = "fail", comment
        elif word == "SKIP":
            verdict, reason = "skip", rest
        elif word == "XFAIL":
            verdict, reason = "xfail", rest
        else:
            verdict, reason = "ok", comment
        self.add(name, verdict, reason)
        self.in_flight = None

    def add(self, name, verdict, reason):
        case = {"name": name, "verdict": verdict, "reason": reason, "why": self.expected.get(name, ""), "seconds": None}
        self.cases.append(case)
        self.by_name[name] = case

    def console_line(self, line):
        # A case's complaint is here before its result is in the stream; its start may be there later than here.
        self.console.append(line)
        started = STARTED.search(line)
        if started:
            self.console_case = started[1]
        if PANIC.search(line):
            self.panic = self.panic or STAMP.sub("", line.strip())
        elif COMPLAINT.search(line):
            begun = self.console_case not in (None, *self.by_name)
            self.complaints.append((self.console_case if begun else self.in_flight, STAMP.sub("", line.strip())))

    def fail_in_flight(self, reason):
        if self.in_flight:
            self.add(self.in_flight, "fail", reason)
            self.in_flight = None

    def power_cut(self, to_be_lost, bad, seen):
        """The case in flight has ended with the power, and the disk says how."""
        name = self.in_flight
        self.evidence.setdefault(name, []).extend(seen)
        if bad is None:
            self.result(False, name, seen[0])
        elif to_be_lost and not bad:
            self.result(False, name, "the loss that this control must show was not seen: the rig is blind")
        elif bad:
            self.result(to_be_lost, name, f"{'XFAIL ' if to_be_lost else ''}{seen[0]}")
        else:
            self.result(True, name, "")
        self.by_name[name]["seconds"] = round(time.monotonic() - self.case_started, 2)
        self.last_news = time.monotonic()

    def apply_complaints(self):
        """A case during which the kernel complained has failed, whatever the runner made of it."""
        self.complaints = [(name, line) for name, line in self.complaints
                           if name not in self.tolerated or self.tolerated[name] not in line]
        for name, line in self.complaints:
            case = self.by_name.get(name)
            if case and case["verdict"] != "fail":
                case["verdict"] = "fail"
                case["reason"] = f"the kernel complained: {line}" + (f" (else: {case['reason']})" if case["reason"] else "")

    def count(self, verdict):
        return sum(case["verdict"] == verdict for case in self.cases)


def verdict_at_goodbye(guest):
    """The runner said how it ended; believe nothing that its own lines do not bear out."""
    reported = len(guest.cases)
    if guest.exit not in (0, FAIL, SKIPPED):
        return guest.exit if guest.exit == 2 else RIG, "; ".join(guest.errors) or f"the test runner ended with {guest.exit}"
    if guest.count("fail"):
        return FAIL, ""
    if any(name is None for name, _ in guest.complaints):
        return FAIL, "the kernel complained outside of any case: " + next(l for n, l in guest.complaints if n is None)
    if guest.planned is None or reported != guest.planned:
        return RIG, f"{guest.planned} cases planned, {reported} reported"
    if guest.exit == FAIL:
        return FAIL, "the test runner reports failure, although no case does"
    if reported == guest.count("skip"):
        return SKIPPED, "everything was skipped"
    return 0, ""


class Interrupted(Exception):
    pass


def interrupt(signum, _frame):
    # A terminal sends Ctrl-C to everybody, and run.sh passes it on: once is enough.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(signum)


def watch(host, guest, stream, console, limits, live):
    """Follow the guest to its end. Returns (exit code, reason)."""
    ended = panicked = said_goodbye = None
    shown = 0.0
    while True:
        gone = host.gone()
        # The console first: a complaint must be seen before the line that closes its case.
        for line in console.lines():
            guest.console_line(line)
        for line in stream.lines():
            guest.stream_line(line)
        host.serve()
        now = time.monotonic()
        if host.power_cut:
            for line in stream.lines():     # what came before it
                guest.stream_line(line)
            guest.power_cut(*host.power_cut)
            host.power_cut = None
            if len(guest.cases) == guest.planned:
                guest.exit = 0
            else:
                host.next_guest(len(guest.cases) + 1)
            continue

        if live and now - shown > 0.2:
            shown = now
            live(guest)
        if guest.exit is not None and said_goodbye is None:
            said_goodbye = now
        if guest.panic and panicked is None:
            panicked = now
        if gone:
            # One more look at what came between the last look and the end.
            if ended is None:
                ended = now
                continue
            break
        if said_goodbye and now - said_goodbye > GOODBYE_GRACE:
            break
        if panicked and now - panicked > PANIC_GRACE:
            break
        if guest.boot_seconds is None and guest.elapsed() > limits.boot_limit:
            return RIG, f"the kernel did not boot: no test runner within {limits.boot_limit:g} s"
        if guest.elapsed() > limits.total_limit:
            guest.fail_in_flight(f"TIMEOUT the total limit of {limits.total_limit:g} s was hit during this case")
            return LIMIT, f"the total limit of {limits.total_limit:g} s was hit"
        silence = limits.case_limit + SILENCE_MARGIN
        if guest.boot_seconds is not None and not said_goodbye and now - guest.last_news > silence:
            guest.fail_in_flight(f"TIMEOUT nothing was heard of the guest for {silence:g} s")
            return LIMIT, f"the guest hangs: nothing was heard of it for {silence:g} s"
        time.sleep(POLL)

    if guest.panic:
        if guest.boot_seconds is None:
            return RIG, f"the kernel did not boot: {guest.panic}"
        guest.fail_in_flight(guest.panic)
        return FAIL, guest.panic
    if guest.exit is not None:
        return verdict_at_goodbye(guest)
    if guest.boot_seconds is None:
        return RIG, None            # QEMU's own message says why, see main()
    lost = guest.in_flight
    guest.fail_in_flight("the VM was lost during this case")
    return RIG, "the VM was lost: QEMU ended without the runner's last line" + (f", during {lost}" if lost else "")


def live_line(guest):
    if guest.boot_seconds is None:
        text = f"booting ... {guest.elapsed():.0f} s"
    else:
        text = f"[{len(guest.cases)}/{guest.planned or '?'}] {guest.in_flight or ''} {guest.elapsed():.0f} s"
        if guest.count("fail"):
            text += f", {guest.count('fail')} failed"
    sys.stderr.write("\r\033[K" + text[:99])
    sys.stderr.flush()


def last_line(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
    except FileNotFoundError:
        lines = []
    return lines[-1] if lines else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--kernel", required=True, help="as the user named it")
    parser.add_argument("--accel", required=True)
    parser.add_argument("--boot-limit", type=float, required=True)
    parser.add_argument("--case-limit", type=float, required=True)
    parser.add_argument("--total-limit", type=float, required=True)
    parser.add_argument("--disks", help="where the disks that are looked at after a power cut come from")
    parser.add_argument("--live", action="store_true")
    parser.add_argument("qemu", nargs="+")
    args = parser.parse_args()

    os.chdir(args.out)
    guest = Guest()
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    host = None
    try:
        host = Host(args.qemu, open("qemu.log", "w", encoding="utf-8"), args.disks)
        guest.started = guest.last_news = time.monotonic()
        code, reason = watch(host, guest, Tail("stream.log"), Tail("console.log"), args,
                             live_line if args.live else None)
    except Interrupted as signalled:
        code, reason = INTERRUPTED, f"interrupted by {signal.Signals(signalled.args[0]).name}"
        guest.fail_in_flight(reason)
    finally:
        if host:
            host.stop()
        if args.live:
            sys.stderr.write("\r\033[K")
    if reason is None:
        message = last_line("qemu.log")
        status = host.process.returncode
        if status < 0:
            reason = f"the VM was lost before the first test: QEMU was killed by {signal.Signals(-status).name}"
        elif status:
            reason = f"QEMU did not start (exit {status}): {message}"
        else:
            reason = "the kernel did not boot: the guest ended before the test runner's first line"
    guest.apply_complaints()
    if code == 0 and guest.count("fail"):
        code = FAIL
    if code in (RIG, LIMIT, FAIL) and not reason and guest.errors:
        reason = "; ".join(guest.errors)

    for case in guest.cases:
        case["evidence"] = guest.evidence.get(case["name"], [])
        case["trace"] = guest.trace.get(case["name"], [])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = round(used.ru_utime + used.ru_stime, 2)
    with open("vm.json", "w", encoding="utf-8") as out:
        json.dump({
            "kernel": args.kernel, "accel": args.accel, "exit": code, "reason": reason, "header": guest.header,
            "promises": guest.promises,
            "planned": guest.planned, "boot_seconds": guest.boot_seconds, "first_case_seconds": guest.first_case_seconds,
            "seconds": round(guest.elapsed(), 2), "cpu_seconds": cpu_seconds, "booted": guest.boot_seconds is not None, "panic": guest.panic,
            "complaints": [{"case": name, "line": line} for name, line in guest.complaints],
            "console_tail": guest.console[-25:], "cases": guest.cases,
        }, out, indent=1)
    return code


if __name__ == "__main__":
    sys.exit(main())
