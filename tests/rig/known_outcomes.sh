# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The rig itself, on runs whose outcome is known: a rig that calls a panic a pass is worse than none. Everything is
# real: real guests, a real full disk, a real missing network.

# expect CODE PATTERN COMMAND...: ends with CODE, and its output has a line that matches PATTERN.
expect() {
    local code=$1 pattern=$2 rc=0 out
    shift 2
    out=$(mktemp -p "$CACHE/check")
    "$@" >"$out" 2>&1 || rc=$?
    cat "$out"
    [ "$rc" -eq "$code" ] || { echo "exit $rc instead of $code"; return 1; }
    grep -E -e "$pattern" "$out" >/dev/null || { echo "no line matches: $pattern"; return 1; }
    rm "$out"
}

# Results of these runs stay out of the way of the user's own.
rig() { env PINDMA_RESULTS="$CACHE/check/results" "$ROOT/run.sh" "$@"; }

# summary EXPRESSION: a Python expression over the last run's summary must be true.
summary() {
    python3 -c 'import json, sys; s = json.load(open(sys.argv[1])); print(sys.argv[2]); sys.exit(not eval(sys.argv[2]))' \
        "$CACHE/check/results/last/summary.json" "$1"
}

outcome_pass() {
    expect 0 '^PASS: 1 ok, 0 expected losses seen, 0 failed, 0 skipped' rig run -t selftest.pass
    summary 's["verdict"] == "PASS" and s["counts"] == {"ok": 1, "xfail": 0, "fail": 0, "skip": 0}'
    # A second look at the same results: same report, same exit code.
    expect 0 '^PASS: 1 ok' rig report
}

outcome_fail() {
    expect 1 '^FAIL selftest\.fail' rig run -t selftest.fail
    summary 's["exit"] == 1 and s["cases"][0]["verdict"] == "fail" and s["cases"][0]["reason"]'
}

outcome_skip() {
    expect 4 '^ALL SKIPPED: 0 ok' rig run -t selftest.skip
    summary 's["counts"]["skip"] == 1 and s["cases"][0]["reason"]'
}

outcome_crash() { expect 1 '^FAIL selftest\.crash' rig run -t selftest.crash; }

outcome_case_hangs() {
    expect 1 'TIMEOUT' rig run -t selftest.hang -t selftest.pass --case-limit 3
    summary '[c["verdict"] for c in s["cases"] if c["name"] == "selftest.pass"] == ["ok"]'
}

outcome_guest_hangs() {
    expect 124 '^LIMIT HIT: .*total limit of 20 s' rig run -t selftest.stall --timeout 20
    summary 's["cases"][0]["name"] == "selftest.stall" and s["cases"][0]["verdict"] == "fail"'
}

outcome_panic() {
    expect 1 '^FAIL selftest\.panic' rig run -t selftest.pass -t selftest.panic
    summary '"Kernel panic" in [c for c in s["cases"] if c["name"] == "selftest.panic"][0]["reason"]'
    summary 's["seconds"] - s["guests"][0]["first_case_seconds"] < 5'
}

outcome_warning() {
    expect 1 '^FAIL selftest\.warn' rig run -t selftest.warn
    expect 1 'WARNING' rig report
}

# A kernel that panics at boot, and one that says nothing at all. Neither is a verdict about the scenarios.
outcome_no_boot() {
    local image tree=$CACHE/check/broken
    expect 99 'did not boot: .*panic' rig run -t selftest.pass --append rdinit=/nonexistent
    expect 125 'did not boot: .*panic' rig run -t selftest.pass --append rdinit=/nonexistent --bisect
    # The stock image with a hole in its compressed part, and its headers as a build tree.
    image=$tree/arch/x86/boot/bzImage
    rm -rf "$tree" && mkdir -p "$tree"
    cp -rs "$KERNEL_BUILD/." "$tree/"
    mkdir -p "${image%/*}"
    cp --remove-destination "$KERNEL_IMAGE" "$image"
    dd if=/dev/zero of="$image" bs=1M seek=4 count=1 conv=notrunc
    [ -e "$tree/include/config/kernel.release" ] || echo "$KERNEL_RELEASE" >"$tree/include/config/kernel.release"
    expect 99 'did not boot: no test runner within 15 s' rig run -t selftest.pass -k "$image" --timeout 15
}

