#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What is on a raw disk after the power was cut: the judge of tests/scenarios/poweroff.c.

    disk.py IMAGE TOKEN BLOCKS ROUND STAMP      says what is bad; exits 1 if anything is

The guest has filled a file with BLOCKS blocks, ROUND times, and all are on the disk, says fsync(). A block is a page of
64-bit words: a device's stamp, which is at least STAMP; then the TOKEN of the case, the block's number, the round,
something to fill it, and a checksum of all but the stamp. No filesystem is needed to find them: the disk is searched.
One that never writes in place leaves old copies behind, so that the newest of each block counts.

btrfs has checksums of its own; whether they match its own check says. It would refuse to read what does not.
"""
import re
import struct
import subprocess
import sys
import zlib

BLOCK = 4096
HEAD = struct.Struct("<4Q")
SHOWN = 3


def newest_blocks(path, token):
    """By number: (round, whole, stamp), the highest of all copies"""
    newest = {}
    with open(path, "rb") as disk:
        while len(block := disk.read(BLOCK)) == BLOCK:
            stamp, found, index, number = HEAD.unpack_from(block)
            if found == token:
                whole = zlib.crc32(block[8:-8]) == int.from_bytes(block[-8:], "little")
                newest[index] = max(newest.get(index, (0, False, 0)), (number, whole, stamp))
    return newest


def bad_checksums(path):
    """Addresses of the blocks that btrfs would not read"""
    check = subprocess.run(["btrfs", "check", "--readonly", "--force", "--check-data-csum", path], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    bad = re.findall(r"bytenr (\d+) csum 0x\w+ expected csum", check.stdout)
    if check.returncode and not bad:
        raise OSError("btrfs check: " + check.stdout.strip().replace("\n", "; ")[-200:])
    return sorted(set(bad), key=int)


def look(path, token, blocks, last, stamp):
    """(how many are bad, what they are)"""
    newest, bad, kinds = newest_blocks(path, token), [], {}
    for index in range(blocks):
        number, whole, written = newest.get(index, (0, False, 0))
        if not number:
            kind = "not on the disk"
        elif number != last:
            kind = f"not of round {last}"
        elif not whole:
            kind = "torn"
        elif written < stamp:
            kind = "older than what the device had written"
        else:
            continue
        kinds[kind] = kinds.get(kind, 0) + 1
        bad.append(f"block {index} is {kind}: round {number}, stamp {written}, expected {last}, at least {stamp}")
    count = len(bad)
    with open(path, "rb") as disk:
        disk.seek(0x10040)
        if disk.read(8) == b"_BHRfS_M":
            wrong = bad_checksums(path)
            bad += [f"btrfs check: the block at {address} does not match its checksum" for address in wrong]
            if wrong:
                kinds["with a wrong checksum"] = len(wrong)
            count = max(count, len(wrong))      # they may be the same
    said = ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "none"
    return count, [f"bad blocks, of {blocks}: {said}", *bad[:SHOWN]]


def main():
    token, blocks, last, stamp = (int(word, 0) for word in sys.argv[2:])
    count, lines = look(sys.argv[1], token, blocks, last, stamp)
    print("\n".join(lines))
    return count > 0


if __name__ == "__main__":
    sys.exit(main())
