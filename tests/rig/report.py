#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Turn what vm.py saw into results.ktap, junit.xml, summary.json, report.html, trace.json and the report
that run.sh prints.

    report.py write DIR KERNEL-DIR...    make the files in DIR from the vm.json of each kernel
    report.py print DIR                  print the report from DIR/summary.json; exits with the run's exit code
"""
import json
import os
import re
import sys
import xml.etree.ElementTree as ElementTree

from matrix import CELL, CONTROLS, COUNTED, SHOWN, Matrix, split, words
from page import again, write_html
from timeline import Timeline

VERDICTS = {0: "PASS", 1: "FAIL", 2: "USAGE ERROR", 4: "ALL SKIPPED", 99: "RIG ERROR", 124: "LIMIT HIT",
            125: "CANNOT TEST", 130: "INTERRUPTED"}
# Which exit code stands for several kernels. 4 counts only if it is everybody's.
PRECEDENCE = [130, 1, 124, 99, 125, 2]
QUESTION = ("fork.parent_write/anon/get-fast", "fork.parent_write/anon/pin-fast")
DEFECT = "known defect: "      # in tests/expectations
WIDTH = 132


def overall(codes):
    for code in PRECEDENCE:
        if code in codes:
            return code
    return 4 if codes and all(code == 4 for code in codes) else 0


def count(cases, verdict):
    return sum(case["verdict"] == verdict for case in cases)


# ----------------------------------------------------------------------------------------------------------------
# Files

def ktap_of(vm, indent=""):
    lines = ["KTAP version 1"]
    lines += [f"# {key} {value}" for key, value in vm["header"].items()]
    cases = vm["cases"]
    lines.append(f"1..{max(vm['planned'] or 0, len(cases))}")
    for number, case in enumerate(cases, 1):
        lines += [f"# {case['name']}: {line}" for line in case["evidence"]]
        word = "not ok" if case["verdict"] == "fail" else "ok"
        directive = {"skip": "SKIP ", "xfail": "XFAIL "}.get(case["verdict"], "")
        comment = f" # {directive}{case['reason']}".rstrip() if directive or case["reason"] else ""
        lines.append(f"{word} {number} {case['name']}{comment}")
    if vm["reason"]:
        lines.append(f"# {vm['reason']}")
    return [indent + line for line in lines]


def write_ktap(path, vms):
    if len(vms) == 1:
        lines = ktap_of(vms[0])
    else:
        lines = ["KTAP version 1", f"1..{len(vms)}"]
        for number, vm in enumerate(vms, 1):
            lines += ktap_of(vm, "  ")
            lines.append(f"{'ok' if vm['exit'] in (0, 4) else 'not ok'} {number} {vm['name']}"
                         + (" # SKIP everything was skipped" if vm["exit"] == 4 else ""))
    with open(path, "w", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")


def xml_text(text):
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd]", "?", text)


def write_junit(path, vms, info):
    root = ElementTree.Element("testsuites", name="pindma")
    for vm in vms:
        cases = vm["cases"]
        lost = 0 if vm["exit"] in (0, 1, 4) else 1
        suite = ElementTree.SubElement(
            root, "testsuite", name=f"pindma@{vm['name']}", tests=str(len(cases) + lost),
            failures=str(count(cases, "fail")), skipped=str(count(cases, "skip")), errors=str(lost), time=str(vm["seconds"]))
        properties = ElementTree.SubElement(suite, "properties")
        for key in ("seed", "qemu", "command"):
            ElementTree.SubElement(properties, "property", name=key, value=xml_text(str(info.get(key, ""))))
        ElementTree.SubElement(properties, "property", name="accel", value=vm["accel"])
        for case in cases:
            scenario, *variant = case["name"].split("/", 1)
            element = ElementTree.SubElement(suite, "testcase", classname=scenario, name=variant[0] if variant else scenario,
                                             time=str(case["seconds"] or 0))
            if case["verdict"] == "fail":
                ElementTree.SubElement(element, "failure", message=xml_text(case["reason"]))
            elif case["verdict"] == "skip":
                ElementTree.SubElement(element, "skipped", message=xml_text(case["reason"]))
            text = case["evidence"] + ([f"expected: {case['reason']}"] if case["verdict"] == "xfail" else [])
            if text:
                ElementTree.SubElement(element, "system-out").text = xml_text("\n".join(text))
        if lost:
            element = ElementTree.SubElement(suite, "testcase", classname="rig", name="guest")
            ElementTree.SubElement(element, "error", message=xml_text(vm["reason"] or "")).text = xml_text(
                "\n".join(vm["console_tail"]))
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def name_kernels(vms):
    """Give each a name: short and true, the release that the guest announced, else what the user asked for; and its own."""
    for vm in vms:
        release = vm["header"].get("kernel", "")
        vm["name"] = re.sub(r"[+-].*", "", release) if re.match(r"[\d.]+\+?deb", release) else release or vm["kernel"]
    names = [vm["name"] for vm in vms]
    for number, vm in enumerate(vms, 1):
        if names.count(vm["name"]) > 1:
            vm["name"] += f" ({number})"


def summary_of(vms, info):
    cases = [dict(case, kernel=vm["name"]) for vm in vms for case in vm["cases"]]
    code = overall([vm["exit"] for vm in vms])
    if info.get("bisect") and code in (2, 4, 99):
        code = 125
    return {
        "verdict": VERDICTS.get(code, f"EXIT {code}"), "exit": code,
        "counts": {verdict: count(cases, verdict) for verdict in ("ok", "xfail", "fail", "skip")},
        "kernels": [vm["name"] for vm in vms],
        "seed": next((vm["header"]["seed"] for vm in vms if "seed" in vm["header"]), info.get("seed")),
        "qemu": info["qemu"], "accel": vms[0]["accel"], "command": info["command"],
        "options": info.get("options", ""), "started": info["started"],
        "seconds": round(sum(vm["seconds"] for vm in vms), 2),
        "cases": [{key: case[key] for key in ("name", "kernel", "verdict", "reason", "why", "seconds", "evidence")}
                  for case in cases],
        "promises": {name: text for vm in vms for name, text in vm["promises"].items()},
        "guests": [{key: vm[key] for key in ("name", "kernel", "exit", "reason", "planned", "boot_seconds", "first_case_seconds",
                                             "seconds", "booted", "panic", "complaints", "console_tail", "header")}
                   for vm in vms],
    }


def write_trace(path, timelines):
    """All timelines for Perfetto or chrome://tracing; times are those of the guest's CLOCK_MONOTONIC."""
    events = []
    for pid, ((kernel, name), timeline) in enumerate(timelines.items(), 1):
        events += timeline.chrome(pid, f"{name} ({kernel})")
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"traceEvents": events, "displayTimeUnit": "ms"}, out)


