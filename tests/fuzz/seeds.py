#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Writes the inputs that the fuzzer starts with:  seeds.py REGISTER-HEADER DIRECTORY

QEMU's generic fuzzer makes register accesses out of random bytes and fills what the device reads from memory with
patterns out of the same bytes (tests/qtest/fuzz/generic_fuzz.c).  A queue that is set up, with an op in its ring that
names a registered mr, does not come about like that.  These inputs do it; the fuzzer changes them from there.

An input is a row of commands with a separator in between.  Each DMA read of the device takes the next pattern, so the
patterns of a step are what the device reads in that step, in that order: an sqe, and then what the op reads.
"""
import os
import re
import struct
import sys

SEPARATOR = b"FUZZ"
READ, WRITE, PCI_WRITE, PATTERN, CLEAR_PATTERNS, CLOCK_STEP = 2, 3, 5, 7, 8, 9
REGS, MSIX = 0, 1               # the device's regions that are not RAM, by address

PAGE = 4096
SQ, CQ, LIST, PAGES = 0x100000, 0x200000, 0x300000, 0x400000    # in the guest's memory

# Config space: COMMAND, and the control registers of the capabilities, which QEMU puts one behind the other.
COMMAND, EXPRESS_CONTROL, MSI_CONTROL, MSIX_CONTROL = 0x04, 0x48, 0x7e, 0x8e


class Header:
    """Numbers and structures of pindma_regs.h: pindma.REG_CTRL, pindma.DB(1), pindma.sqe(opcode=...)."""

    def __init__(self, path):
        with open(path, encoding="ascii") as file:
            text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
        self.names = {}
        for name, parameter, value in re.findall(r"^#define (PINDMA_\w+)(?:\((\w+)\))?[ \t]+(\S.*)$", text, re.M):
            value = re.sub(r"\b(0x[0-9a-fA-F]+|\d+)(?:u|ull)\b", r"\1", value)
            self.names[name] = eval(f"lambda {parameter}: {value}" if parameter else value, self.names)
        self.layouts = {}
        sizes = {"u8": "B", "le16": "H", "le32": "I", "le64": "Q"}
        for name, body in re.findall(r"^struct pindma_(\w+) \{(.*?)^\};", text, re.M | re.S):
            fields = re.findall(r"pindma_(\w+) (\w+)(?:\[(\d+)\])?;", body)
            self.layouts[name] = [(field, sizes[size], int(count or 1)) for size, field, count in fields]

    def __getattr__(self, name):
        return self.names["PINDMA_" + name]

    def all(self, prefix):
        """The names that begin so, without the prefix, with their values."""
        return {name[len("PINDMA_" + prefix):]: value for name, value in self.names.items()
                if name.startswith("PINDMA_" + prefix)}

    def pack(self, layout, **values):
        parts = []
        for field, size, count in self.layouts[layout]:
            parts += [struct.pack("<" + size, values.pop(field, 0))] + [bytes(struct.calcsize(size))] * (count - 1)
        if values:
            sys.exit(f"seeds.py: struct pindma_{layout} has no field '{next(iter(values))}'")
        return b"".join(parts)


class Input:
    """One input under construction, and the state of the rings that it sets up."""

    def __init__(self, pindma):
        self.pindma = pindma
        self.commands = []
        self.tail = {}
        self.entries = {}
        # Mapping the device has kicked all of its engines.
        self.step(pindma.NUM_QUEUES + 1)

    def command(self, op, data=b""):
        self.commands.append(bytes([op]) + data)

    def write(self, offset, value, size=4, region=REGS):
        self.command(WRITE, struct.pack("<BBxxIQ", size.bit_length() - 1, region, offset, value))

    def read(self, offset, size=4, region=REGS):
        self.command(READ, struct.pack("<BBxxI", size.bit_length() - 1, region, offset))

    def config(self, offset, value, size):
        self.command(PCI_WRITE, struct.pack("<BBBxI", size.bit_length() - 1, 0, offset, value))

    def bus_master(self, on):
        self.config(COMMAND, 6 if on else 2, 2)

    def step(self, count=1):
        for _ in range(count):
            self.command(CLOCK_STEP)

    def memory(self, *patterns):
        """What the device reads from now on."""
        self.command(CLEAR_PATTERNS)
        for pattern in patterns:
            index, stride, data = pattern if isinstance(pattern, tuple) else (0, 0, pattern)
            self.command(PATTERN, bytes([index, stride]) + data)

    def queue(self, number, entries=8, pd=0, shadow=0):
        p, regs = self.pindma, self.pindma.QUEUE_REGS(number)
        self.write(regs + p.QUEUE_SQ_ADDR, SQ + number * 0x10000, 8)
        self.write(regs + p.QUEUE_CQ_ADDR, CQ + number * 0x10000, 8)
        self.write(regs + p.QUEUE_ENTRIES, entries)
        if pd:
            self.write(regs + p.QUEUE_PD, pd)
        if shadow:
            self.write(regs + p.QUEUE_SHADOW, shadow, 8)
        self.write(regs + p.QUEUE_ENABLE, 1)
        self.tail[number], self.entries[number] = 0, entries

    def ring(self, number, ops=1):
        """The doorbell. The head of the completion ring follows, so that there is always room."""
        p = self.pindma
        self.write(p.DB(number) + p.DB_CQ_HEAD, self.tail[number])
        self.tail[number] = (self.tail[number] + ops) % self.entries[number]
        self.write(p.DB(number) + p.DB_SQ_TAIL, self.tail[number])

    def post(self, number, name, *reads, steps=3, **fields):
        """One op and what it reads."""
        p = self.pindma
        self.memory(p.pack("sqe", opcode=p.all("OP_")[name], tag=self.tail[number] + 1, **fields), *reads)
        self.ring(number)
        self.step(steps)

    def reg_mr(self, key=1, pages=3, first=PAGES, stride=0x10, access=None, offset=8, pd=0):
        """The page list: consecutive pages, by a stride on the byte that counts them by 16."""
        p = self.pindma
        access = p.ACCESS_READ | p.ACCESS_WRITE if access is None else access
        self.post(p.QUEUE_ADMIN, "REG_MR", (1, stride, struct.pack("<Q", first)), mode=access, key=key, offset=offset,
                  len=pages * PAGE - offset, value=LIST, pd=pd)

    def update_mr(self, mode, page=0, pages=1):
        self.post(self.pindma.QUEUE_ADMIN, "UPDATE_MR", (1, 0x10, struct.pack("<Q", PAGES)), mode=mode, key=1,
                  offset=page, len=pages, value=LIST)

    def start(self, **mr):
        p = self.pindma
        self.queue(p.QUEUE_ADMIN)
        self.queue(p.QUEUE_IO)
        self.reg_mr(**mr)
        return self

    def bytes(self):
        return SEPARATOR.join(self.commands)


def ops(p):
    """Name -> (op, what it reads, fields): one of each that succeeds."""
    data = struct.pack("<Q", 0x0123456789abcdef)
    pattern = b"".join(struct.pack("<Q", (5 + i * p.PATTERN_STEP) % 2**64) for i in range(8))
    mr = {"key": 1}
    return {
        "nop": ("NOP", [], {}),
        "write-immediate": ("WRITE", [], dict(mr, mode=p.WRITE_IMMEDIATE, offset=3, len=8, value=0x1122334455667788)),
        "write-pattern": ("WRITE", [], dict(mr, mode=p.WRITE_PATTERN, offset=5, len=2 * PAGE, value=5)),
        "write-stamp": ("WRITE", [], dict(mr, mode=p.WRITE_STAMP, len=3 * PAGE - 8, value=1)),
        "read-value": ("READ", [data], dict(mr, mode=p.READ_VALUE, offset=PAGE - 12, len=8)),
        "read-sum": ("READ", [data], dict(mr, mode=p.READ_SUM, offset=PAGE - 3, len=21)),
        "read-crc": ("READ", [data], dict(mr, mode=p.READ_CRC32, len=2 * PAGE)),
        "fill": ("FILL", [], dict(mr, offset=1, len=2 * PAGE, value=0xa5)),
        "copy": ("COPY", [data], dict(mr, len=PAGE + 1, src_key=1, src_offset=PAGE + 100)),
        "compare-pattern": ("COMPARE", [pattern], dict(mr, mode=p.COMPARE_PATTERN, len=64, value=5)),
        "compare-mr": ("COMPARE", [data], dict(mr, mode=p.COMPARE_MR, len=128, src_key=1, src_offset=PAGE)),
        "fetch-add-4": ("FETCH_ADD", [], dict(mr, offset=4, len=4, value=1)),
        "fetch-add-8": ("FETCH_ADD", [], dict(mr, offset=8, len=8, value=1)),
        "cmp-swap-4": ("CMP_SWAP", [], dict(mr, offset=4, len=4, value=2, compare=1)),
        "cmp-swap-8": ("CMP_SWAP", [], dict(mr, offset=8, len=8, value=2, compare=1)),
        "hammer-up": ("HAMMER", [], dict(mr, mode=p.ORDER_UP, len=3 * PAGE - 8, rate=1000)),
        "hammer-down": ("HAMMER", [], dict(mr, mode=p.ORDER_DOWN, len=3 * PAGE - 8)),
        "hammer-random": ("HAMMER", [], dict(mr, mode=p.ORDER_RANDOM, len=3 * PAGE - 8, seed=7)),
        "hammer-hot": ("HAMMER", [], dict(mr, mode=p.ORDER_HOT, len=3 * PAGE - 8, seed=1)),
    }


def seeds(p):
    """Name, input."""
    io, every = p.QUEUE_IO, ops(p)

    for name, (op, reads, fields) in every.items():
        i = Input(p).start()
        i.post(io, op, *reads, **fields)
        yield f"op-{name}", i
    for name in every:
        if name.startswith("hammer"):
            op, reads, fields = every[name]
            i = Input(p).start()
            i.post(io, op, **fields)
            i.post(io, "STOP", value=1)         # the tag that post() gives the first op
            i.post(io, op, **fields)
            i.post(p.QUEUE_ADMIN, "DEREG_MR", key=1)
            yield f"end-{name}", i

    # Lists of pieces: a piece of no bytes, one across a page, and then as often as there are bytes left.
    piece = p.pack("sge", offset=PAGE - 20, len=24, key=1)
    for name in ("write-pattern", "read-crc", "fill", "copy", "compare-pattern"):
        op, reads, fields = every[name]
        i = Input(p).start()
        i.post(io, op, (0, 1, piece), piece, *reads, flags=p.SQE_SG, **dict(fields, offset=0, len=64))
        i.post(io, op, p.pack("sge", key=1), piece, flags=p.SQE_SG, **dict(fields, offset=0, len=24))
        yield f"sg-{name}", i
    for name in ("copy", "compare-mr"):
        op, reads, fields = every[name]
        i = Input(p).start()
        i.post(io, op, piece, *reads, flags=p.SQE_SRC_SG, **dict(fields, src_offset=0, len=24))
        i.post(io, op, piece, piece, flags=p.SQE_SG | p.SQE_SRC_SG, **dict(fields, offset=0, src_offset=0, len=24))
        yield f"sg-source-{name}", i

    # Ops that wait: for a time, for a mark, for each other.
    op, reads, fields = every["write-pattern"]
    for name, more in (("not-before", dict(flags=p.SQE_NOT_BEFORE, when=1000000)), ("delay", dict(delay=1000)),
                       ("fence", dict(flags=p.SQE_FENCE)), ("link", dict(flags=p.SQE_LINK)),
                       ("link-delay", dict(flags=p.SQE_LINK, delay=500))):
        i = Input(p).start()
        i.post(io, op, **more, **fields)
        i.post(io, op, steps=4, **fields)
        i.post(io, "STOP", value=1)
        yield f"wait-{name}", i
    for delay in (0, 1000):
        i = Input(p).start()
        i.post(io, op, flags=p.SQE_ON_MARK, when=0x77, delay=delay, **fields)
        i.write(p.DB(io) + p.DB_MARK, 0x77, 8)
        i.step(3)
        yield f"wait-mark-{delay}", i
    i = Input(p).start()
    i.post(io, "WRITE", flags=p.SQE_LINK, key=9)
    i.post(io, op, **fields)
    yield "wait-link-broken", i
    i = Input(p).start()
    i.queue(io, 64)
    for n in range(p.MAX_BESIDE + 2):
        i.post(io, "HAMMER", key=1, len=8, rate=1, steps=1)
    yield "beside-too-many", i

    # Refused, each for its own reason.
    wrong = {
        "opcode": ("NOP", dict(mode=1)), "admin": ("REG_MR", {}), "key": ("FILL", dict(key=2, len=1)),
        "bounds": ("FILL", dict(key=1, offset=3 * PAGE, len=1)), "wrap": ("FILL", dict(key=1, offset=2**64 - 8, len=16)),
        "overlap": ("COPY", dict(key=1, len=64, src_key=1, src_offset=32)), "pd": ("FILL", dict(key=1, len=1, pd=5)),
        "unaligned": ("FETCH_ADD", dict(key=1, offset=3, len=8)), "stop": ("STOP", dict(value=99)),
        "mode": ("WRITE", dict(key=1, len=8, mode=9)), "flags": ("FILL", dict(key=1, len=8, flags=0xffff)),
    }
    for name, (op_, fields_) in wrong.items():
        i = Input(p).start()
        i.post(io, op_, **fields_)
        yield f"refused-{name}", i
    for name, access in (("read-only", p.ACCESS_READ), ("write-only", p.ACCESS_WRITE), ("none", 0)):
        i = Input(p).start(access=access)
        for op_ in ("write-pattern", "read-crc", "fetch-add-8", "copy"):
            i.post(io, every[op_][0], **every[op_][2])
        yield f"access-{name}", i
    i = Input(p)
    i.queue(p.QUEUE_ADMIN)
    i.queue(io, pd=3)
    i.reg_mr(pd=3)
    i.reg_mr(key=2, pd=4)
    i.reg_mr(key=1)
    for key, pd in ((1, 0), (2, 0), (1, 3)):
        i.post(io, "FILL", key=key, len=1, pd=pd)
    yield "domains", i

    # Pages that come on demand, or not, or go.
    for name in ("write-pattern", "read-crc", "copy", "hammer-up", "fetch-add-8"):
        op, reads, fields = every[name]
        i = Input(p).start(first=p.PAGE_ABSENT, stride=0)
        i.post(io, op, *reads, **fields)
        i.update_mr(p.UPDATE_MAP)
        i.update_mr(p.UPDATE_MAP, 1, 2)
        i.step(4)
        i.update_mr(p.UPDATE_UNMAP, 0, 3)
        i.post(io, op, *reads, **fields)
        i.update_mr(p.UPDATE_REFUSE, 0, 3)
        i.step(4)
        i.post(p.QUEUE_ADMIN, "DEREG_MR", key=1)
        yield f"demand-{name}", i
    i = Input(p).start()
    for page, pages, mode in ((0, 4, p.UPDATE_MAP), (3, 1, p.UPDATE_UNMAP), (2**63, 2, p.UPDATE_MAP), (0, 0, 9)):
        i.update_mr(mode, page, pages)
    yield "demand-refused", i

    # The hardware misbehaves.
    for fault, number in p.all("FAULT_").items():
        if fault in p.all("REG_FAULT_") or not number:
            continue
        i = Input(p).start()
        for register, value in (("QUEUES", 1 << io), ("SKIP", 0), ("COUNT", 3), ("ARG", 5), ("DELAY", 1000)):
            i.write(p.all("REG_FAULT_")[register], value, 8 if register in ("ARG", "DELAY") else 4)
        i.write(p.REG_FAULT, number)
        for name in ("write-pattern", "read-crc", "fill", "hammer-up"):
            i.post(io, every[name][0], steps=3, **every[name][2])
        i.post(io, "STOP", value=4)
        i.post(p.QUEUE_ADMIN, "DEREG_MR", key=1, steps=4)
        i.read(p.REG_FAULT_HITS, 8)
        i.write(p.REG_FAULT, 0)                 # a fault stays armed, even beyond a reset
        yield f"fault-{fault.lower()}", i

    # A hammer that goes on, while its mr becomes another, smaller one.
    for fault in (p.FAULT_AFTER_STOP, p.FAULT_STALE_ATC):
        i = Input(p).start()
        i.write(p.REG_FAULT_QUEUES, 1 << io)
        i.write(p.REG_FAULT_ARG, 100, 8)
        i.write(p.REG_FAULT_DELAY, 2000, 8)
        i.write(p.REG_FAULT, fault)
        i.post(io, "HAMMER", key=1, len=3 * PAGE - 8)
        i.post(p.QUEUE_ADMIN, "DEREG_MR", key=1)
        i.reg_mr(pages=1)
        i.step(10)
        i.write(p.REG_FAULT, 0)
        yield f"fault-reuse-{fault}", i

    # Ends of all kinds, under a hammer and with an op that waits.
    def busy():
        i = Input(p).start()
        i.post(io, "HAMMER", key=1, len=PAGE)
        i.post(io, "WRITE", **dict(fields, flags=p.SQE_ON_MARK, when=1))
        return i
    i = busy()
    i.write(p.REG_CTRL, p.CTRL_RESET)
    i.step(2)
    yield "end-reset", i
    i = busy()
    i.write(p.QUEUE_REGS(io) + p.QUEUE_ENABLE, 0)
    i.queue(io, 2)
    for _ in range(5):
        i.post(io, "NOP")
    yield "end-disable", i
    i = busy()
    i.bus_master(False)
    i.step(2)
    i.bus_master(True)
    i.step(2)
    yield "end-bus-master", i
    i = busy()
    i.config(EXPRESS_CONTROL, 0x8000, 2)        # function level reset
    i.step(2)
    yield "end-flr", i
    for offset in (p.DB_SQ_TAIL, p.DB_CQ_HEAD):
        i = Input(p).start()
        i.write(p.DB(io) + offset, 0xffff)
        i.write(p.DB(io) + offset, 5)
        yield f"doorbell-{offset}", i

    # Doorbells in memory: what a look finds, an sqe, the next look; then bad ones, and an interrupt that nobody wants.
    for name, looks in (("good", ({"sq_tail": 1}, {"sq_tail": 2, "cq_head": 1})), ("bad", ({"sq_tail": 9}, {"cq_head": 5}))):
        for armed in (0, 1):
            i = Input(p)
            i.queue(io, shadow=LIST)
            nop = p.pack("sqe", opcode=p.OP_NOP)
            first, second = (p.pack("shadow", **look)[:8] for look in looks)
            i.memory(first, nop, second, nop, struct.pack("<I", armed))
            i.step(4)
            i.write(p.DB(io) + p.DB_SQ_TAIL, 0)
            i.step(3)
            yield f"shadow-{name}-{armed}", i
    i = Input(p)
    i.queue(io, shadow=0xe0000000)
    i.step(2)
    yield "shadow-registers", i

    # Memory that is not RAM: this device's own registers and journal, and far away.
    for first in (0xe0000000, 0xe0010000, 0xe0020000, 0xe0100000, 0xe1000000, 0xfee00000, 1 << 40, 2**64 - 8 * PAGE):
        i = Input(p).start(first=first)
        for name in ("write-pattern", "read-crc", "hammer-up", "copy", "fetch-add-8"):
            i.post(io, every[name][0], **every[name][2])
        yield f"mr-{first:x}", i

    # Every register of the first page, in all sizes; every vector.
    i = Input(p)
    for offset in range(0, 0x100, 4):
        i.read(offset)
    yield "registers-4", i
    for size in (1, 2, 8):
        i = Input(p)
        for offset in (0, 1, 8, p.REG_JOURNAL_SEQ, p.QUEUE_REGS(io), p.DB(io), p.BAR_REGS_SIZE - 8):
            i.read(offset, size)
            i.write(offset, 2**63 + 1, size)
        yield f"registers-{size}", i
    for name, control, value in (("intx", None, 0), ("msi", MSI_CONTROL, 1), ("msix", MSIX_CONTROL, 0x8000),
                                 ("msix-masked", MSIX_CONTROL, 0xc000)):
        i = Input(p).start()
        if control:
            i.config(control, value, 2)
        for vector in range(p.NUM_QUEUES):
            for offset, word in ((0, 0xfee00000), (8, 0x20), (12, 0)):
                i.write(vector * 16 + offset, word, 4, MSIX)
        i.post(io, "NOP")
        i.read(p.REG_INTR)
        i.write(p.REG_INTR, 2**32 - 1)
        yield f"interrupt-{name}", i
    i = Input(p)
    for n in range(p.NUM_QUEUES):
        i.queue(n, 2)
    for n in range(p.NUM_QUEUES):
        i.post(n, "NOP")
        i.read(p.QUEUE_REGS(n) + p.QUEUE_SQ_HEAD)
        i.read(p.QUEUE_REGS(n) + p.QUEUE_CQ_TAIL)
    yield "queues", i


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: seeds.py REGISTER-HEADER DIRECTORY")
    for name, seed in seeds(Header(sys.argv[1])):
        with open(os.path.join(sys.argv[2], name), "wb") as file:
            file.write(seed.bytes())


main()
