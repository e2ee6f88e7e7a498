#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""browser.py BROWSER DIR: what does a real browser, without a window, make of DIR/report.html?

The run must have been made with --trace and have the two cases of CASES, of which the first is lost. Screenshots stay in
DIR for whoever wants to look: light and dark, wide and narrow.
"""
import copy
import html.parser
import json
import os
import re
import subprocess
import sys
import tempfile

import report
from matrix import split
from page import write_html
from timeline import Timeline

CASES = ("fork.parent_write/anon/get", "fork.parent_write/anon/pin")
HOSTILE = "</pre><script>console.error('ran')</script><img src='http://pindma.invalid/x'>&amp;"
VOID = {"meta", "br", "img", "line", "rect", "link", "input"}
LIMIT = 120


class Dom(html.parser.HTMLParser):
    """Elements in their order: (name, attributes, the text in it)"""

    def __init__(self, source):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        for element in self.open:
            element[2] += data

    def find(self, tag, **attributes):
        return [(attrs, text) for name, attrs, text in self.elements
                if name == tag and all(attrs.get(key) == value for key, value in attributes.items())]


def browse(browser, path, *options, fragment=""):
    """What the browser prints; whatever a page says on its console, or asks of a network, is an error."""
    with tempfile.TemporaryDirectory() as scratch:
        log = os.path.join(scratch, "net.json")
        command = [browser, "--headless", "--disable-gpu", f"--user-data-dir={scratch}/profile", f"--log-net-log={log}",
                   "--enable-logging=stderr", "--hide-scrollbars", *options]
        if os.getuid() == 0:
            command.append("--no-sandbox")
        done = subprocess.run([*command, f"file://{path}{fragment}"], capture_output=True, text=True, timeout=LIMIT, check=True)
        with open(log, encoding="utf-8") as file:
            asked = set(re.findall(r'"url":"(https?://[^"]*)"', file.read()))
    # The browser itself may look for updates; a page's own requests have its origin, and ours go to no other name.
    bad = [line for line in done.stderr.splitlines() if ":CONSOLE" in line] + [url for url in asked if "pindma" in url]
    return done.stdout, bad


def check_cases(dom, summary):
    lost, kept = (next(case for case in summary["cases"] if case["name"] == name) for name in CASES)
    assert (lost["verdict"], kept["verdict"]) == ("xfail", "ok"), "not the run that this is about"
    assert dom.find("h1")[0][1].split() == ["pindma", summary["verdict"]]
    cells = {attrs["href"]: (attrs["class"], text) for attrs, text in dom.find("a") if attrs.get("class")}
    for case, word in ((lost, "XFAIL"), (kept, "ok")):
        anchor = case["anchor"]
        assert cells[f"#{anchor}"] == (case["verdict"], word), cells
        (_, body), = dom.find("div", id=anchor)
        for line in case["evidence"]:
            assert line in body, f"not there: {line}"
    for verdict, text in (("ok", "kept"), ("xfail", "expected losses seen"), ("fail", "failed"), ("skip", "skipped")):
        assert f"{summary['counts'][verdict]} {text}" in dom.find("p", id="counts")[0][1]
    scenario, = {split(name)[0] for name in CASES}
    assert [text for _, text in dom.find("p", **{"class": "soft"}) if text.startswith(summary["promises"][scenario].split(" | ")[0])]
    assert len(dom.find("svg")) == len(summary["cases"])


def check_timeline(dom, trace):
    """The picture has the three lanes, and on the one clock the kernel forks between the step that says so and the next."""
    texts = [text for _, text in dom.find("title")]
    for part in ("fork", "kernel_clone", "copy_page_range", "write", "read"):
        assert any(re.match(rf"\+[\d.]+ ms( for [\d.]+ ms)?: {part}\b", text) for text in texts), f"no {part}: {texts}"
    names = {event["args"]["name"].split(" ")[0]: event["pid"] for event in trace if event["name"] == "process_name"}
    for pid in (names[case] for case in CASES):
        events = [event for event in trace if event["pid"] == pid and event["ph"] != "M"]

        def one(category, name):
            return next(event for event in events if (event["cat"], event["name"]) == (category, name))

        fork, clone = one("process", "fork"), one("kernel", "kernel_clone")
        assert fork["ts"] < clone["ts"] and clone["ts"] + clone["dur"] < fork["ts"] + fork["dur"], (fork, clone)
        copied = one("kernel", "copy_page_range")
        assert clone["ts"] < copied["ts"] < clone["ts"] + clone["dur"], (clone, copied)
        first = next(event for event in events if event["cat"] == "device" and event["name"] == "write")
        assert first["ts"] < fork["ts"], "the device has tried its way before the fork"


def check_hostile(browser, directory, vm):
    """What a guest says stays text. To see this red: let text() in page.py return what it was given."""
    vm = copy.deepcopy(vm)
    for case in vm["cases"]:
        case["reason"] = case["name"] = HOSTILE
        case["evidence"] = [HOSTILE]
        case["trace"] = [re.sub(r"(step \d+ \d+ ).*", rf"\1{HOSTILE}", line) for line in case["trace"]]
    vm["header"]["device"] = vm["reason"] = vm["panic"] = HOSTILE
    vm["promises"] = {split(HOSTILE)[0]: f"{HOSTILE} | {HOSTILE}"}
    vm["complaints"] = [{"case": None, "line": HOSTILE}]
    vm["console_tail"] = [HOSTILE]
    path = os.path.join(directory, "hostile.html")
    summary = report.summary_of([vm], {"qemu": HOSTILE, "command": HOSTILE, "started": HOSTILE})
    write_html(path, summary, {(vm["name"], case["name"]): Timeline(case["trace"]) for case in vm["cases"]})
    source, bad = browse(browser, path, "--dump-dom")
    dom = Dom(source)
    assert not bad, bad[:3]
    assert not dom.find("script") and not dom.find("img")
    assert sum(text == HOSTILE for _, text in dom.find("pre")) >= 3


def check_alarm(browser, directory):
    """That a script, or a request, would be seen"""
    path = os.path.join(directory, "alarm.html")
    with open(path, "w", encoding="utf-8") as out:
        out.write("<script>console.error('ran')</script><img src='http://pindma.invalid/x'>")
    bad = browse(browser, path, "--dump-dom")[1]
    assert any("ran" in each for each in bad) and "http://pindma.invalid/x" in bad, bad


def main():
    browser, directory = sys.argv[1], os.path.realpath(sys.argv[2])

    def load(name):
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            return json.load(file)

    page = os.path.join(directory, "report.html")
    summary = load("summary.json")
    for number, case in enumerate(summary["cases"], 1):
        case["anchor"] = f"case-{number}"
    source, bad = browse(browser, page, "--dump-dom")
    assert not bad, bad[:3]
    check_cases(Dom(source), summary)
    check_timeline(Dom(source), load("trace.json")["traceEvents"])
    # A link from the matrix opens what it leads to.
    opened = [Dom(browse(browser, page, "--dump-dom", fragment=fragment)[0]).find("details", open="") for fragment in ("", "#case-1")]
    assert len(opened[1]) == len(opened[0]) + 1, opened
    check_alarm(browser, directory)
    vm = load("vm.json")
    vm["name"] = summary["kernels"][0]
    check_hostile(browser, directory, vm)
    for scheme, value in (("light", 1), ("dark", 0)):
        for width in (1300, 420):
            shot = os.path.join(directory, f"report-{scheme}-{width}.png")
            bad = browse(browser, page, f"--screenshot={shot}", f"--window-size={width},3000",
                         f"--blink-settings=preferredColorScheme={value}", fragment="#case-1")[1]
            assert not bad and os.path.getsize(shot) > 20000, f"{shot}: {bad}"
    print(f"{len(summary['cases'])} cases, their evidence and timelines are there; screenshots: {directory}/report-*.png")


if __name__ == "__main__":
    main()