# ----------------------------------------------------------------------------------------------------------------
# The printed report

def stacked(words, height):
    return [""] * (height - len(words)) + words


def table(matrix):
    """One row per scenario and memory type, one column per pin mode that occurs."""
    lines = []
    if matrix.rows:
        width = min(38, max(len(f"{scenario}  {memory}") for scenario, memory in matrix.rows))

        # Side by side: what is taken away from the pins, and the modes of which it is taken
        def line(name, group_texts):
            return (name.ljust(width) + " |".join(group_texts)).rstrip()[:WIDTH]

        def room(group):
            """Columns of six, and no fewer than its title needs."""
            return max(6 * len(matrix.groups[group]), len(CONTROLS.get(group, "")) + 1)

        def texts(value):
            return ["".join(value(mode).rjust(6) for mode in members).rjust(room(group))
                    for group, members in matrix.groups.items()]

        height = max(len(words(mode)) for mode in matrix.modes)
        if len(matrix.groups) > 1:
            lines.append(line("", [f" {CONTROLS.get(group, '')}".ljust(room(group)) for group in matrix.groups]))
        for level in range(height):
            lines.append(line("", texts(lambda mode: stacked(words(mode), height)[level])))
        last = None
        for scenario, memory in matrix.rows:
            name = scenario if scenario != last else ""
            last = scenario
            label = f"{name.ljust(width - len(memory) - 1)} {memory}" if memory else name
            lines.append(line(label, texts(lambda mode: SHOWN[matrix.cell((scenario, memory, mode))])))
    if matrix.single:
        if lines:
            lines.append("")
        width = max(len("/".join(filter(None, row))) for row in matrix.single)
        lines += [f"{'/'.join(filter(None, row)).ljust(width)}  {SHOWN[matrix.cell((*row, ''))]}" for row in matrix.single]
    return lines


