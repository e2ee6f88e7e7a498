#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The lab: variants of one kernel, switched while it runs. What a variant is, and what is to be seen of it, is said by the
header of its patch, see docs/lab.md.

    lab.py names PATCH...                the variants that have a row, one a line
    lab.py plan PART GLOBS PATCH...      arguments for the test runner; PART is bugs, proposals, costs or panics
    lab.py write DIR PATCH...            DIR/lab.json from DIR/PART/vm.json
    lab.py print DIR                     the tables; exits 0 if each bug was seen, and nothing without a switch
"""
import fnmatch
import json
import os
import re
import statistics
import sys

GOAL_SECONDS = 60
FIELDS = ("Kind", "Switch", "With", "Commit", "Red", "From", "Without", "Base", "Cases", "Panics", "Cost")
REPEATED = ("Red", "Cases", "Panics", "Cost")
WAY_OUT = "docs/lab.md has one from patch to row"
NEEDED = {"bug": ("Switch", "Commit", "Red"), "proposal": ("Switch", "From", "Cases"), "tool": ()}


class Variant:
    """The header of a patch."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            head = re.split(r"^(?:---|diff )", file.read(), maxsplit=1, flags=re.M)[0]
        self.path = path
        self.title = head.strip().split("\n")[0].partition(": ")[2]
        self.fields = {key: [] for key in FIELDS}
        for key, value in re.findall(r"^([A-Z][a-z]+): *(.*)$", head, re.M):
            if key in self.fields:
                self.fields[key] += value.split() if key in REPEATED else [value]
        kind = self.one("Kind")
        if kind not in NEEDED:
            sys.exit(f"{path}: its header has no line 'Kind: bug', 'Kind: proposal' or 'Kind: tool'; {WAY_OUT}")
        for key in NEEDED[kind]:
            if not self.fields[key]:
                sys.exit(f"{path}: a {kind} wants a line '{key}: ...' in its header; {WAY_OUT}")
        self.kind, self.name = kind, self.one("Switch")

    def one(self, key):
        return self.fields[key][-1] if self.fields[key] else ""

    def switches(self, key):
        """With those that are on besides, as the runner wants them."""
        return "+".join(filter(None, (self.one(key), self.name)))


def variants(paths, globs="*"):
    """Those of such a name, "GLOB[,GLOB]", that have a row. A name that two of them have, or a switch of "With:" that none has, is refused."""
    every = list(map(Variant, paths))
    owner = {}
    for v in every:
        if v.name and owner.setdefault(v.name, v) is not v:
            sys.exit(f"{v.path}: the switch '{v.name}' is {owner[v.name].path}'s already; {WAY_OUT}")
    for v in every:
        for name in filter(None, "+".join(map(v.one, ("With", "Without", "Base"))).split("+")):
            if name not in owner:
                sys.exit(f"{v.path}: there is no switch '{name}'; {WAY_OUT}")
    return [v for v in every if v.name and v.kind != "tool" and any(fnmatch.fnmatch(v.name, glob) for glob in globs.split(","))]


# ----------------------------------------------------------------------------------------------------------------
# What is to be run. "off" is the kernel without any variant.

def arguments(variant, globs):
    return ["--variant", variant] + [word for glob in dict.fromkeys(globs) for word in ("-t", glob)] if globs else []


def plan(part, rows):
    rows = [v for v in rows if v.kind == ("bug" if part == "bugs" else "proposal")]
    key = {"bugs": "Red", "proposals": "Cases", "panics": "Panics", "costs": "Cost"}[part]
    rows = [v for v in rows if v.fields[key]]
    out = arguments("off=", [glob for v in rows for glob in v.fields[key]])
    for v in rows:
        if part == "bugs":
            out += arguments(f"{v.name}={v.switches('With')}", v.fields[key])
        elif part in ("proposals", "panics"):
            if v.one("Without"):
                out += arguments(f"{v.name}.before={v.one('Without')}", v.fields[key])
            out += arguments(f"{v.name}={v.switches('Base')}", v.fields[key])
        else:
            out += arguments(f"{v.name}={v.name}", v.fields[key])
    return out


# ----------------------------------------------------------------------------------------------------------------
# What came out

def is_red(case):
    """A promise was broken. What could not be tried is no proof of anything."""
    return case["verdict"] == "fail" and case["reason"].startswith(("LOST ", "Kernel panic"))


def colour(case):
    if case["verdict"] == "skip":
        return "skip"
    return "red" if is_red(case) else "green" if case["verdict"] == "ok" else "error"


def by_variant(vm):
    """{variant: {case: [its rounds]}}"""
    found = {}
    for case in vm["cases"]:
        variant, _, name = case["name"].partition(":")
        found.setdefault(variant, {}).setdefault(re.sub(r"/r\d+$", "", name), []).append(case)
    return found


