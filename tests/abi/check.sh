#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What can be checked of headers, library and runner without a device. To see it red: move a field in a UAPI
# structure, drop a name from libpindma.map, or forget an #include.
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
