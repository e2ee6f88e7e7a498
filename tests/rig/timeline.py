# SPDX-License-Identifier: GPL-2.0-only
"""The timeline of a case: what the process, the kernel and the device did, on one clock.

It is made of the "# trace" lines of tests/lib/trace.c: steps and accesses of the device with the device's time, functions
of the kernel with that of ftrace, which is CLOCK_MONOTONIC. Before and after the case the runner reads both clocks, the
kernel's before and behind the device's: that is where one lies on the other, and how far it may be off at most. A
Timeline draws itself for report.html and gives its part of trace.json, which Perfetto and chrome://tracing show.
"""
import html
import re

from journal import KINDS

FTRACE = re.compile(r"\s*(.+)-(\d+)\s+\[\d+\]\s+\S+\s+(\d+)\.(\d{6}): (\w+): (.*)")
PIN = re.compile("(get|pin)_user_pages")
ARGUMENT = re.compile(r"(\w+)=(0x[0-9a-f]+)")
FAULT_FLAG_WRITE, FAULT_FLAG_UNSHARE = 0x1, 1 << 10     # 5.10: no unshare, the bit is not used
ROWS_SHOWN = 400        # of the table
MARKS_SHOWN = 1000      # of each lane in the picture
ROWS_PICTURED = 8       # of a lane
LEFT, RIGHT, ROW, LETTER = 58, 1000, 15, 6.1    # units of the picture
LANES = ("process", "kernel", "device")

STYLE = """
.timeline { min-width: 46rem; width: 100%; height: auto; display: block; font: 10px ui-monospace, monospace; }
.timeline text { fill: var(--ink); } .timeline .soft { fill: var(--soft); } .timeline line { stroke: var(--line); }
.timeline .process { fill: var(--ok-bg); stroke: var(--ok); } .timeline .kernel { fill: var(--differs-bg); stroke: var(--differs); }
.timeline .device { fill: var(--soft); } .timeline .read { fill: #3b82c4; } .timeline .write, .timeline .atomic { fill: #c8443a; }
.events td { padding: 0 .8rem 0 0; vertical-align: top; } .events td:first-child { text-align: right; white-space: nowrap; }
"""


class Event:
    def __init__(self, lane, name, start, end=None, detail="", kind="", thread=""):
        self.lane, self.name, self.start, self.end = lane, name, start, end
        self.detail, self.kind, self.thread = detail, kind or lane, thread

    @property
    def stop(self):
        return self.start if self.end is None else self.end