def seconds_to_red(rounds):
    """How long one has to go on until it is seen, each time."""
    spent, times = 0, []
    for case in rounds:
        spent += case["seconds"] or 0
        if is_red(case):
            times.append(spent)
            spent = 0
    return times


def is_named(commit, lines):
    """The commit of a header, its first hash, in what the scenario calls the likely fix. "none: why" wants no name."""
    return commit.startswith("none: ") or commit.split()[0] in " ".join(lines)


def detection(rows, found):
    table = {}
    for v in rows:
        cases = found.get(v.name, {})
        red = {name: seconds_to_red(rounds) for name, rounds in cases.items() if any(map(is_red, rounds))}
        best = min(red, key=lambda name: statistics.median(red[name]), default=None)
        fixes = [line for case in cases.get(best, []) for line in case["evidence"] if line.startswith("likely fix: ")]
        table[v.name] = {
            "title": v.title, "commit": v.one("Commit"), "switches": v.switches("With"), "scenario": best,
            "red": len(red[best]) if best else 0, "seeds": len(cases[best]) if best else max(map(len, cases.values()), default=0),
            "median_s": round(statistics.median(red[best]), 2) if best else None,
            "names_commit": is_named(v.one("Commit"), fixes),
            "cases": {name: {"rounds": [colour(case) for case in rounds], "reason": rounds[0]["reason"]}
                      for name, rounds in cases.items()},
        }
    return table


def worst(rounds):
    colours = [colour(case) for case in rounds]
    return next((c for c in ("red", "error", "green") if c in colours), "skip")


def comparison(rows, found):
    table = {}
    for v in rows:
        after = {name: worst(rounds) for name, rounds in found.get(v.name, {}).items()}
        stock = {name: worst(found.get("off", {}).get(name, [])) if name in found.get("off", {}) else "skip" for name in after}
        before = {name: worst(rounds) for name, rounds in found.get(f"{v.name}.before", {}).items()} or stock
        table[v.name] = {
            "title": v.title, "from": v.one("From"), "switches": v.switches("Base"), "without": v.one("Without"),
            "scenarios": {name: {"stock": stock[name], "before": before.get(name, "skip"), "with": after[name],
                                 "reason": found[v.name][name][0]["reason"]} for name in after},
            "fixes": [n for n in after if before.get(n) == "red" and after[n] == "green"],
            "misses": [n for n in after if before.get(n) == "red" and after[n] == "red"],
            "breaks": [n for n in after if stock[n] == "green" and before.get(n) == "green" and after[n] == "red"],
            "cost": {},
        }
    return table


def measures(rounds):
    """{what: [a value of each round]}"""
    out = {}
    for case in rounds:
        for line in case["evidence"]:
            if line.startswith("measured "):
                _, what, value = line.split()
                out.setdefault(what, []).append(float(value))
    return out


def panics(rows, found, table):
    """Of a guest of its own, which may end there."""
    for v in rows:
        row = table.setdefault(v.name, comparison([v], {})[v.name])
        for name, part in comparison([v], found)[v.name].items():
            if name in ("fixes", "misses", "breaks"):
                row[name] += part
            elif name == "scenarios":
                row[name].update(part)


def costs(rows, found, table):
    """Each round of a variant by that of "off" in the same boot, a minute away: the median of the ratios."""
    for v in rows:
        for name, rounds in found.get(v.name, {}).items():
            base = measures(found.get("off", {}).get(name, []))
            for what, values in measures(rounds).items():
                ratios = [a / b for a, b in zip(values, base.get(what, [])) if b]
                if ratios:
                    memory = name.split("/")[1] + " " if name.count("/") else ""
                    table[v.name]["cost"][memory + what] = {
                        "ratio": round(statistics.median(ratios), 2), "low": round(min(ratios), 2),
                        "high": round(max(ratios), 2), "stock_us": statistics.median(base[what])}


def write(directory, paths):
    rows = variants(paths)
    lab = {"detection": {}, "off_red": [], "fixes": {}, "guests": {}}
    with open(os.path.join(directory, "run.json"), encoding="utf-8") as file:
        lab.update(json.load(file))
    for part in ("bugs", "proposals", "panics", "costs"):
        path = os.path.join(directory, part, "vm.json")
        if not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as file:
            vm = json.load(file)
        found = by_variant(vm)
        lab["guests"][part] = {key: vm[key] for key in ("header", "exit", "reason", "panic", "seconds", "planned", "accel")}
        lab["guests"][part]["reported"] = len(vm["cases"])
        lab["guests"][part]["strangers"] = [c["line"] for c in vm["complaints"] if c["case"] is None]
        if part == "bugs":
            lab["detection"] = detection([v for v in rows if v.name in found], found)
            lab["off_red"] = [name for name, rounds in found.get("off", {}).items() if worst(rounds) != "green" and worst(rounds) != "skip"]
        elif part == "proposals":
            lab["fixes"] = comparison([v for v in rows if v.name in found], found)
        elif part == "panics":
            panics([v for v in rows if v.name in found], found, lab["fixes"])
        else:
            for v in rows:
                if v.name in found:
                    lab["fixes"].setdefault(v.name, comparison([v], {})[v.name])
            costs([v for v in rows if v.name in found], found, lab["fixes"])
    with open(os.path.join(directory, "lab.json"), "w", encoding="utf-8") as out:
        json.dump(lab, out, indent=1)
        out.write("\n")