# A kernel that is wrong about its TSC has a clock that is of no use: some times too fast, so that it still boots. What comes
# before has said whether there is KVM.
outcome_clock() {
    ! summary 's["accel"] == "kvm"' || skip "guests of KVM have another clock"
    expect 99 'clock goes [2-9][0-9.]* times as fast' rig run -t selftest.pass --append tsc_early_khz=500000
}

# wait_for FILE PATTERN
wait_for() {
    local tries
    for tries in $(seq 300); do
        if grep -qE "$2" "$1" 2>/dev/null; then return; fi
        sleep 0.1
    done
    echo "$1 never matched $2 in $tries tries"
    return 1
}

# A run in the background in which a case hangs, in a results directory of its own: RIG_PID, RIG_RESULTS.
hanging_run() {
    RIG_RESULTS=$CACHE/check/$1
    rm -rf "$RIG_RESULTS"
    set -m
    # A shell cannot trap what was ignored when it started, as SIGINT is in whatever CI starts in the background.
    PINDMA_RESULTS=$RIG_RESULTS env --default-signal=INT "$ROOT/run.sh" run -t selftest.hang --case-limit 120 >"$CACHE/check/$1.out" 2>&1 &
    RIG_PID=$!
    set +m
    wait_for "$(compgen -G "$RIG_RESULTS/2*" || until compgen -G "$RIG_RESULTS/2*"; do sleep 0.1; done)/stream.log" '^# start'
}

hanging_run_ends() {
    local rc=0
    wait "$RIG_PID" || rc=$?
    cat "$CACHE/check/$1.out"
    [ "$rc" -eq "$2" ] || { echo "exit $rc instead of $2"; return 1; }
}

outcome_qemu_killed() {
    hanging_run qemu-killed
    kill -9 "$(cat "$RIG_RESULTS"/2*/qemu.pid)"
    hanging_run_ends qemu-killed 99
    grep -E '^RIG ERROR: .*the VM was lost' "$CACHE/check/qemu-killed.out"
}

outcome_interrupted() {
    local qemu
    hanging_run interrupted
    qemu=$(cat "$RIG_RESULTS"/2*/qemu.pid)
    kill -INT "$RIG_PID"
    hanging_run_ends interrupted 130
    [ ! -d "/proc/$qemu" ] || { echo "QEMU is still there"; return 1; }
    [ -s "$RIG_RESULTS/last/summary.json" ] || { echo "no results were kept"; return 1; }
}

# Killed hard: nothing of it survives.
outcome_no_orphan() {
    local qemu tries
    hanging_run no-orphan
    qemu=$(cat "$RIG_RESULTS"/2*/qemu.pid)
    kill -KILL "$RIG_PID"
    for tries in $(seq 50); do [ -d "/proc/$qemu" ] || return 0; sleep 0.1; done
    echo "QEMU is still there after $tries tries"
    return 1
}

outcome_usage() {
    expect 2 "unknown option '--repaet'.* Did you mean '--repeat'" rig run --repaet 3
    expect 2 "unknown command 'rnu'.* Did you mean 'run'" rig rnu
    expect 2 "unknown kernel '6.13'.* Did you mean '6.1" rig run -k 6.13
    expect 2 "unknown scenario 'fork.parent_wriet'.* Did you mean 'fork.parent_write'" rig run -t fork.parent_wriet
    expect 2 "unknown group 'frok'.* Did you mean 'fork'" rig run -g frok
    expect 2 "unknown scenario 'thp.*'.*-g fork has none" rig run -g fork -t 'thp.*'
    expect 2 "--pinner 'urign'.* Did you mean 'uring'" rig run --pinner urign
    expect 2 "no such file" rig run -k ./nowhere/bzImage
    expect 2 "neither a bzImage" rig run -k "$ROOT/run.sh" --timeout 5
    expect 2 "--smp '1'" rig run --smp 1
    expect 2 "no variant is called 'no_unshaer'.* Did you mean 'no_unshare'" rig lab -t no_unshaer
    expect 2 "--with 'missing.patch': no such file" rig lab --with missing.patch
    sed '/^Switch:/d' "$ROOT"/tests/lab/*-no_unshare.patch >"$CACHE/check/my.patch"
    expect 2 "my.patch: a bug wants a line 'Switch: ...'" rig lab --with "$CACHE/check/my.patch"
    expect 2 "the switch 'no_unshare' is .*'s already" rig lab --with "$ROOT"/tests/lab/*-no_unshare.patch
    sed 's/^Switch: .*/Switch: mine/; s/^Red: .*/Red: fork.perent_write/' "$ROOT"/tests/lab/*-no_unshare.patch >"$CACHE/check/my.patch"
    expect 2 "no case is called 'fork.perent_write" rig lab --with "$CACHE/check/my.patch"
    expect 2 "wants a value" rig run -k
}

