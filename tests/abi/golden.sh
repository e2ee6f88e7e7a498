#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Every field of what crosses a boundary, as pahole shows it, against what was published: tests/abi/golden. layout.c asserts
# what must never change; this shows what did, field by field, also where a structure grows. To see it red: add a field.
#
#	golden.sh [--update]
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# A variable of each structure that the headers define, so that debug information has them, in the order of the headers
headers="$top/qemu/include/hw/misc/pindma_regs.h $top/guest/uapi/linux/pindma.h"
# shellcheck disable=SC2086 # the names are words
structs=$(sed -n 's/^struct \(pindma_[a-z_]*\) {.*/\1/p' $headers)
{
	echo '#include <linux/pindma.h>'
	for name in $structs; do echo "struct $name a_$name;"; done
} >"$tmp/all.c"
cc -g -c -I"$top/guest/uapi" -I"$top/qemu/include" -o "$tmp/all.o" "$tmp/all.c"
{
	echo '/* SPDX-License-Identifier: GPL-2.0-only */'
	echo '/* Written by tests/abi/golden.sh --update. */'
	for name in $structs; do pahole -C "$name" "$tmp/all.o"; done
	# Lines about cache lines say nothing of the ABI.
} | sed -e '/\/\* --- cacheline/d' -e '/\/\* size: /s/, cachelines: [0-9]*//' -e '/\/\* last cacheline/d' -e '/^$/d' >"$tmp/golden"

if [ "${1:-}" = --update ]; then
	cp "$tmp/golden" "$top/tests/abi/golden"
else
	diff -u "$top/tests/abi/golden" "$tmp/golden" ||
		{ echo "the ABI is not the published one: if that is meant, tests/abi/golden.sh --update"; exit 1; }
fi