def counts(cases):
    """One row per test of a program: how many of its cases came out how."""
    rows = {}
    for case in cases:
        program, test, _ = split(case["name"])
        rows.setdefault((program, test), []).append(case)
    if not rows:
        return []
    width = max(len(test) for _, test in rows) + 2
    lines, last = [], None
    for (program, test), members in rows.items():
        if program != last:
            lines.append(program.ljust(width) + "".join(word.rjust(7) for word in CELL.values()))
        last = program
        lines.append(f"  {test or 'the program'}".ljust(width) + "".join(
            str(count(members, verdict) or ".").rjust(7) for verdict in CELL))
    return lines + [""]


def differences(matrix):
    """Each case that the kernels do not agree about, kernel by kernel."""
    names = matrix.differences()
    if len(matrix.kernels) < 2:
        return []
    if not names:
        return ["The kernels do not differ.", ""]
    texts = ["Where the kernels differ:", *("/".join(filter(None, name)) for name in names)]
    width = max(map(len, texts))
    lines = [texts[0].ljust(width) + "".join(f"  {kernel:>5}" for kernel in matrix.kernels)]
    for name, text in zip(names, texts[1:]):
        cells = (SHOWN[matrix.on(name, kernel)].rjust(max(len(kernel), 5)) for kernel in matrix.kernels)
        lines.append(text.ljust(width) + "".join(f"  {cell}" for cell in cells))
    return lines + [""]


def question(cases):
    """Torvalds, 14 Sep 2020: "is there perhaps some easy test-case that shows this ...?" """
    seen = {split(case["name"]): case for case in reversed(cases)}
    shown = [seen[split(name)] for name in QUESTION if split(name) in seen]
    if len(shown) < 2:
        return []
    lines = ["Does a process lose DMA after fork()? The same test, once with each way to hold the pages:", ""]
    for case, how in zip(shown, ("get_user_pages_fast()", "pin_user_pages_fast()")):
        outcome = {"xfail": "LOST, as expected of it", "ok": "kept"}.get(case["verdict"], case["verdict"].upper())
        lines.append(f"{how}: {outcome}" + (f": {case['reason']}" if case["reason"] else ""))
        lines += [f"    {text}" for text in case["evidence"]]
    return lines + [""]


def failures(cases, summary):
    lines = []
    for case in cases:
        if case["verdict"] != "fail":
            continue
        lines.append(f"FAIL {case['name']} ({case['kernel']})")
        lines.append(f"    {case['reason']}")
        lines += [f"    {text}" for text in case["evidence"]]
        lines += [f"    repeat: {again(case, summary)}", ""]
    return lines


def grouped(heading, reasons):
    """How many cases share each reason: the defects of the kernel first, then what most have."""
    if not reasons:
        return []
    lines = [heading]
    for reason, names in sorted(reasons.items(), key=lambda item: (not item[0].startswith(DEFECT), -len(item[1]))):
        lines.append(f"    {len(names)} x {reason} ({names[0]}{', ...' if len(names) > 1 else ''})")
    return lines + [""]


def losses(cases):
    reasons = {}
    for case in cases:
        if case["verdict"] == "xfail":
            reasons.setdefault(case["why"], []).append(case["name"])
    return grouped("Lost, as expected of this kernel or of this way to hold pages:", reasons)