# All of it before anything is fetched or built: with an empty cache, and the cache is not even made.
outcome_usage_is_cheap() {
    expect 2 "unknown kernel" env PINDMA_CACHE="$CACHE/check/none" "$ROOT/run.sh" run -k 9.99
    expect 2 "unknown scenario" env PINDMA_CACHE="$CACHE/check/none" "$ROOT/run.sh" run -t no.such
    [ ! -e "$CACHE/check/none" ]
}

# -n prints a command line, and does nothing, whatever the command. Red if vm_command asks for what only a set-up knows.
outcome_dry_run() {
    local command
    for command in run shell gdb coverage kselftest; do
        expect 0 '^ *-device pindma' env PINDMA_CACHE="$CACHE/check/none" PINDMA_RESULTS="$CACHE/check/none" "$ROOT/run.sh" "$command" -n
    done
    [ ! -e "$CACHE/check/none" ]
}

# without_network: UNSHARE, a command that runs another without network.
without_network() {
    UNSHARE=(unshare -n)
    [ "$(id -u)" -eq 0 ] || UNSHARE+=(-r)
    "${UNSHARE[@]}" true 2>/dev/null || skip "this system does not let us: ${UNSHARE[*]}"
}

outcome_no_network_warm() {
    without_network
    expect 0 '^PASS: 1 ok' "${UNSHARE[@]}" env PINDMA_RESULTS="$CACHE/check/results" "$ROOT/run.sh" run -t selftest.pass
}

outcome_no_network_cold() {
    without_network
    expect 99 'Fetching the package lists .* failed' \
        "${UNSHARE[@]}" env PINDMA_CACHE="$CACHE/check/cold" "$ROOT/run.sh" run -t selftest.pass
}

outcome_disk_full() {
    local dir=$CACHE/check/small size
    mkdir -p "$dir"
    # Too small for anything, and large enough for a beginning.
    for size in 64m 400m; do
        mount -t tmpfs -o "size=$size" small "$dir" 2>/dev/null || skip "this system does not let us mount a small disk"
        # shellcheck disable=SC2064 # the directory of now
        trap "umount -l '$dir'" EXIT
        expect 99 'no space' env PINDMA_CACHE="$dir" "$ROOT/run.sh" run -t selftest.pass
        umount -l "$dir"
        trap - EXIT
    done
}

# Somebody without rights on a machine where nothing is installed: dpkg is shown an empty database.
outcome_no_rights() {
    local dir
    [ "$(id -u)" -eq 0 ] || skip "only root can become somebody without rights"
    dir=$(mktemp -d)
    chmod 755 "$dir"
    mkdir -p "$dir/tree" "$dir/dpkg/updates" "$dir/home"
    : >"$dir/dpkg/status"
    tar -C "$ROOT" --exclude=./results --exclude=./.git -c . | tar -C "$dir/tree" -x
    chown nobody "$dir/home"
    expect 99 'apt-get install --no-install-recommends gcc' \
        setpriv --reuid nobody --regid nogroup --clear-groups env -u PINDMA_CACHE HOME="$dir/home" DPKG_ADMINDIR="$dir/dpkg" \
        "$dir/tree/run.sh" run -t selftest.pass
    rm -rf "$dir"
}

