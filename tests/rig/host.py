# SPDX-License-Identifier: GPL-2.0-only
"""QEMU, and what the guest may ask of whoever runs it.

A case that needs somebody outside, to pull the device out or to move the guest to another QEMU, writes a line to the
virtio-serial port org.pindma.host and waits for the answer: "ok", perhaps with more, or "error: " and why. The guest
is not trusted: what it can ask for is ACTIONS, each word of it is checked, and nothing of it is handed on as it came.
host.log has what was asked and answered.

To "power-off" nobody is left to be answered: how the case ended is in power_cut.
"""
import filecmp
import json
import os
import re
import socket
import subprocess
import time

import disk

LONGEST_LINE = 200
ANSWER_LIMIT = 30           # seconds that QEMU may take to answer
UNPLUG_LIMIT = 20
MIGRATION_LIMIT = 120
LOW_MEMORY = 2 << 30        # q35: without a hole from 0 to here, if there is that much

# Names for pcie_aer_inject_error
AER_ERRORS = {"correctable": "BAD_TLP", "nonfatal": "COMP_TIME", "fatal": "MALF_TLP"}
FAULTS = ("none", "drop", "bit-flip")
FAULT_NEXT = {"fault-queues": 0xffffffff, "fault-skip": 0, "fault-count": 1}    # whatever the guest has set


class Refused(Exception):
    pass


def connect(path, process):
    """The socket that QEMU makes when it starts, as soon as it is there."""
    deadline = time.monotonic() + ANSWER_LIMIT
    while True:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(path)
            return sock
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            if process.poll() is not None or time.monotonic() > deadline:
                raise Refused(f"QEMU does not listen at {path}") from None
            time.sleep(0.02)


def appending(command):
    """The same, for a QEMU that writes on in the files of the first"""
    words = [re.sub(r"^(file,id=.*)", r"\1,append=on", re.sub(r"^file:console\.log$", "chardev:console", word))
             for word in command]
    return words + ["-chardev", "file,id=console,path=console.log,append=on"]


class Qmp:
    def __init__(self, path, process):
        self.sock = connect(path, process)
        self.sock.settimeout(ANSWER_LIMIT)
        self.file = self.sock.makefile("r", encoding="utf-8")
        self.file.readline()                # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        try:
            self.sock.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            for line in self.file:
                answer = json.loads(line)
                if "error" in answer:
                    raise Refused(f"{command}: {answer['error']['desc']}")
                if "return" in answer:
                    return answer["return"]
        except OSError as error:
            raise Refused(f"{command}: {error}") from None
        raise Refused(f"{command}: QEMU has closed the connection")

    def monitor(self, line):
        """A command that only the human monitor has; returns what it prints."""
        return self.execute("human-monitor-command", **{"command-line": line}).strip()


