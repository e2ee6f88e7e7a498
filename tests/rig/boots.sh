# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The same tests in other machines: runs that repeat to the byte, a device that can less, IOMMUs of both kinds, a guest
# that moves from one QEMU to another, and one in which others pin the pages.

# journal_of NAME ARGUMENT...: a run whose journal is kept as NAME.journal.
journal_of() {
    local name=$1
    shift
    expect 0 '^PASS' rig run "$@"
    mv "$CACHE/check/results/last/journal.bin" "$CACHE/check/$name.journal"
    cp "$CACHE/check/results/last/console.log" "$CACHE/check/$name.console"
}

journals() { python3 -B "$ROOT/tests/rig/journal.py" "$CACHE/check/$1.journal" "$CACHE/check/$2.journal"; }

# Twice the same, with another seed not, and not without --icount, which shows that this test can fail. To see it do so:
# take out -seed, ioeventfd=off or image_archive()'s touch.
outcome_replay() {
    local cases=("$@")
    journal_of first "${cases[@]}" --icount 3 --seed 7
    journal_of second "${cases[@]}" --icount 3 --seed 7
    journals first second
    cmp "$CACHE/check/first.console" "$CACHE/check/second.console"
    journal_of second "${cases[@]}" --icount 3 --seed 8
    expect 1 '^they differ' journals first second
    rm "$CACHE"/check/*.journal
}

outcome_no_replay() {
    local cases=("$@")
    journal_of first "${cases[@]}" --journal
    journal_of second "${cases[@]}" --journal
    expect 1 '^they differ' journals first second
    rm "$CACHE"/check/*.journal
}

# outcome_device MODE PROPERTIES [OPTION]...: a device that can less does all the same, and the driver says so.
outcome_device() {
    local says=$1 properties=$2
    shift 2
    expect 0 '^PASS' rig run -g driver --device "$properties" "$@"
    grep -E "^# pindma-test: device .*$says" "$CACHE/check/results/last/stream.log"
}

# Memory that the device cannot reach: the driver refuses, as bounce buffers would keep DMA away from the pages. With an
# IOMMU it can. To see it red: leave out the test of the required mask in pindma_set_dma_mask().
outcome_unreachable_memory() {
    expect 99 '^RIG ERROR' rig run -t driver.dma_bits --memory 5120 --device dma-bits=32
    grep '32 address bits do not reach all memory' "$CACHE/check/results/last/console.log"
    expect 0 '^PASS' rig run -t driver.dma_bits --memory 5120 --device dma-bits=32 --iommu intel
}

outcome_bad_device() {
    expect 99 "QEMU did not start.*msxi" rig run -t selftest.pass --device msxi=off
    expect 99 "QEMU did not start.*dma-bits=99 is not 24 to 64" rig run -t selftest.pass --device dma-bits=99
    expect 99 "QEMU did not start.*engine=thread is not for -icount" rig run -t selftest.pass --icount 3 --device engine=thread
    expect 2 "--icount '11'" rig run --icount 11
    expect 2 "--smp 2: --icount is for one CPU" rig run --icount 3 --smp 2
    expect 2 "--device ''" rig run --device ''
}

# outcome_iommu MODE STRICT: what a device that does not stop can still write. Red: see tests/driver/iommu.c.
outcome_iommu() {
    expect 0 '^PASS: 2 ok' rig run -t driver.after_stop -t driver.stale_atc --iommu intel --append "iommu.strict=$2"
    grep "^# driver.after_stop: $1 mode" "$CACHE/check/results/last/stream.log"
    grep '^# driver.after_stop: kernel: DMAR: \[DMA Write' "$CACHE/check/results/last/stream.log"
}

# What a broken device writes to free pages the kernel finds, if it looks for it. To see it red: arm no fault, or -k 5.10.
outcome_page_poison() { expect 0 "^PASS: 1 ok" rig run -t driver.poisoned --append page_poison=1; }

# Power that is taken away and comes back (S3). It is in no other guest: what it leaves behind is not as before.
outcome_sleep() { expect 0 "^PASS: 1 ok" rig run -t driver.sleep_deep --append mem_sleep_default=deep; }

# A handle that has no driver, and what it refuses.
outcome_vfio_handle() { expect 0 "^PASS: 2 ok" rig run -t 'driver.vfio_*' --pinner vfio; }

# The power is cut while a device writes to files; then the raw disk says what fsync() was worth. Without the hammer nothing may
# be bad, nor on a filesystem that takes no checksums. To see it red: see tests/scenarios/poweroff.c.
outcome_power_cut() {
    expect 0 '^PASS: 2 ok, 2 expected losses seen' rig run -t poweroff.quiet/btrfs -t poweroff.hammer/ext4 \
        -t poweroff.hammer/btrfs -t poweroff.unasked/xfs
    summary '["wrong checksum" in c["reason"] for c in s["cases"] if c["name"] == "poweroff.hammer/btrfs"] == [True]'
    summary '["older than" in c["reason"] for c in s["cases"] if c["name"] == "poweroff.unasked/xfs"] == [True]'
    summary 'all("none" in c["evidence"][-1] for c in s["cases"] if c["verdict"] == "ok")'
    [ -s "$CACHE/check/results/last/btrfs.disk" ]
}

# Both QEMUs of a migration write the same journal: an entry that one wrote too much, or that got lost, shows. To see it
# red: open the second QEMU's files without append=on.
outcome_migration() {
    expect 0 '^PASS: 1 ok' rig run -t driver.migrate --journal
    python3 -B "$ROOT/tests/rig/journal.py" --check "$CACHE/check/results/last/journal.bin"
    rm "$CACHE/check/results/last/journal.bin"
}

# Other pinners of the kernel, in a guest without pindma.ko: each cell is what the driver's longterm pins have there. To
# see it red: tests/mutants/get-for-pin.patch makes the driver's column lose, and no other.
outcome_pinners() {
    local results=$CACHE/check/results
    expect 0 '^PASS' rig run -t 'fork.*/pin-longterm' -t 'fork.*/pin-longterm-cleared'
    cp "$results/last/summary.json" "$CACHE/check/driver.json"
    expect 0 '^PASS' rig run -g fork --pinner all
    grep '^# pindma-test: pinner all, pindma.ko is not loaded' "$results/last/stream.log"
    python3 - "$CACHE/check/driver.json" "$results/last/summary.json" <<'PYTHON'
import json, sys

def verdicts(path, pinner):
    """What came out, by the name of the case without the pinner's"""
    cases = json.load(open(path))["cases"]
    parted = [(case["name"].partition("/" + pinner), case["verdict"]) for case in cases]
    return {row + control: verdict for (row, found, control), verdict in parted if found}

driver = verdicts(sys.argv[1], "pin-longterm")
assert {"ok", "xfail"} <= set(driver.values())
bad = 0
for pinner in ("vfio", "uring", "rxe"):
    other = verdicts(sys.argv[2], pinner)
    for row, verdict in driver.items():
        print(row, pinner, other.get(row), "" if other.get(row) == verdict else f"DIFFERS, pin-longterm: {verdict}")
        bad |= other.get(row) != verdict
sys.exit(bad)
PYTHON
}

boots() {
    check "rig: a device that is not possible" outcome_bad_device
    check "the machine sleeps" outcome_sleep
    check "vfio: what a handle without a driver refuses" outcome_vfio_handle
    [ -n "$OPT_FULL" ] || return 0
    check "replay: all of fork, twice the same" outcome_replay -g fork
    check "replay: without --icount they differ" outcome_no_replay -t fork.parent_write/anon/pin-fast
    check "device: MSI" outcome_device 'MSI,' msix=off
    check "device: INTx, 32 bits" outcome_device 'INTx, 32-bit DMA' msix=off,msi=off,dma-bits=32
    check "device: 32 bits, more memory" outcome_unreachable_memory
    check "IOMMU, strict: a device that does not stop" outcome_iommu strict 1
    check "IOMMU, lazy: a device that does not stop" outcome_iommu lazy 0
    check "page_poison: a device that does not stop" outcome_page_poison
    check "power cut: what is on the disk" outcome_power_cut
    check "live migration, one journal" outcome_migration
    check "other pinners: vfio, io_uring, soft-RoCE" outcome_pinners
}