def listed(names):
    return ", ".join(names) if names else "-"


def print_guests(lab):
    """What is wrong with them"""
    failed = []
    for part, guest in lab["guests"].items():
        print(f"{part}: kernel {guest['header'].get('kernel')}, {guest['accel'].upper()}, {guest['reported']} of {guest['planned']} "
              f"cases in {guest['seconds']:.0f} s")
        if part != "panics" and (guest["reported"] != guest["planned"] or guest["panic"]):
            failed.append(f"{part}: the guest did not come to its end: {guest['reason']}")
        failed += [f"{part}: the kernel complains outside of any case: {line}" for line in guest["strangers"]]
    return failed


def print_detection(lab):
    failed = []
    print(f"\n{'bug, back again':<22}{'red':>5}{'median':>9}  {'scenario':<46}commit")
    for name, row in lab["detection"].items():
        median = f"{row['median_s']:.1f} s" if row["red"] else "-"
        print(f"{name:<22}{row['red']}/{row['seeds']:<3}{median:>9}  {row['scenario'] or listed(row['cases']):<46}"
              f"{row['commit'].split(':')[0]}")
        if not row["red"] or row["median_s"] > GOAL_SECONDS:
            failed.append(f"{name}: not seen in {GOAL_SECONDS} s")
        elif not row["names_commit"]:
            failed.append(f"{name}: the scenario does not name its commit")
        blind = [case for case, seen in row["cases"].items() if "red" not in seen["rounds"]]
        if blind and row["red"]:
            print(f"{'':<38}not red: {listed(blind)}")
    print(f"All switches off: {'red in ' + listed(lab['off_red']) if lab['off_red'] else 'no red'}")
    return failed + [f"red with all switches off: {name}" for name in lab["off_red"]]


# Columns of the table of proposals: what is measured, as the scenarios call it
COSTS = (("fork, pinned 0/1/100 %", ("fork_us_0", "fork_us_1", "fork_us_100")),
         ("storm 0/1/100 %", ("storm_us_0", "storm_us_1", "storm_us_100")),
         ("pin/unpin", ("pin_us", "unpin_us")),
         ("fsync ext4/xfs/btrfs", ("ext4 fsync_us", "xfs fsync_us", "btrfs fsync_us")))


def print_fixes(lab):
    failed = []
    print(f"\n{'proposal':<22}{'fixes':>6}{'misses':>7}{'breaks':>7}" + "".join(f"  {title:<22}" for title, _ in COSTS))
    for name, row in lab["fixes"].items():
        cells = ["/".join(f"{row['cost'][what]['ratio']:.2f}" if what in row["cost"] else "-" for what in whats)
                 if any(what in row["cost"] for what in whats) else "" for _, whats in COSTS]
        print((f"{name:<22}{len(row['fixes']):>6}{len(row['misses']):>7}{len(row['breaks']):>7}"
               + "".join(f"  {cell:<22}" for cell in cells)).rstrip())
        for what in ("misses", "breaks"):
            if row[what]:
                print(f"    {what}: {listed(row[what])}")
        failed += [f"{name}: {case} could not be tried" for case, seen in row["scenarios"].items()
                   if "error" in (seen["stock"], seen["before"], seen["with"])]
    return failed


def print_tables(directory):
    with open(os.path.join(directory, "lab.json"), encoding="utf-8") as file:
        lab = json.load(file)
    failed = print_guests(lab)
    if lab["detection"]:
        failed += print_detection(lab)
    if lab["fixes"]:
        failed += print_fixes(lab)
    print(f"\nResults: {os.path.join(directory, 'lab.json')}")
    print("FAIL: " + "; ".join(failed) if failed else "PASS: each bug was seen, nothing was red without one")
    return 1 if failed else 0


def main():
    command, *rest = sys.argv[1:] or [""]
    if command == "names":
        print("\n".join(v.name for v in variants(rest)))
    elif command == "plan" and len(rest) > 2:
        print("".join(word + "\n" for word in plan(rest[0], variants(rest[2:], rest[1]))), end="")
    elif command == "write" and rest:
        write(rest[0], rest[1:])
    elif command == "print" and rest:
        return print_tables(rest[0])
    else:
        sys.exit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
