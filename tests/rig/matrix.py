# SPDX-License-Identifier: GPL-2.0-only
"""Cases as a matrix: a row is a scenario with a type of memory, a column a way to hold the pages. With several kernels a
cell is what all of them say, or that they differ."""
import re

MODES = ["get", "get-fast", "pin", "pin-fast", "pin-longterm", "pin-fast-longterm", "vfio", "uring", "rxe"]
# What is taken away from the pins of a control, see tests/modules/pindma_negate.c
CONTROLS = {"cleared": "has-pinned flag cleared", "uncounted": "no count", "shared": "not own", "plain": "both"}
COLUMNS = MODES + ["on-demand", "exclusive"] + [f"{mode}-{control}" for control in CONTROLS for mode in MODES]
HEADINGS = {"longterm": "long", "demand": "dem.", "exclusive": "excl."}
DIFFERS = "differs"
CELL = {"ok": "ok", "xfail": "XFAIL", "fail": "FAIL", "skip": "skip"}
SHOWN = {**CELL, DIFFERS: "DIFF", None: "."}
# Programs of the kernel's own tests have hundreds of cases, see tests/lib/kselftest.c: they are counted.
COUNTED = "kselftest."
WORST = ["fail", "skip", "xfail", "ok"]


def split(name):
    """fork.parent_write/thp/get-fast/r2 -> (scenario, memory type, pin mode); the repeat is dropped."""
    parts = re.sub(r"/r\d+$", "", name).split("/")
    return tuple(parts + ["", ""])[:3]


def control_of(mode):
    return next((control for control in CONTROLS if mode.endswith(f"-{control}")), "")


def words(mode):
    """The heading of a column, one word a line; that of its group is not repeated."""
    return [HEADINGS.get(word, word) for word in mode.removesuffix(f"-{control_of(mode)}").split("-")]


class Matrix:
    def __init__(self, cases, kernels):
        self.kernels = kernels
        self.verdicts = {}              # (scenario, memory, mode) -> kernel -> verdicts, more than one if repeated
        for case in cases:
            self.verdicts.setdefault(split(case["name"]), {}).setdefault(case["kernel"], []).append(case["verdict"])
        rows = list(dict.fromkeys(name[:2] for name in self.verdicts))
        modes = dict.fromkeys(name[2] for name in self.verdicts if name[2])
        self.modes = [mode for mode in COLUMNS if mode in modes] + [mode for mode in modes if mode not in COLUMNS]
        self.groups = {}                # control -> its columns
        for mode in self.modes:
            self.groups.setdefault(control_of(mode), []).append(mode)
        self.rows = [row for row in rows if any((*row, mode) in self.verdicts for mode in self.modes)]
        self.single = [row for row in rows if row not in self.rows]     # cases that hold nothing

    def on(self, name, kernel):
        """The worst verdict of a case on one kernel, None if it was not planned there."""
        verdicts = self.verdicts.get(name, {}).get(kernel)
        return next(verdict for verdict in WORST if verdict in verdicts) if verdicts else None

    def cell(self, name):
        """The verdict of all kernels that have the case."""
        seen = {self.on(name, kernel) for kernel in self.verdicts.get(name, {})}
        return DIFFERS if len(seen) > 1 else next(iter(seen), None)

    def differences(self):
        return [name for name in self.verdicts if self.cell(name) == DIFFERS]
