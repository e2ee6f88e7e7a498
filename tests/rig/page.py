# SPDX-License-Identifier: GPL-2.0-only
"""report.html: a run to read in a browser, in one file.

It has no script, asks nothing of any network, and its policy forbids both: names, evidence and console lines come from
the guest, which nobody has to trust. Everything that is text goes through text().
"""
import html
import re

import timeline
from matrix import CELL, CONTROLS, COUNTED, SHOWN, Matrix, split, words

WORDS = {"ok": "kept", "xfail": "lost, as expected of it", "fail": "failed", "skip": "skipped"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5b6570; --line: #d8dde2; --page: #fff; --panel: #f5f7f9;
  --ok: #17692f; --ok-bg: #e3f4e8; --xfail: #20558a; --xfail-bg: #e4eef8; --fail: #fff; --fail-bg: #b3231c;
  --skip: #6b6f76; --skip-bg: transparent; --differs: #6b4300; --differs-bg: #ffe2a8; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe4e8; --soft: #9aa5af; --line: #39424b; --page: #14181c; --panel: #1d2329;
  --ok: #8fdca4; --ok-bg: #14301d; --xfail: #9cc9f3; --xfail-bg: #14293d; --fail: #fff; --fail-bg: #c0332b;
  --skip: #959ca4; --differs: #ffd27a; --differs-bg: #4a3300; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(.8rem, 3vw, 2.5rem) 4rem; max-width: 84rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
h3 { font: 600 1rem/1.4 ui-monospace, monospace; margin: 1.4rem 0 .3rem; }
h1 b { padding: .1em .5em; border-radius: .3em; } nav a { margin-right: 1.2em; }
a { color: inherit; } a:focus-visible, summary:focus-visible, .wide:focus-visible { outline: 3px solid var(--xfail); outline-offset: 1px; }
p { margin: .3rem 0; max-width: 60rem; overflow-wrap: anywhere; } .soft, dt { color: var(--soft); }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .1rem 1rem; margin: .8rem 0; } dd { margin: 0; overflow-wrap: anywhere; }
code, pre, td, th { font-family: ui-monospace, monospace; font-size: .86rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; }
th { font-weight: 600; text-align: left; padding: .12rem .5rem; white-space: nowrap; } thead th { color: var(--soft); text-align: center; vertical-align: bottom; }
.matrix td { text-align: center; padding: 1px; } .matrix td a, .matrix td span { display: block; min-width: 4em; padding: .08rem .35rem; border-radius: .2rem; text-decoration: none; }
.matrix td a:hover { text-decoration: underline; } .matrix .edge { border-left: 2px solid var(--line); } .matrix tbody tr.first > * { border-top: 1px solid var(--line); }
.ok { color: var(--ok); background: var(--ok-bg); } .xfail { color: var(--xfail); background: var(--xfail-bg); }
.fail { color: var(--fail); background: var(--fail-bg); font-weight: 700; } .skip { color: var(--skip); background: var(--skip-bg); }
.differs { color: var(--differs); background: var(--differs-bg); font-weight: 700; } .none { color: var(--soft); }
details { border-top: 1px solid var(--line); } summary { cursor: pointer; padding: .25rem 0; overflow-wrap: anywhere; }
summary b { display: inline-block; min-width: 4.2em; text-align: center; border-radius: .2rem; margin-right: .6em; font: 600 .82rem/1.5 ui-monospace, monospace; }
summary .soft { white-space: nowrap; } summary code { margin-right: .8em; font-weight: 600; } .body { padding: .2rem 0 .8rem 1.2rem; scroll-margin-top: 3rem; } .body:target { background: var(--panel); }
pre { margin: .3rem 0; padding: .6rem .8rem; background: var(--panel); border-radius: .3rem; white-space: pre-wrap; overflow-wrap: anywhere; }
@media print { details::details-content { content-visibility: visible; } }
"""


def text(value):
    return html.escape(str(value))


def cell(verdict, target=None):
    kind = verdict or "none"
    if target is None:
        return f'<span class="{kind}">{SHOWN[verdict]}</span>'
    return f'<a class="{kind}" href="#{text(target)}">{SHOWN[verdict]}</a>'


class Report:
    def __init__(self, summary, timelines):
        self.timelines = timelines      # (kernel, case name) -> timeline
        self.summary = summary
        self.kernels = summary["kernels"]
        self.matrix = Matrix([case for case in summary["cases"] if not case["name"].startswith(COUNTED)], self.kernels)
        self.out = []
        self.anchors = {}               # (split name, kernel) -> anchor of the case; of repeats the worst, as in the cell
        for number, case in enumerate(summary["cases"], 1):
            case["anchor"] = f"case-{number}"
            key = (split(case["name"]), case["kernel"])
            if key not in self.anchors or case["verdict"] == self.matrix.on(*key) != self.anchors[key]["verdict"]:
                self.anchors[key] = case

    def anchor(self, name, kernel):
        case = self.anchors.get((name, kernel))
        return case and case["anchor"]

    def add(self, *parts):
        self.out += parts

    def page(self):
        summary = self.summary
        counts = summary["counts"]
        kind = {0: "ok", 4: "skip"}.get(summary["exit"], "fail")
        self.add('<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">',
                 f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
                 '<meta name="viewport" content="width=device-width, initial-scale=1">',
                 f'<title>pindma: {text(summary["verdict"])}</title>', f"<style>{STYLE}{timeline.STYLE}</style>",
                 f'<h1>pindma <b class="{kind}">{text(summary["verdict"])}</b></h1>',
                 f'<p id="counts">{counts["ok"]} kept, {counts["xfail"]} expected losses seen, {counts["fail"]} failed, '
                 f'{counts["skip"]} skipped</p>')
        self.contents()
        for guest in summary["guests"]:
            if guest["reason"] and guest["exit"]:
                self.add(f'<p><b>{text(guest["name"])}:</b> {text(guest["reason"])}</p>')
        self.facts()
        self.failures()
        self.kernel_complaints()
        if summary["cases"]:
            self.differences()
            self.whole_matrix()
            self.skips()
            self.all_cases()
        self.add("</html>\n")
        return "\n".join(self.out)

    def heading(self, anchor, title):
        self.add(f'<h2 id="{anchor}">{title}</h2>')

    def contents(self):
        summary = self.summary
        there = [("failures", "Failures", summary["counts"]["fail"]), ("differences", "Differences", len(self.kernels) > 1 and summary["cases"]),
                 ("matrix", "Matrix", summary["cases"]), ("skips", "Skipped", summary["counts"]["skip"]),
                 ("cases", "Cases", summary["cases"])]
        self.add("<nav>", *(f'<a href="#{anchor}">{name}</a>' for anchor, name, wanted in there if wanted), "</nav>")

    def facts(self):
        summary = self.summary
        facts = [("command", f"<code>{text(summary['command'])}</code>")]
        for guest in summary["guests"]:
            boot = f"first test after {guest['first_case_seconds']:.1f} s" if guest["first_case_seconds"] else "no test began"
            facts.append(("kernel", text(f"{guest['header'].get('kernel', guest['kernel'])}, {boot}, {guest['seconds']:.0f} s in all")))
        header = summary["guests"][0]["header"]
        facts += [("QEMU", text(f"{summary['qemu']}, {summary['accel'].upper()}")), ("seed", text(summary["seed"]))]
        facts += [(key, text(header[key])) for key in ("device", "cpus", "trace") if key in header]
        facts.append(("started", text(summary["started"])))
        self.add("<dl>", *(f"<dt>{key}<dd>{value}" for key, value in facts), "</dl>")

    def failures(self):
        failed = [case for case in self.summary["cases"] if case["verdict"] == "fail"]
        if failed:
            self.heading("failures", "Failures")
        for case in failed:
            self.add(f'<p><a href="#{case["anchor"]}"><code>{text(case["name"])}</code></a> on {text(case["kernel"])}: '
                     f'{text(case["reason"])}</p>')

    def kernel_complaints(self):
        for guest in self.summary["guests"]:
            if guest["complaints"]:
                self.add(f'<h2>Kernel {text(guest["name"])} complained</h2>', "<pre>" + "\n".join(
                    text(f'{complaint["case"] or "outside of any case"}: {complaint["line"]}')
                    for complaint in guest["complaints"]) + "</pre>")
            if guest["exit"] not in (0, 1, 2, 4) or guest["panic"]:
                self.add(f'<h2>The last lines of the console of {text(guest["name"])}</h2>',
                         "<pre>" + text("\n".join(guest["console_tail"]) or "(nothing)") + "</pre>")

    def differences(self):
        if len(self.kernels) < 2:
            return
        self.heading("differences", "Where the kernels differ")
        names = self.matrix.differences()
        if not names:
            self.add("<p>Nowhere.</p>")
            return
        self.add('<div class="wide" tabindex="0"><table class="matrix">', "<thead><tr><th>",
                 *(f'<th scope="col">{text(kernel)}' for kernel in self.kernels), "<tbody>")
        for name in names:
            self.add(f'<tr><th scope="row">{text("/".join(filter(None, name)))}',
                     *(f"<td>{cell(self.matrix.on(name, kernel), self.anchor(name, kernel))}" for kernel in self.kernels))
        self.add("</table></div>")

    def matrix_cell(self, name):
        verdict = self.matrix.cell(name)
        target = next((self.anchor(name, kernel) for kernel in self.kernels if self.anchor(name, kernel)), None)
        return cell(verdict, "differences" if verdict == "differs" else target)

    def whole_matrix(self):
        matrix = self.matrix
        self.heading("matrix", "Matrix")
        self.add('<p class="soft"><b class="ok">&nbsp;ok&nbsp;</b> the promise was kept. '
                 '<b class="xfail">&nbsp;XFAIL&nbsp;</b> an expected loss: a control, or a known defect of this kernel. '
                 '<b class="fail">&nbsp;FAIL&nbsp;</b> a promise was broken, or a control lost nothing. '
                 '<b>.</b> not planned.' + (' <b class="differs">&nbsp;DIFF&nbsp;</b> the kernels differ.'
                                            if len(self.kernels) > 1 else "") + "</p>")
        counted = {}
        for case in self.summary["cases"]:
            if case["name"].startswith(COUNTED):
                counted.setdefault((split(case["name"])[0], case["kernel"]), []).append(case["verdict"])
        for (program, kernel), verdicts in counted.items():
            self.add(f"<p><code>{text(program)}</code> on {text(kernel)}: " +
                     ", ".join(f"{verdicts.count(verdict)} {CELL[verdict]}" for verdict in CELL if verdict in verdicts) + "</p>")
        if matrix.rows:
            edges = {members[0] for group, members in matrix.groups.items() if group}
            self.add('<div class="wide" tabindex="0"><table class="matrix">', "<thead>")
            if len(matrix.groups) > 1:
                self.add('<tr><th colspan="2">', *(
                    f'<th scope="colgroup" colspan="{len(members)}"{" class=edge" if group else ""}>{text(CONTROLS.get(group, ""))}'
                    for group, members in matrix.groups.items()))
            self.add('<tr><th colspan="2">', *(f'<th scope="col"{" class=edge" if mode in edges else ""}>' +
                                               "<br>".join(map(text, words(mode))) for mode in matrix.modes), "<tbody>")
            last = None
            for scenario, memory in matrix.rows:
                self.add(f'<tr{" class=first" if scenario != last else ""}><th scope="row">{text(scenario) if scenario != last else ""}'
                         f"<th>{text(memory)}",
                         *(f'<td{" class=edge" if mode in edges else ""}>{self.matrix_cell((scenario, memory, mode))}'
                           for mode in matrix.modes))
                last = scenario
            self.add("</table></div>")
        if matrix.single:
            self.add('<div class="wide" tabindex="0"><table class="matrix" style="margin-top: 1rem"><tbody>',
                     *(f'<tr><th scope="row">{text("/".join(filter(None, row)))}<td>{self.matrix_cell((*row, ""))}'
                       for row in matrix.single), "</table></div>")

    def skips(self):
        reasons = {}
        for case in self.summary["cases"]:
            if case["verdict"] == "skip":
                reasons.setdefault(case["reason"] or "no reason given", []).append(case)
        if reasons:
            self.heading("skips", "Skipped")
        for reason, cases in sorted(reasons.items(), key=lambda item: -len(item[1])):
            self.add(f"<details><summary>{len(cases)} &times; {text(reason)}</summary><div class=body>",
                     *(f'<p><code>{text(case["name"])}</code> on {text(case["kernel"])}</p>' for case in cases), "</div></details>")

    def all_cases(self):
        self.heading("cases", "Cases and their evidence")
        order = {split(case["name"])[0]: number for number, case in reversed(list(enumerate(self.summary["cases"])))}
        last = None
        for case in sorted(self.summary["cases"], key=lambda case: (order[split(case["name"])[0]], split(case["name"]))):
            scenario = split(case["name"])[0]
            if scenario != last:
                promise, _, fix = self.summary["promises"].get(scenario, "").partition(" | ")
                self.add(f"<h3>{text(scenario)}</h3>")
                if promise:
                    self.add(f'<p class="soft">{text(promise)}' + (f"<br>Made true by {text(fix)}" if fix else "") + "</p>")
                last = scenario
            self.one_case(case, case["name"].removeprefix(scenario).lstrip("/"))

    def one_case(self, case, variant):
        where = f' <span class="soft">{text(case["kernel"])}</span>' if len(self.kernels) > 1 else ""
        took = f' <span class="soft">{case["seconds"]:.2f} s</span>' if case["seconds"] else ""
        self.add(f'<details{" open" if case["verdict"] == "fail" else ""}><summary><b class="{case["verdict"]}">'
                 f'{CELL[case["verdict"]]}</b><code>{text(variant or case["name"])}</code>{text(case["reason"] or WORDS[case["verdict"]])}'
                 f"{where}{took}</summary>",
                 # Browsers open what encloses the target of a link.
                 f'<div class="body" id="{case["anchor"]}">')
        if case["verdict"] == "xfail" and case["why"]:
            self.add(f'<p>Expected: {text(case["why"])}</p>')
        if case["evidence"]:
            self.add("<pre>" + text("\n".join(case["evidence"])) + "</pre>")
        line = self.timelines.get((case["kernel"], case["name"]))
        if line:
            self.add(line.page(case["name"]))
        self.add(f"<p>Again: <code>{text(again(case, self.summary))}</code></p></div></details>")


def again(case, summary):
    """The command that repeats a case."""
    kernel = next(guest["kernel"] for guest in summary["guests"] if guest["name"] == case["kernel"])
    if case["name"].startswith(COUNTED):
        return f"./run.sh kselftest -k {kernel}"
    seed = f" --seed {summary['seed']}" if summary["seed"] not in (None, "") else ""
    return f"./run.sh run -k {kernel}{summary.get('options', '')} -t {re.sub(r'/r[0-9]+$', '', case['name'])}{seed}"


def write_html(path, summary, timelines):
    with open(path, "w", encoding="utf-8") as out:
        out.write(Report(summary, timelines).page())
