#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Print a journal that the device has streamed to a file, or say where two of them begin to differ.

    journal.py FILE             one entry a line
    journal.py FILE FILE        exit code 1 if they differ
    journal.py --check FILE     exit code 1 if an entry is missing or there twice

An entry is struct pindma_journal_entry, see qemu/include/hw/misc/pindma_regs.h.
"""
import itertools
import struct
import sys

ENTRY = struct.Struct("<6Q2I4BI")
KINDS = ("?", "read", "write", "fetch", "cqe", "reg_mr", "dereg_mr", "mark", "reset", "atomic",
         "map", "unmap", "page_request", "shadow")


def entries(path):
    with open(path, "rb") as file:
        while True:
            entry = file.read(ENTRY.size)
            if not entry:
                return
            if len(entry) < ENTRY.size:
                sys.exit(f"{path} ends within an entry")
            yield entry


def text(entry):
    seq, time, addr, value, tag, offset, length, key, kind, queue, status, fault, crc = ENTRY.unpack(entry)
    name = KINDS[kind] if kind < len(KINDS) else kind
    return (f"{seq} {time / 1e6:.6f} ms queue {queue} {name} addr {addr:#x} len {length} key {key:#x} offset {offset:#x} "
            f"value {value:#x} tag {tag:#x} status {status} fault {fault} crc {crc:#x}")


def check(path):
    number = 0
    for number, entry in enumerate(entries(path), 1):
        if ENTRY.unpack(entry)[0] != number:
            sys.exit(f"{path}: entry {number} is: {text(entry)}")
    print(f"{path}: {number} entries, none missing, none twice")


def compare(first, second):
    number = 0
    for number, pair in enumerate(itertools.zip_longest(entries(first), entries(second)), 1):
        if pair[0] != pair[1]:
            sys.exit("\n  ".join([f"they differ from entry {number} on:", *(text(e) if e else "(the end)" for e in pair)]))
    print(f"the same {number} entries")


def main():
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "--check":
        check(arguments[1])
    elif len(arguments) == 2:
        compare(*arguments)
    elif len(arguments) == 1 and not arguments[0].startswith("-"):
        try:
            for entry in entries(arguments[0]):
                print(text(entry))
        except BrokenPipeError:         # "| head"
            sys.stderr.close()
    else:
        print(__doc__, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
