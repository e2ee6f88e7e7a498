#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What the samples of pindma-bench mean together: ratios, their spread, their goals.

    report.py write DIR GUEST-DIR...    DIR/bench.json from the guests' vm.json, then print
    report.py print DIR                 print it again
    report.py markdown DIR              the tables of docs/performance.md

A ratio is taken in each round, between samples that follow one another, and the median of the rounds is the figure;
low and high are the smallest and the largest of them. Where a figure has several variants it is the worst one. The
exit code is 0 if everything could be measured, whatever came out, else 1.
"""
import json
import os
import statistics
import sys

CLOCK_TOLERANCE = 0.02      # the guest's clock by the host's: beyond that no duration means anything
IDLE = 0.05                 # of the host's CPUs, for others: beyond that figures are those of a busy machine


class Unmeasured(Exception):
    pass


class Samples:
    """The samples of all guests, by kind of guest ("none", "intel": its IOMMU) and series, in order."""

    def __init__(self):
        self.series = {}

    def add(self, kind, case):
        for line in case["evidence"]:
            name, _, value = line.partition(" ")
            self.series.setdefault(f"{kind}/{case['name']}.{name}", []).append(float(value))

    def get(self, name):
        if name not in self.series:
            raise Unmeasured(f"no samples of {name}")
        return self.series[name]


def median(name):
    """One series as it is."""
    return lambda samples: samples.get(f"none/{name}")


def ratio(over, under, kinds=("none", "none")):
    """A series over another, round by round."""
    def rounds(samples):
        pairs = zip(samples.get(f"{kinds[0]}/{over}"), samples.get(f"{kinds[1]}/{under}"))
        return [a / b for a, b in pairs]
    return rounds


def loss(over, under):
    rounds = ratio(over, under)
    return lambda samples: [1 - value for value in rounds(samples)]


def with_and_without(*names):
    """How many times as long an op takes behind an IOMMU."""
    return [ratio(name, name, ("intel", "none") if name.endswith("e_s") else ("none", "intel")) for name in names]


class Figure:
    """variants: functions from samples to a value a round. goal: (">=" or "<=", number), which says what worst means."""

    def __init__(self, name, how, variants, goal=None, worst=min):
        self.name, self.how, self.variants, self.goal = name, how, variants, goal
        self.worst = worst if goal is None else (min if goal[0] == ">=" else max)

    def measure(self, samples):
        rounds = self.worst((variant(samples) for variant in self.variants), key=statistics.median)
        value = statistics.median(rounds)
        result = {"value": value, "low": min(rounds), "high": max(rounds), "how": self.how}
        if self.goal:
            result["goal"] = f"{self.goal[0]} {number(self.goal[1])}"
            result["met"] = value >= self.goal[1] if self.goal[0] == ">=" else value <= self.goal[1]
        return result


FIGURES = (
    Figure("write_vs_memcpy", "memcpy() of 64 MiB in the QEMU process / WRITE (pattern) of 64 MiB, time",
           [ratio("bulk.memcpy_s", "bulk.write_s")], (">=", 0.8)),
    Figure("fill_vs_memcpy", "the same / FILL", [ratio("bulk.memcpy_s", "bulk.fill_s")]),
    Figure("read_vs_memcpy", "the same / READ (CRC-32)", [ratio("bulk.memcpy_s", "bulk.read_s")]),
    Figure("copy_vs_memcpy", "the same / COPY", [ratio("bulk.memcpy_s", "bulk.copy_s")]),
    Figure("stamp_pages_per_s", "HAMMER, in order, no limit, over 64 MiB; the guest sleeps",
           [median("stamps.up_per_s")], (">=", 15e6)),
    Figure("stamp_random_pages_per_s", "the same in random order", [median("stamps.random_per_s")]),
    Figure("slowdown_1m", "what a busy loop loses beside HAMMER at 1 M pages/s, the other vCPU idle",
           [loss("slowdown.beside_1m_per_s", "slowdown.alone_per_s")], ("<=", 0.05)),
    Figure("hammer_1m_pages_per_s", "how many it did stamp then",
           [median("slowdown.hammer_1m_per_s")], (">=", 0.95e6)),
    Figure("slowdown_unlimited", "the same beside HAMMER without a limit",
           [loss("slowdown.beside_unlimited_per_s", "slowdown.alone_per_s")], worst=max),
    Figure("ops_vs_nvme_512", "ops/s of 512 B at depth 32: the worse of WRITE / NVMe read and READ (sum) / NVMe write",
           [ratio("ops.write_512_per_s", "ops.nvme_read_512_per_s"),
            ratio("ops.read_512_per_s", "ops.nvme_write_512_per_s")], (">=", 10)),
    Figure("ops_vs_nvme_4k", "the same with 4 KiB",
           [ratio("ops.write_4k_per_s", "ops.nvme_read_4k_per_s"),
            ratio("ops.read_4k_per_s", "ops.nvme_write_4k_per_s")], (">=", 10)),
    Figure("ops_vs_rxe", "ops/s at depth 32: the worst of WRITE and COPY / RDMA WRITE, 512 B and 4 KiB",
           [ratio("ops.write_512_per_s", "ops.rxe_write_512_per_s"),
            ratio("ops.copy_512_per_s", "ops.rxe_write_512_per_s"),
            ratio("ops.write_4k_per_s", "ops.rxe_write_4k_per_s"),
            ratio("ops.copy_4k_per_s", "ops.rxe_write_4k_per_s")], (">=", 5)),
    Figure("latency_vs_nvme", "one op of 512 B, doorbell to completion: WRITE and poll() / NVMe read, time",
           [ratio("latency.write_s", "latency.nvme_s")], ("<=", 0.5)),
    Figure("latency_vs_rxe", "the same / RDMA WRITE and its event", [ratio("latency.write_s", "latency.rxe_s")]),
    Figure("iommu_cost", "time with -device intel-iommu / without: the worst of all ops, large, small and HAMMER",
           with_and_without("bulk.write_s", "stamps.up_per_s", "iommu.write_512_per_s", "iommu.read_512_per_s",
                            "iommu.copy_512_per_s", "iommu.write_4k_per_s", "iommu.read_4k_per_s",
                            "iommu.copy_4k_per_s"), worst=max),
)


def edu(samples):
    """Not a ratio: there is nothing that edu could do beside pindma."""
    seconds = statistics.median(samples.get("none/edu.write_4k_s"))
    return {"ops_per_s": 1 / seconds, "bytes_per_s": 4088 / seconds, "latency_s": seconds,
            "how": "4088 B from its buffer to memory, register to register: its timer looks every 100 ms"}


def check_clock(samples):
    value = statistics.median(samples.get("none/clock.guest_per_host"))
    if abs(value - 1) > CLOCK_TOLERANCE:
        raise Unmeasured(f"the guest's clock runs at {value:.3f} of the host's: durations mean nothing")


def host_load(directory, guest):
    """The host meanwhile, from /proc/loadavg and the cpu line of /proc/stat, before and after."""
    with open(os.path.join(directory, "load"), encoding="utf-8") as file:
        before, first, after, last = (line.split() for line in file)
    spent = [int(b) - int(a) for a, b in zip(first[1:9], last[1:9])]
    total, hertz = max(sum(spent), 1), os.sysconf("SC_CLK_TCK")
    busy = total - spent[3] - spent[4] - spent[7]       # not idle, not waiting for a disk, not stolen
    others = max(busy - guest["cpu_seconds"] * hertz, 0)
    return {"load_before": float(before[0]), "load_after": float(after[0]), "others_busy": others / total,
            "stolen": spent[7] / total}


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(": ")[2].strip()
    return "unknown CPU"


def write(directory, guests):
    samples, loads, errors, rounds, accel, kernel = Samples(), [], [], 0, None, None
    for path in guests:
        kind = path.rpartition("-")[2]
        with open(os.path.join(path, "vm.json"), encoding="utf-8") as file:
            guest = json.load(file)
        accel, kernel = guest["accel"], guest["header"].get("kernel", guest["kernel"])
        if guest["exit"]:
            errors.append(f"{os.path.basename(path)}: {guest['reason'] or 'a case could not be measured'}")
        for case in guest["cases"]:
            if case["verdict"] == "ok":
                samples.add(kind, case)
            else:
                errors.append(f"{os.path.basename(path)}: {case['name']}: {case['reason']}")
        loads.append(host_load(path, guest))
    with open(os.path.join(directory, "run.json"), encoding="utf-8") as file:
        run = json.load(file)

    result, figures = {}, {}
    for figure in FIGURES:
        try:
            figures[figure.name] = figure.measure(samples)
        except Unmeasured as error:
            errors.append(f"{figure.name}: {error}")
            figures[figure.name] = {"value": None, "how": figure.how}
        result[figure.name] = figures[figure.name]["value"]
    result["edu"] = None
    try:
        result["edu"] = edu(samples)
        check_clock(samples)
    except Unmeasured as error:
        errors.append(str(error))
    series = {name: {"median": statistics.median(values), "low": min(values), "high": max(values), "samples": len(values)}
              for name, values in samples.series.items()}
    result.update({
        "figures": figures, "series": series, "errors": errors,
        "host": {"cpu": cpu_model(), "cpus": os.cpu_count(), "guests": loads},
        "run": dict(run, accel=accel, kernel=kernel),
    })
    with open(os.path.join(directory, "bench.json"), "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 1e5:
        return f"{value:.3g}".replace("e+0", "e")
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def show(directory):
    """Print bench.json. Returns the exit code."""
    with open(os.path.join(directory, "bench.json"), encoding="utf-8") as file:
        bench = json.load(file)
    run, host = bench["run"], bench["host"]
    print(f"kernel {run['kernel']}, QEMU {run['qemu']}, {run['accel']}; {host['cpus']} x {host['cpu']}\n")
    print(f"{'figure':<25} {'median':>9} {'low':>9} {'high':>9}  goal")
    for name, figure in bench["figures"].items():
        goal = figure.get("goal", "")
        if goal:
            goal += ": met" if figure["met"] else ": missed"
        low, high = figure.get("low"), figure.get("high")
        print(f"{name:<25} {number(figure['value']):>9} {number(low):>9} {number(high):>9}  {goal}".rstrip())
        print(f"    {figure['how']}")
    if bench["edu"]:
        print(f"edu: {bench['edu']['ops_per_s']:.3g} ops/s, {bench['edu']['bytes_per_s']:.3g} B/s")
        print(f"    {bench['edu']['how']}")
    print(f"\n{'series (guest with IOMMU/case.name)':<45} {'median':>9} {'low':>9} {'high':>9}  samples")
    for name, each in bench["series"].items():
        print(f"{name:<45} {number(each['median']):>9} {number(each['low']):>9} {number(each['high']):>9}  {each['samples']}")
    print("\nThe host's load average before and after each guest, what other programs and the hypervisor took of its CPUs:")
    for load in host["guests"]:
        print(f"    {load['load_before']:.2f} {load['load_after']:.2f}, {load['others_busy']:.1%} others, {load['stolen']:.1%} stolen")
    if any(load["others_busy"] + load["stolen"] > IDLE for load in host["guests"]):
        print("The machine was not idle: what needs a free core (all but edu) comes out worse than it is.")
    for error in bench["errors"]:
        print(f"not measured: {error}")
    print(f"results: {directory}/bench.json")
    return 1 if bench["errors"] else 0


def markdown(directory):
    """The figures, and what they are made of where one would want to know."""
    with open(os.path.join(directory, "bench.json"), encoding="utf-8") as file:
        bench = json.load(file)
    print("| figure | median | low | high | goal | |\n|---|---|---|---|---|---|")
    for name, figure in bench["figures"].items():
        numbers = " | ".join(number(figure.get(key)) for key in ("value", "low", "high"))
        goal = f"{figure['goal']}, {'met' if figure['met'] else '**missed**'}" if "goal" in figure else ""
        print(f"| `{name}` | {numbers} | {goal} | {figure['how']} |")
    print(f"| `edu` | {number(bench['edu']['ops_per_s'])} ops/s, {number(bench['edu']['bytes_per_s'])} B/s | | | | {bench['edu']['how']} |")
    print("\n| series | median | low | high |\n|---|---|---|---|")
    for name, each in bench["series"].items():
        if name.startswith(("none/ops.", "none/latency.", "none/bulk.", "intel/bulk.write", "intel/stamps.up", "intel/iommu.write")):
            print(f"| `{name}` | {number(each['median'])} | {number(each['low'])} | {number(each['high'])} |")
    others = [load["others_busy"] for load in bench["host"]["guests"]]
    print(f"\nOther programs took {min(others):.0%} to {max(others):.0%} of the machine meanwhile.")
    return 0


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("write", "print", "markdown"):
        sys.exit(__doc__)
    if sys.argv[1] == "markdown":
        return markdown(sys.argv[2])
    if sys.argv[1] == "write":
        write(sys.argv[2], sys.argv[3:])
    return show(sys.argv[2])


if __name__ == "__main__":
    sys.exit(main())
