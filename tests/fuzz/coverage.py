#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Line coverage of the device's files:  coverage.py LEAST-PERCENT LCOV-FILE UNCOVERED

Prints a line for each file and the total, writes the lines that were not reached to UNCOVERED, exits 1 if the total is
below LEAST-PERCENT.
"""
import os
import sys

least, lcov, uncovered = float(sys.argv[1]), sys.argv[2], sys.argv[3]
files, lines = {}, None
with open(lcov, encoding="utf-8") as file:
    for row in file:
        key, _, value = row.strip().partition(":")
        if key == "SF":
            name = os.path.basename(value)
            device = name.startswith("pindma") and "/hw/misc/" in value and name != "pindma_regs.h"
            # A header is in there once for each file that includes it.
            lines = files.setdefault(name, {}) if device else None
        elif key == "DA" and lines is not None:
            number, count = (int(part) for part in value.split(",")[:2])
            lines[number] = max(count, lines.get(number, 0))

files = {name: lines for name, lines in sorted(files.items()) if lines}
if not files:
    sys.exit(f"coverage.py: no file of the device is in {lcov}")

width = max(len(name) for name in files)
reached = total = 0
with open(uncovered, "w", encoding="utf-8") as file:
    for name, lines in files.items():
        hit = sum(1 for count in lines.values() if count)
        reached, total = reached + hit, total + len(lines)
        print(f"  {name:{width}}  {100 * hit / len(lines):5.1f} %  {hit} of {len(lines)}")
        for number in sorted(number for number, count in lines.items() if not count):
            print(f"{name}:{number}", file=file)
print(f"  {'total':{width}}  {100 * reached / total:5.1f} %  {reached} of {total}")
sys.exit(100 * reached / total < least)
