#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What can be checked of headers, library and runner without a device. To see it red: move a field in a UAPI
# structure, drop a name from libpindma.map, or forget an #include; remove a man page, misspell a macro in it, change a
# type in its synopsis, or a line of what it shows of an example.
#
#	check.sh BUILD		where the Makefile has built pindma-test and userlib
set -eu
build=$1
top=$(cd "$(dirname "$0")/../.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
flags="-Wall -Wextra -Werror -I$top/guest/userlib/include -I$top/guest/uapi -I$top/qemu/include"
failed=0

# The compiler's own types are enough for the contracts, so 32-bit needs no 32-bit C library.
contract="-ffreestanding -fsyntax-only -isystem /usr/include/$(uname -m)-linux-gnu $flags"

try() { # try WHAT COMMAND...: say so if it fails, go on
	what=$1
	shift
	if ! "$@" >"$tmp/log" 2>&1; then
		echo "FAIL: $what"
		sed 's/^/    /' "$tmp/log"
		failed=1
	fi
}

# shellcheck disable=SC2086 # the flags are words
for bits in 32 64; do
	try "layout, C, $bits bits" cc -m$bits $contract "$top/tests/abi/layout.c"
	try "layout, C++, $bits bits" c++ -x c++ -m$bits $contract "$top/tests/abi/layout.c"
done
# shellcheck disable=SC2086
for header in hw/misc/pindma_regs.h linux/pindma.h pindma.h; do
	printf '#include <%s>\n#include <%s>\n' $header $header >"$tmp/alone.c"
	try "<$header> alone, C" cc -std=c99 -pedantic $flags -fsyntax-only "$tmp/alone.c"
	try "<$header> alone, C++" c++ -x c++ $flags -fsyntax-only "$tmp/alone.c"
done

# Field by field, and as a fuzzer is told
if command -v pahole >/dev/null; then
	try "pahole: every field as it was published" "$top/tests/abi/golden.sh"
else
	echo "SKIPPED: the golden layout: no pahole here (apt-get install pahole)"
fi
try "syzlang: the description fits the headers" python3 -B "$top/tests/syzlang/check.py"

# The library as a packager installs it and a user finds it
try "make install" make -s -C "$top/guest/userlib" O="$build/userlib" DESTDIR="$tmp/root" PREFIX=/usr install
PKG_CONFIG_SYSROOT_DIR=$tmp/root
PKG_CONFIG_PATH=$tmp/root/usr/lib/pkgconfig
PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
export PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_PATH PKG_CONFIG_ALLOW_SYSTEM_CFLAGS PKG_CONFIG_ALLOW_SYSTEM_LIBS
cflags=$(pkg-config --cflags libpindma)
libs=$(pkg-config --libs libpindma)
# shellcheck disable=SC2086
for compiler in cc 'c++ -x c++'; do
	try "$compiler, shared" $compiler -Wall -Werror $cflags -o "$tmp/user" "$top/tests/abi/user.c" -x none $libs
	try "run it" env LD_LIBRARY_PATH="$tmp/root/usr/lib" "$tmp/user"
	try "$compiler, static" $compiler -Wall -Werror -static $cflags -o "$tmp/user" "$top/tests/abi/user.c" -x none $libs
	try "run it" "$tmp/user"
done

# What pindma.h declares is what the library exports, no more and no less
grep -o '\bpindma_[a-z_]*(' "$top/guest/userlib/include/pindma.h" | tr -d '(' | grep -v '^pindma_pattern$' |
	sort -u >"$tmp/declared"
nm -D --defined-only "$tmp/root/usr/lib/libpindma.so" | sed -n 's/.* T \(pindma_[a-z_]*\).*/\1/p' | sort >"$tmp/exported"
try "declared functions are the exported ones" diff "$tmp/declared" "$tmp/exported"

# Each of them has a man page that declares it as pindma.h does, and there are no others
man=$tmp/root/usr/share/man
{ cat "$tmp/exported"; echo pindma_pattern; } | sort >"$tmp/documented"
basename -s .3 "$man"/man3/* | sort >"$tmp/pages"
try "functions with a man page are the exported ones" diff "$tmp/documented" "$tmp/pages"
if ! command -v groff >/dev/null; then
	echo "SKIPPED: what man pages look like and declare: no groff here (apt-get install groff-base)"
else
	cd "$man"	# .so names files from here
	for page in man*/*; do
		name=$(basename "${page%.*}")
		groff -man -Tascii -P-cbou -ww "$page" >"$tmp/page" 2>"$tmp/warnings" ||
			echo "groff failed" >>"$tmp/warnings"
		try "$page: formatted without a warning" diff /dev/null "$tmp/warnings"
		[ "${page%.3}" != "$page" ] || continue
		sed -n '/^SYNOPSIS/,/^DESCRIPTION/{//d;p}' "$tmp/page" >"$tmp/synopsis.c"
		try "$page: $name() is in the synopsis" grep -q "\b$name(" "$tmp/synopsis.c"
		# shellcheck disable=SC2086
		try "$page: the synopsis agrees with pindma.h" cc $flags -fsyntax-only "$tmp/synopsis.c"
	done
fi

# The examples compile as they say, and what man pages show of them is in them
for example in "$top"/guest/userlib/examples/*.c; do
	# shellcheck disable=SC2086
	try "$example" cc -Wall -Wextra -Werror $cflags -o "$tmp/example" "$example" $libs
done
# shellcheck disable=SC2016 # awk expands
try "examples in man pages" awk '
	/^\.\\" examples\// { file = $2 }
	/^\.EE/ && file {
		source = ""
		while ((getline line < (top file)) > 0)
			source = source line "\n"
		close(top file)
		if (text == "" || !index(source, text)) {
			print FILENAME ": not in " file ":\n" text
			failed = 1
		}
		file = ""
		seen++
	}
	file && shown { gsub(/\\-/, "-"); gsub(/\\e/, "\\"); text = text $0 "\n" }
	/^\.EX/ { shown = 1; text = "" }
	/^\.EE/ { shown = 0 }
	END { exit failed || seen < 3 }
	' top="$top/guest/userlib/" "$man"/man[37]/*

# The runner on the host: what needs no device
try "pindma-test --list" "$build/pindma-test" --list
try "the list has fork.parent_write first" sh -c "'$build/pindma-test' --list | head -n 1 | grep -q '^fork.parent_write '"
# shellcheck disable=SC2317 # try calls it
exits() { # exits CODE COMMAND...
	code=$1 ret=0
	shift
	"$@" || ret=$?
	[ "$ret" = "$code" ]
}
try "unknown scenario" exits 2 "$build/pindma-test" -t fork.parent_wrote
try "unknown group" exits 2 "$build/pindma-test" -g frok
try "unknown option" exits 2 "$build/pindma-test" --frobnicate
try "bad number" exits 2 "$build/pindma-test" --repeat 0
try "no device" exits 99 "$build/pindma-test" -t selftest.pass
exit $failed
