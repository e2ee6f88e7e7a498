#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""valid.py DIR: are the result files of a run what they claim to be, and do they agree with each other?"""
import json
import os
import re
import sys
import xml.etree.ElementTree as ElementTree

RESULT = re.compile(r"^(ok|not ok) (\d+) ([^#]+?)(?: # (.*))?$")


def ktap(lines, indent=""):
    """Parses one level of KTAP 1, checks its plan and numbering; returns the leaf results."""
    assert lines and lines.pop(0) == indent + "KTAP version 1", f"no version line at level {len(indent) // 2}"
    plan, leaves, number, nested = None, [], 0, None
    while lines and lines[0].startswith(indent):
        if lines[0].startswith(indent + "  ") and not lines[0].strip().startswith("#"):
            nested = ktap(lines, indent + "  ")
            continue
        line = lines.pop(0)[len(indent):]
        result = RESULT.match(line)
        if re.fullmatch(r"1\.\.\d+", line):
            plan = int(line[3:])
        elif result:
            number += 1
            assert int(result[2]) == number, f"result {line!r} should have number {number}"
            assert "#" not in result[3], f"a name with '#': {line!r}"
            if nested is None:
                leaves.append((result[3], result[1], result[4] or ""))
            else:
                assert (result[1] == "ok") == all(leaf[1] == "ok" for leaf in nested), f"{line!r} contradicts its cases"
                leaves += nested
            nested = None
        else:
            assert line.startswith("# "), f"neither result, plan nor comment: {line!r}"
    assert plan is not None and number <= plan, f"plan {plan}, {number} results"
    return leaves


def main():
    where = sys.argv[1]

    def path(name):
        return os.path.join(where, name)

    summary = json.load(open(path("summary.json"), encoding="utf-8"))
    for key in ("verdict", "counts", "kernels", "seed", "qemu", "accel", "cases"):
        assert key in summary, f"summary.json lacks {key}"
    for case in summary["cases"]:
        for key in ("name", "kernel", "verdict", "reason", "seconds"):
            assert key in case, f"a case lacks {key}"
        assert case["verdict"] in ("ok", "fail", "xfail", "skip")
        assert case["kernel"] in summary["kernels"]
    for verdict, count in summary["counts"].items():
        assert count == sum(case["verdict"] == verdict for case in summary["cases"]), f"count of {verdict}"

    leaves = ktap(open(path("results.ktap"), encoding="utf-8").read().split("\n")[:-1])
    assert [leaf[0] for leaf in leaves] == [case["name"] for case in summary["cases"]], "KTAP and summary disagree"
    for (name, word, comment), case in zip(leaves, summary["cases"]):
        assert (word == "not ok") == (case["verdict"] == "fail"), name
        assert comment.startswith("SKIP") == (case["verdict"] == "skip"), name
        assert comment.startswith("XFAIL") == (case["verdict"] == "xfail"), name

    root = ElementTree.parse(path("junit.xml")).getroot()
    assert root.tag == "testsuites"
    for suite in root:
        cases = suite.findall("testcase")
        for attribute, tag in (("failures", "failure"), ("skipped", "skipped"), ("errors", "error")):
            assert int(suite.get(attribute)) == sum(case.find(tag) is not None for case in cases), attribute
        assert int(suite.get("tests")) == len(cases)
    assert sum(len(suite.findall("testcase/failure")) for suite in root) == summary["counts"]["fail"]

    page = open(path("report.html"), encoding="utf-8").read()
    assert [f'id="case-{number}"' in page for number in range(1, len(leaves) + 2)] == [True] * len(leaves) + [False], "report.html"

    for guest in [where] if len(root) == 1 else sorted(entry.path for entry in os.scandir(where) if entry.is_dir()):
        assert os.path.getsize(os.path.join(guest, "console.log")), "empty console.log"
        assert os.access(os.path.join(guest, "qemu-command"), os.X_OK), "no QEMU command line"
    print(f"{len(leaves)} cases, {len(root)} kernels: valid")


if __name__ == "__main__":
    main()