# A QEMU that does not know the device, and one whose machine simply has none.
outcome_no_device() {
    local qemu=$CACHE/check/qemu-without
    # shellcheck disable=SC2016 # for the wrapper
    printf '#!/bin/bash\nexec %q "${@/#pindma,/pindma-unknown,}"\n' "$QEMU_BIN" >"$qemu"
    chmod +x "$qemu"
    expect 99 "QEMU did not start.*pindma-unknown" env PINDMA_QEMU_BIN="$qemu" PINDMA_RESULTS="$CACHE/check/results" "$ROOT/run.sh" run -t selftest.pass
    # shellcheck disable=SC2016
    printf '#!/bin/bash\nexec %q "${@/#pindma,*/pci-testdev,bus=rp0}"\n' "$QEMU_BIN" >"$qemu"
    expect 99 "^RIG ERROR: .*(device|driver)" env PINDMA_QEMU_BIN="$qemu" PINDMA_RESULTS="$CACHE/check/results" "$ROOT/run.sh" run -t fork.parent_write
}

# Two runs at once: the second says for whom it waits, and then runs.
outcome_lock() {
    local out=$CACHE/check/lock.out holder rc=0
    flock "$CACHE/lock" sleep 4 &
    holder=$!
    sleep 0.3
    rig run -t selftest.pass >"$out" 2>&1 || rc=$?
    wait "$holder"
    cat "$out"
    [ "$rc" -eq 0 ] && grep -E '^Waiting for the cache .*(pid [0-9]+|another run)' "$out" >/dev/null
}

# The result files of a run with every kind of verdict, and of one with two kernels.
outcome_files() {
    expect 1 '^FAIL: ' rig run -k 6.12,6.1 -t 'selftest.[pfs][ak]*' -t fork.parent_write/anon/get
    python3 "$ROOT/tests/rig/valid.py" "$CACHE/check/results/last"
    expect 1 '^FAIL: ' rig run -t 'selftest.[pfs][ak]*' -t selftest.panic
    python3 "$ROOT/tests/rig/valid.py" "$CACHE/check/results/last"
}

# The report in a real browser: a lost case and a kept one, with their timelines.
outcome_browser() {
    expect 0 '^PASS: 1 ok, 1 expected losses' rig run --trace -t fork.parent_write/anon/get -t fork.parent_write/anon/pin
    python3 -B "$ROOT/tests/rig/browser.py" "$(command -v chromium-headless-shell)" "$CACHE/check/results/last"
}

# An exact version that is gone, and the one that is unpacked already: the same release twice has two names.
outcome_exact_kernel() {
    local version=${KERNEL_RELEASE%%[+-]*}
    expect 2 "kernel '6.12.1' is not in the archive.* Of 6\.12 it has .*$version" rig run -k 6.12.1 -t selftest.pass
    expect 0 '^The kernels do not differ' rig run -k "6.12,$version" -t selftest.pass
    summary "s['kernels'] == ['$version (1)', '$version (2)']"
}

known_outcomes() {
    check "rig: pass" outcome_pass
    check "rig: fail" outcome_fail
    check "rig: skip" outcome_skip
    check "rig: a case crashes" outcome_crash
    check "rig: a case hangs" outcome_case_hangs
    check "rig: the guest hangs" outcome_guest_hangs
    check "rig: the guest panics" outcome_panic
    check "rig: the kernel warns" outcome_warning
    check "rig: the kernel does not boot" outcome_no_boot
    check "rig: the clock is wrong" outcome_clock
    check "rig: QEMU is killed" outcome_qemu_killed
    check "rig: Ctrl-C" outcome_interrupted
    check "rig: killed, nothing stays behind" outcome_no_orphan
    check "rig: bad usage" outcome_usage
    check "rig: bad usage touches nothing" outcome_usage_is_cheap
    check "rig: -n touches nothing" outcome_dry_run
    check "rig: disk full" outcome_disk_full
    check "rig: no network, cold cache" outcome_no_network_cold
    check "rig: no network, warm cache" outcome_no_network_warm
    check "rig: neither root nor sudo" outcome_no_rights
    check "rig: QEMU without the device" outcome_no_device
    check "rig: two runs at once" outcome_lock
    check "rig: result files" outcome_files
}
