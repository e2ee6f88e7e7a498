# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What every other part of the rig stands on: messages, the cache and its lock, steps with progress.
# Messages and progress go to stderr; stdout carries only what was asked for (a list, a report).

EXIT_FAIL=1
EXIT_USAGE=2
EXIT_RIG=99           # --bisect turns it into 125: "git bisect run" would take 99 for a bad kernel

CACHE=${PINDMA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pindma}

# What a cold set-up takes at its peak for one kernel: QEMU source and build, kernel, headers, package lists.
SETUP_MIB=1800

# One live line on a terminal; whole lines for a log file. NO_COLOR means: no escape codes at all.
LIVE=
if [ -t 2 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then LIVE=1; fi

say()  { printf '%s\n' "$*" >&2; }
warn() { printf 'run.sh: %s\n' "$*" >&2; }

die() {
    local code=$1
    shift
    printf 'run.sh: %s\n' "$@" >&2
    exit "$code"
}

usage_error() {
    die "$EXIT_USAGE" "$@" "See './run.sh -h'."
}

# nearest WORD CANDIDATE...: prints the candidate a typing mistake away from WORD, if there is one.
nearest() {
    local word=$1
    shift
    printf '%s\n' "$@" | awk -v word="$word" '
        function min(a, b) { return a < b ? a : b }
        function distance(s, t,    i, j, m, n, cost) {
            m = length(s); n = length(t)
            for (i = 0; i <= m; i++) d[i, 0] = i
            for (j = 0; j <= n; j++) d[0, j] = j
            for (i = 1; i <= m; i++)
                for (j = 1; j <= n; j++) {
                    cost = substr(s, i, 1) != substr(t, j, 1)
                    d[i, j] = min(min(d[i-1, j], d[i, j-1]) + 1, d[i-1, j-1] + cost)
                }
            return d[m, n]
        }
        { x = distance(word, $0); if (NR == 1 || x < best) { best = x; name = $0 } }
        END { if (NR && best <= 1 + length(word) / 3) print name }'
}

# did_you_mean WORD CANDIDATE...: the half sentence for an error message, or nothing.
did_you_mean() {
    local name
    name=$(nearest "$@")
    [ -z "$name" ] || printf " Did you mean '%s'?" "$name"
}

# hash_of PATH...: one short hash over names and contents of the files below the given paths (relative to ROOT).
hash_of() {
    (cd "$ROOT" && find "$@" -type f -print0 2>/dev/null | LC_ALL=C sort -z | xargs -0 sha256sum) |
        sha256sum | cut -c1-16
}

hash_text() { printf '%s\n' "$@" | sha256sum | cut -c1-16; }

# ---------------------------------------------------------------------------------------------------------------
# Cache: everything in it can be deleted at any time. What is being made lies in tmp/ and is renamed into place
# last, so whatever stands under its final name is whole. Build trees, which cannot be renamed, have a stamp.

cache_free_mib() { df -Pm "$CACHE" | awk 'NR == 2 { print $4 }'; }

# cache_need MIB WHAT: says so before the disk is full, not after.
cache_need() {
    local free
    free=$(cache_free_mib)
    [ "$free" -ge "$1" ] ||
        die "$EXIT_RIG" "no space: $2 needs about $1 MiB in $CACHE, $free MiB are free." \
            "Free some, or set PINDMA_CACHE to a directory on a larger disk."
}

cache_lock() {
    mkdir -p "$CACHE" 2>/dev/null || die "$EXIT_RIG" "cannot create the cache directory $CACHE; set PINDMA_CACHE."
    [ -w "$CACHE" ] || die "$EXIT_RIG" "cannot write to the cache directory $CACHE; set PINDMA_CACHE."
    exec {LOCK_FD}>>"$CACHE/lock"
    if ! flock -n "$LOCK_FD"; then
        say "Waiting for the cache $CACHE, in use by $(cat "$CACHE/lock.owner" 2>/dev/null || echo 'another run')"
        flock "$LOCK_FD"
    fi
    { printf 'pid %s: %s\n' "$$" "$COMMAND_LINE" >"$CACHE/lock.owner"; } 2>/dev/null || true
    # Nobody else is here, so what lies in tmp/ was left by a run that was killed.
    rm -rf "$CACHE/tmp"
    mkdir -p "$CACHE/tmp" || no_space "setting up"
}

cache_unlock() {
    exec {LOCK_FD}>&-
}

no_space() {
    die "$EXIT_RIG" "no space left in $CACHE ($1): $(cache_free_mib) MiB are free, a first run needs about $SETUP_MIB MiB." \
        "Free some, or set PINDMA_CACHE to a directory on a larger disk. The next run continues from here."
}

# in_place TMP FINAL: TMP was made in tmp/, FINAL may exist from an older, unfinished attempt.
in_place() {
    rm -rf "$2"
    mkdir -p "${2%/*}"
    mv -T "$1" "$2"
}

# ---------------------------------------------------------------------------------------------------------------
# Steps

STEP_PID=

# step NAME LABEL COMMAND...: runs COMMAND with its output in log/NAME.log. Silent if it takes under 3 s.
step() {
    local name=$1 label=$2 start=$SECONDS announced='' elapsed=0 rc=0 pause=0.1 log
    log=$CACHE/log/$name.log
    shift 2
    # Packages are installed before there is a cache, and so before cache_lock() has made its directories.
    { mkdir -p "${log%/*}" && : >"$log"; } 2>/dev/null || no_space "$label"
    # Its own process group: the whole of it can be stopped on Ctrl-C, not only its first process.
    set -m
    (set -euo pipefail; "$@") >"$log" 2>&1 </dev/null &
    STEP_PID=$!
    set +m
    while kill -0 "$STEP_PID" 2>/dev/null; do
        elapsed=$((SECONDS - start))
        if [ -n "$LIVE" ]; then
            [ "$elapsed" -lt 1 ] || printf '\r\033[K%s ... %d s %s' "$label" "$elapsed" "$(step_position "$log")" >&2
        elif [ "$elapsed" -ge 3 ] && [ -z "$announced" ]; then
            say "$label ..."
        fi
        # Ten looks a second at a long build would cost a tenth of a CPU.
        [ "$elapsed" -lt 3 ] || { announced=1 pause=1; }
        sleep "$pause"
    done
    wait "$STEP_PID" || rc=$?
    STEP_PID=
    elapsed=$((SECONDS - start))
    [ -z "$LIVE" ] || printf '\r\033[K' >&2
    if [ "$rc" -ne 0 ]; then step_failed "$label" "$log"; fi
    [ -z "$announced" ] || say "$label: $elapsed s"
}

# The last "[12/1440]" or "34%" of a log: how far a build or a download has come.
step_position() {
    tail -c 2000 "$1" 2>/dev/null | tr '\r' '\n' | grep -oE '\[[0-9]+/[0-9]+\]|[0-9]+%' | tail -n 1
}

step_failed() {
    if grep -qiE 'no space left on device|disk quota exceeded|not enough free space' "$2" 2>/dev/null ||
       [ "$(cache_free_mib)" -lt 2 ]; then
        no_space "$1"
    fi
    {
        printf -- '---- %s failed; the last lines of its log:\n' "$1"
        tail -n 25 "$2" | cut -c1-300
        printf -- '----\n'
    } >&2
    die "$EXIT_RIG" "$1 failed. The whole log: $2"
}

stop_step() {
    [ -n "$STEP_PID" ] || return 0
    kill -TERM -- "-$STEP_PID" 2>/dev/null || true
    wait "$STEP_PID" 2>/dev/null || true
    STEP_PID=
}

on_signal() {
    trap - INT TERM HUP
    [ -z "$LIVE" ] || printf '\r\033[K' >&2
    stop_step
    say "Interrupted. The cache is usable, the next run continues from here."
    exit "$1"
}

default_traps() {
    trap 'on_signal 130' INT
    trap 'on_signal 143' TERM
    trap 'on_signal 129' HUP
}
default_traps