class Host:
    def __init__(self, command, log, disks=None):
        self.log = log
        self.disks = disks          # where the disks that the host looks at are copied from
        self.number = 1
        self.command = command
        self.power_cut = None       # (was it to lose, how much is bad, what was seen)
        self.power_on(command)

    def power_on(self, command):
        self.qmp = self.port = None
        self.rest = b""
        self.has_port = any("path=host.sock" in word for word in command)
        for name in self.kept_disks():
            subprocess.run(["cp", "--sparse=always", os.path.join(self.disks, name), f"{name}.disk"], check=True)
        self.process = self.start(command)

    def kept_disks(self):
        return [found[1] for word in self.command if (found := re.search(r"\bfile=(\w+)\.disk$", word))]

    def next_guest(self, number):
        """After a power cut: another guest, for the cases from this number on"""
        command = appending(self.command)
        arguments = command.index("-append") + 1
        command[arguments] += f" pindma.from={number}"
        self.power_on(command)

    def start(self, command):
        # In a session of its own, so that Ctrl-C reaches it through us; killed with us in any case.
        return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *command], stdin=subprocess.DEVNULL,
                                stdout=self.log, stderr=self.log, start_new_session=True)

    def gone(self):
        return self.process.poll() is not None

    def stop(self):
        if not self.gone():
            self.process.kill()
        self.process.wait()

    def note(self, text):
        with open("host.log", "a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    # ------------------------------------------------------------------------------------------------ the port

    def serve(self):
        """Answer what the guest asks; returns at once if it asks nothing."""
        if not self.has_port or self.gone():
            return
        try:
            if self.port is None:
                self.port = connect("host.sock", self.process)
                self.port.setblocking(False)
            data = self.port.recv(4096)
        except (BlockingIOError, Refused):
            return
        except OSError:
            data = b""
        if not data:
            self.has_port = False           # QEMU ends
            return
        self.rest += data
        while b"\n" in self.rest:
            line, _, self.rest = self.rest.partition(b"\n")
            self.answer(line[:LONGEST_LINE].decode("ascii", "replace"))
        self.rest = self.rest[:LONGEST_LINE]

    def answer(self, line):
        self.note(f"guest: {line!r}")
        try:
            text = " ".join(["ok", *self.act(line)])
        except Refused as refused:
            text = f"error: {refused}"
        self.note(text)
        if self.power_cut:
            return
        try:
            self.port.sendall(text.encode("ascii", "replace")[:LONGEST_LINE] + b"\n")
        except OSError:
            pass                            # nobody reads: there is no more to be done for it

    def act(self, line):
        for pattern, action in self.ACTIONS.items():
            found = re.fullmatch(pattern, line)
            if found:
                if self.qmp is None:
                    self.qmp = Qmp("qmp.sock", self.process)
                return action(self, *found.groups()) or ()
        raise Refused("not an action")

    # --------------------------------------------------------------------------------------------- the actions

    def press_button(self, device):
        """The guest lets go of the slot's device when it likes."""
        # A driver may have the device before the slot's indicator has ceased to blink; until then the button does nothing.
        deadline = time.monotonic() + UNPLUG_LIMIT
        while True:
            try:
                self.qmp.execute("device_del", id=device)
                return
            except Refused as error:
                if "blinking" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def unplug(self):
        self.press_button("pindma0")

    def plug(self):
        device = next(word for word in self.command if word.startswith("pindma,"))
        # A guest that has let go of a device keeps the slot under power for another second.
        deadline = time.monotonic() + UNPLUG_LIMIT
        while any(entry["name"] == "pindma0" for entry in self.qmp.execute("qom-list", path="/machine/peripheral")):
            if time.monotonic() > deadline:
                raise Refused(f"the old device is still there after {UNPLUG_LIMIT} s")
            time.sleep(0.05)
        time.sleep(1)                       # for the guest: a card that is back at once was never away
        said = self.qmp.monitor(f"device_add {device}")
        if said:
            raise Refused(said)

    def plug_second(self):
        """Another device, into a slot of its own, as the rig's own device is by default"""
        self.qmp.execute("device_add", driver="pindma", id="pindma1", bus="rp1")

    def unplug_second(self):
        self.press_button("pindma1")

    def aer(self, kind):
        said = self.qmp.monitor(f"pcie_aer_inject_error pindma0 {AER_ERRORS[kind]}")
        if not said.startswith("OK"):
            raise Refused(said)

    def fault(self, name):
        for key, value in (*FAULT_NEXT.items(), ("fault", name)):
            self.qmp.execute("qom-set", path="/machine/peripheral/pindma0", property=key, value=value)

    def word(self, address):
        """8 bytes of the guest's memory"""
        said = self.qmp.monitor(f"xp /1gx {address:#x}")
        found = re.fullmatch(r"[0-9a-f]+: (0x[0-9a-f]+)", said)
        if not found:
            raise Refused(said)
        return int(found[1], 16)

    def pause(self, address):
        """Stop the VM for half a second. What was at the address when it had stopped, and what at the end?"""
        address = int(address, 16)
        if address >= LOW_MEMORY:
            raise Refused("the address is too high")
        self.qmp.execute("stop")
        try:
            first = self.word(address)
            time.sleep(0.5)
            return f"{first:#x}", f"{self.word(address):#x}"
        finally:
            self.qmp.execute("cont")

    def migrate(self):
        """Move the guest, live, to another QEMU on this host, which writes on in the same files."""
        number = self.number + 1
        other = self.start(self.second(number))
        try:
            qmp = Qmp(f"qmp-{number}.sock", other)
            port = connect(f"host-{number}.sock", other)
            uri = f"unix:migrate-{number}.sock"
            qmp.execute("migrate-incoming", uri=uri)
            self.qmp.execute("migrate", uri=uri)
            self.wait_for_migration()
            size = self.compare_memory(qmp)
        except Refused:
            other.kill()
            other.wait()
            self.qmp.execute("migrate_cancel")
            self.qmp.execute("cont")        # refused if it runs
            raise
        self.qmp.execute("quit")
        self.process.wait()
        self.process, self.qmp, self.port, self.number = other, qmp, port, number
        self.port.setblocking(False)
        self.qmp.execute("cont")
        return (str(size),)

    def second(self, number):
        """The command line of the QEMU that the guest moves to"""
        words = []
        for word in appending(self.command):
            word = re.sub(r"\b(qmp|host)\.sock\b", rf"\1-{number}.sock", word)
            words.append(re.sub(r"^qemu\.pid$", f"qemu-{number}.pid", word))
        return words + ["-incoming", "defer", "-S"]

    def wait_for_migration(self):
        deadline = time.monotonic() + MIGRATION_LIMIT
        while True:
            info = self.qmp.execute("query-migrate")
            if info.get("status") == "completed":
                return
            if info.get("status") == "failed" or time.monotonic() > deadline:
                raise Refused(f"migration: {info.get('status')} {info.get('error-desc', '')}")
            time.sleep(0.05)

    def compare_memory(self, other):
        """Both have stopped: from now on neither may write, so both must have the same memory. Its size."""
        size = min(self.qmp.execute("query-memory-size-summary")["base-memory"], LOW_MEMORY)
        time.sleep(0.2)
        try:
            self.qmp.execute("pmemsave", val=0, size=size, filename="memory-1")
            other.execute("pmemsave", val=0, size=size, filename="memory-2")
            if not filecmp.cmp("memory-1", "memory-2", shallow=False):
                raise Refused("the memory of the two QEMUs differs: one has written after it had stopped")
        finally:
            for name in ("memory-1", "memory-2"):
                if os.path.exists(name):
                    os.remove(name)
        return size

    def power_off(self, name, token, blocks, last, stamp, expected):
        """Cut the power while the guest is at work, and look at what is on its disk then."""
        if name not in self.kept_disks():
            raise Refused("nobody has asked for group poweroff")
        self.process.kill()
        self.process.wait()
        try:
            bad, seen = disk.look(f"{name}.disk", int(token, 16), int(blocks), int(last), int(stamp))
        except OSError as error:
            bad, seen = None, [f"the disk cannot be judged: {error}"]
        self.power_cut = expected == "lost", bad, seen
        return seen[:1]

    ACTIONS = {
        r"unplug": unplug,
        r"plug": plug,
        r"unplug second": unplug_second,
        r"plug second": plug_second,
        r"aer (%s)" % "|".join(AER_ERRORS): aer,
        r"fault (%s)" % "|".join(FAULTS): fault,
        r"pause (0x[0-9a-f]{1,9})": pause,
        r"migrate": migrate,
        r"power-off (\w+) (0x[0-9a-f]{1,16}) (\d{1,5}) (\d{1,5}) (\d{1,20}) (kept|lost)": power_off,
    }