class Timeline:
    """Times are ns of the guest's CLOCK_MONOTONIC."""

    def __init__(self, lines):
        self.clocks, self.memory, self.cut = [], None, []
        self.events, self.shown = [], []
        device, ftrace, steps = [], [], []
        for line in lines:
            word, _, rest = line.partition(" ")
            try:
                if word == "clock":
                    self.clocks.append(tuple(int(number) for number in rest.split()))
                elif word == "memory":
                    start, size = (int(number, 0) for number in rest.split())
                    self.memory = (start, start + size)
                elif word == "step":
                    seq, time, text = rest.split(" ", 2)
                    steps.append((int(seq), int(time), text))
                elif word == "device":
                    device.append([int(number, 0) for number in rest.split()])
                elif word == "ftrace":
                    ftrace.append(rest)
                elif word == "cut":
                    self.cut.append(rest)
            except ValueError:
                continue                # the guest may have died in the middle of a line
        if len(self.clocks) != 2 or any(len(clock) != 3 for clock in self.clocks):
            return
        self.device_events([entry for entry in device if len(entry) == 14])
        end = max([event.stop for event in self.events] + [self.guest_time(time) for _, time, _ in steps], default=0)
        self.step_events(steps, end)
        self.kernel_events(ftrace)
        self.events.sort(key=lambda event: (event.start, LANES.index(event.lane)))
        self.shown = self.of_interest()

    # ------------------------------------------------------------------------------------------------- the clock

    def guest_time(self, device):
        """The device's time, on the guest's clock: between the two readings it may run a little faster or slower."""
        (before, first, after), (before2, second, after2) = self.clocks
        start, end = (before + after) / 2 - first, (before2 + after2) / 2 - second
        share = (device - first) / (second - first) if second > first else 0
        return device + start + (end - start) * share

    def error(self):
        """How far the two may be off: the device was read somewhere between the kernel's clock before and after."""
        return max((after - before) / 2 for before, _, after in self.clocks)

    # ------------------------------------------------------------------------------------------------ the events

    def device_events(self, entries):
        for seq, time, last, number, kind, queue, key, offset, size, addr, value, tag, status, fault in entries:
            name = KINDS[kind] if kind < len(KINDS) else f"kind {kind}"
            detail = f"mr {key:#x}+{offset:#x}, {size} bytes, value {value:#x}, bus {addr:#x}, op {tag:#x}, queue {queue}, journal {seq}"
            if number > 1:
                detail = f"{number} accesses, the first: {detail}"
            detail += f", status {status}" if status else ""
            detail += f", fault {fault}" if fault else ""
            self.events.append(Event("device", f"{name} x {number}" if number > 1 else name, self.guest_time(time),
                                     self.guest_time(last) if number > 1 else None, detail, kind=name))

    def step_events(self, steps, end):
        """A step lasts until the next one."""
        times = [self.guest_time(time) for _, time, _ in steps]
        for (seq, _, text), start, stop in zip(steps, times, times[1:] + [end]):
            self.events.append(Event("process", text, start, max(start, stop), f"journal {seq}"))

    def kernel_events(self, lines):
        running = {}            # (thread, function) -> entries that have not returned
        for line in lines:
            found = FTRACE.match(line)
            if not found:
                if "LOST" in line:
                    self.cut.append(f"ftrace: {line.strip()}")
                continue
            task, pid, seconds, micro, name, rest = found.groups()
            time = int(seconds) * 1000000000 + int(micro) * 1000
            thread = f"{task.strip()}-{pid}"
            if name.endswith("_end"):
                entered = running.get((thread, name.removesuffix("_end")))
                if entered:
                    entered.pop().end = time
                continue
            arguments = {key: int(value, 16) for key, value in ARGUMENT.findall(rest)}
            event = Event("kernel", name, time, None, self.describe(arguments), thread=thread)
            running.setdefault((thread, name), []).append(event)
            if self.concerns(arguments):
                self.events.append(event)

    def concerns(self, arguments):
        """Is it about the memory of the case? What does not say which memory it is about is."""
        if self.memory is None or "start" not in arguments:
            return True
        return arguments["start"] < self.memory[1] and arguments.get("end", arguments["start"] + 1) > self.memory[0]

    def describe(self, arguments):
        texts = []
        if "start" in arguments:
            offset = arguments["start"] - self.memory[0] if self.memory else None
            texts.append(f"memory{offset:+#x}" if offset is not None else f"{arguments['start']:#x}")
        if "flags" in arguments:
            flags = arguments["flags"]
            texts.append("write" if flags & FAULT_FLAG_WRITE else "unshare" if flags & FAULT_FLAG_UNSHARE else "read")
        return ", ".join(texts)

    def of_interest(self):
        """From the pin on, or the first step: that a case makes a file system and fills its memory before is no news."""
        begin = min((event.start for event in self.events if event.lane != "kernel"), default=0)
        pins = [event.start for event in self.events if event.start < begin and PIN.match(event.name)]
        begin = pins[-1] if pins else begin
        return [event for event in self.events if event.start >= begin]

    # --------------------------------------------------------------------------------------------------- to look at

    def offset(self, time):
        return (time - self.shown[0].start) / 1e6

    def place(self, lane, scale):
        """Where the events of a lane are drawn: (event, row, x, width, x of its label or None), and the number of rows. What
        would lie on something else goes one row down; a label that finds no room, or repeats the one before, is left out."""
        ends, placed, said = [], [], None
        for event in (event for event in self.shown if event.lane == lane):
            x = scale(event.start)
            end = max(scale(event.stop), x + 2)
            label = None
            row = next((number for number, taken in enumerate(ends) if taken <= x), len(ends))
            if event.name != said:
                size = len(event.name) * LETTER + 6
                label = x + 3 if end - x >= size else end + 2 if end + size < RIGHT else x - size
                named = next((number for number, taken in enumerate(ends) if taken <= min(x, label)), len(ends))
                if named < ROWS_PICTURED:
                    row, said = named, event.name
                    taken = max(end, label + size)
                else:
                    label, taken = None, end
            else:
                taken = end
            row = min(row, ROWS_PICTURED - 1)
            ends += [0] * (row + 1 - len(ends))
            ends[row] = max(ends[row], taken)
            placed.append((event, row, x, end - x, label))
        return placed, max(len(ends), 1)

    def svg(self, title):
        first, last = self.shown[0].start, max(event.stop for event in self.shown)
        marks, lines, top = [], [], 18

        def scale(time):
            return LEFT + (RIGHT - LEFT - 4) * (time - first) / max(last - first, 1)

        for lane in LANES:
            placed, rows = self.place(lane, scale)
            marks.append(f'<text class="soft" x="0" y="{top + 11}">{lane}</text>')
            for event, row, x, width, label in placed[:MARKS_SHOWN]:
                y = top + row * ROW
                text = "" if label is None else f'<text x="{label:.1f}" y="{y + 10}">{html.escape(event.name)}</text>'
                marks.append(f'<g><title>{html.escape(self.caption(event))}</title><rect class="{lane} {html.escape(event.kind)}" '
                             f'x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 2}"/>{text}</g>')
            top += rows * ROW + 8
            lines.append(f'<line x1="{LEFT}" x2="{RIGHT}" y1="{top - 5}" y2="{top - 5}"/>')
        step = tick((last - first) / 1e6)
        for number in range(int((last - first) / 1e6 / step) + 1):
            x = scale(first + number * step * 1e6)
            lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="13" y2="{top - 5}"/>'
                         f'<text class="soft" x="{x + 2:.1f}" y="9">{number * step:g}{" ms" if not number else ""}</text>')
        return (f'<svg class="timeline" viewBox="0 0 {RIGHT} {top}" role="img" aria-label="{html.escape(title)}">' +
                "".join(lines + marks) + "</svg>")

    def caption(self, event):
        took = f" for {(event.end - event.start) / 1e6:.3f} ms" if event.end is not None else ""
        return f"+{self.offset(event.start):.3f} ms{took}: {event.name}" + \
            "".join(f", {text}" for text in (event.detail, event.thread) if text)

    def page(self, name):
        """For report.html; nothing if there is nothing to show."""
        if not self.shown:
            return ""
        have = {event.lane for event in self.shown}
        notes = [f"The device's clock and the kernel's agree to within {self.error() / 1e3:.0f} us."]
        if "kernel" not in have:
            notes.append("What the kernel did meanwhile: ./run.sh run --trace.")
        notes += [f"Left out: {text}." for text in self.cut]
        if len(self.shown) < len(self.events):
            notes.append(f"{len(self.events) - len(self.shown)} events of the kernel before the pin are in trace.json.")
        rows = self.shown
        if len(rows) > ROWS_SHOWN:
            notes.append(f"The table has the first and the last {ROWS_SHOWN // 2} of {len(rows)} events, trace.json has all.")
            rows = rows[:ROWS_SHOWN // 2] + rows[-ROWS_SHOWN // 2:]
        body = []
        for event in rows:
            cells = [""] * len(LANES)
            cells[LANES.index(event.lane)] = html.escape(event.name + (f" ({event.detail})" if event.detail else ""))
            body.append(f"<tr><td>+{self.offset(event.start):.3f} ms<td>" + "<td>".join(cells))
        return (f'<div class="wide" tabindex="0">{self.svg(f"timeline of {name}")}</div>'
                f'<p class="soft">{html.escape(" ".join(notes))}</p>'
                f"<details><summary>{len(self.shown)} events in their order</summary>"
                '<div class="wide" tabindex="0"><table class="events"><thead><tr><th>' +
                "".join(f'<th scope="col">{lane}' for lane in LANES) + "<tbody>" + "\n".join(body) + "</table></div></details>")

    def chrome(self, pid, name):
        """Chrome's trace format: a process for the case, a thread for each lane and for each of the kernel's tasks."""
        threads, events = {}, []
        for event in self.events:
            lane = event.lane if not event.thread else f"kernel: {event.thread}"
            tid = threads.setdefault(lane, len(threads) + 1)
            entry = {"name": event.name, "cat": event.lane, "pid": pid, "tid": tid, "ts": event.start / 1e3,
                     "args": {"detail": event.detail}}
            entry |= {"ph": "i", "s": "t"} if event.end is None else {"ph": "X", "dur": (event.end - event.start) / 1e3}
            events.append(entry)
        names = [{"name": "process_name", "ph": "M", "pid": pid, "args": {"name": name}}]
        names += [{"name": "thread_name", "ph": "M", "pid": pid, "tid": tid, "args": {"name": lane}} for lane, tid in threads.items()]
        return names + events


def tick(span):
    """A round distance of about a tenth of it"""
    step = 10.0 ** -4
    while True:
        for factor in (1, 2, 5):
            if span / (step * factor) <= 10:
                return step * factor
        step *= 10