def skips(cases):
    reasons = {}
    for case in cases:
        if case["verdict"] == "skip":
            reasons.setdefault(case["reason"] or "no reason given", []).append(case["name"])
    return grouped("Skipped:", reasons)


def verdict_line(summary):
    counts = summary["counts"]
    head = (f"{summary['verdict']}: {counts['ok']} ok, {counts['xfail']} expected losses seen, {counts['fail']} failed, "
            f"{counts['skip']} skipped ({', '.join(summary['kernels'])}, {summary['accel'].upper()}, {summary['seconds']:.0f} s)")
    told = [guest for guest in summary["guests"] if guest["reason"] and guest["exit"]]
    reasons = dict.fromkeys((f"{guest['name']}: " if len(summary["guests"]) > 1 else "") + guest["reason"] for guest in told)
    return head + (": " + "; ".join(reasons) if reasons else "")


def print_report(directory):
    with open(os.path.join(directory, "summary.json"), encoding="utf-8") as file:
        summary = json.load(file)
    out = []
    for guest in summary["guests"]:
        boot = f"first test after {guest['first_case_seconds']:.1f} s" if guest["first_case_seconds"] else "no test began"
        out.append(f"Kernel {guest['header'].get('kernel', guest['kernel'])}, {summary['accel'].upper()}, {boot}, "
                   f"{guest['seconds']:.0f} s in all")
    ours = [case for case in summary["cases"] if not case["name"].startswith(COUNTED)]
    matrix = Matrix(ours, summary["kernels"])
    out += ["", *table(matrix), ""] if ours else [""]
    out += differences(matrix)
    out += question([case for case in summary["cases"] if case["kernel"] == summary["kernels"][-1]])    # the evidence of one will do
    for guest in summary["guests"]:
        out += counts([case for case in summary["cases"] if case["kernel"] == guest["name"] and case["name"].startswith(COUNTED)])
        stray = [c["line"] for c in guest["complaints"] if c["case"] is None]
        if stray:
            out += [f"Kernel {guest['name']} complained outside of any case:"] + [f"    {line}" for line in stray] + [""]
        if guest["exit"] not in (0, 1, 2, 4) or guest["panic"]:
            out.append(f"The last lines of the console of {guest['name']}:" if any(guest["console_tail"])
                       else f"{guest['name']} said nothing on its console.")
            out += [f"    {line[:WIDTH - 4]}" for line in guest["console_tail"]] + [""]
    out += failures(summary["cases"], summary)
    out += losses([case for case in summary["cases"] if not case["name"].startswith(COUNTED)])
    out += skips(summary["cases"])
    out.append(f"Results: {directory}, to read: {os.path.join(directory, 'report.html')}")
    print("\n".join(out))
    print(verdict_line(summary))
    return summary["exit"]


def main():
    if len(sys.argv) >= 4 and sys.argv[1] == "write":
        directory = sys.argv[2]
        with open(os.path.join(directory, "run.json"), encoding="utf-8") as file:
            info = json.load(file)
        vms = []
        for where in sys.argv[3:]:
            with open(os.path.join(where, "vm.json"), encoding="utf-8") as file:
                vms.append(json.load(file))
        name_kernels(vms)
        write_ktap(os.path.join(directory, "results.ktap"), vms)
        write_junit(os.path.join(directory, "junit.xml"), vms, info)
        summary = summary_of(vms, info)
        with open(os.path.join(directory, "summary.json"), "w", encoding="utf-8") as out:
            json.dump(summary, out, indent=1)
            out.write("\n")
        timelines = {(vm["name"], case["name"]): Timeline(case["trace"]) for vm in vms for case in vm["cases"] if case["trace"]}
        write_html(os.path.join(directory, "report.html"), summary, timelines)
        if timelines:
            write_trace(os.path.join(directory, "trace.json"), timelines)
        return 0
    if len(sys.argv) == 3 and sys.argv[1] == "print":
        return print_report(sys.argv[2])
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main())
