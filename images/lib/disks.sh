# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Filesystems for the guest, one raw disk each. They are made here, once, and not in the guest: mkfs would take an
# emulated CPU seconds, and the image stays free of tools. A guest writes to an overlay of its own that is gone with
# it (snapshot=on), so that every run finds the same, empty, clean filesystem.

# Every feature is one that 5.10 can mount. Small, because the raw disk is what the tests search for their data.
disks_make() {
    local tmp=$CACHE/tmp/disks PATH=$PATH:/usr/sbin:/sbin
    rm -rf "$tmp" && mkdir -p "$tmp"
    truncate -s 16M "$tmp/ext4"
    mkfs.ext4 -q -b 4096 -O ^orphan_file "$tmp/ext4"
    truncate -s 32M "$tmp/xfs"
    # Less than 300 MiB are for tests only: mkfs.xfs wants to see the variables that fstests has set.
    TEST_DIR=y TEST_DEV=y QA_CHECK_FS=y mkfs.xfs -q -m reflink=1 -i nrext64=0 "$tmp/xfs"
    truncate -s 64M "$tmp/btrfs"
    # One copy of everything: with two, 109 MiB are the minimum.
    mkfs.btrfs -q -m single -d single "$tmp/btrfs"
    # To wait for, see disks_attach; and for a pinner, see pinner.sh.
    truncate -s 1M "$tmp/slow" "$tmp/scratch"
    in_place "$tmp" "$1"
}

disks_provision() {
    disks_directory
    [ ! -d "$DISKS" ] || return 0
    deps_install "the guest's disks" "${DEPS_DISKS[@]}"
    step disks "Making filesystems for the guest" disks_make "$DISKS"
}

disks_directory() { DISKS=$CACHE/disks/$(hash_of images/lib/disks.sh); }

# disks_attach: to the guests that are started from now on, which know a disk by its serial number. Not with --icount:
# when a disk answers depends on the host. Cases that end with a power cut want disks that outlive QEMU: tests/rig/host.py
# copies them. What is written to them is in the host's page cache, which no kill takes away, so that flushes may be left out.
disks_attach() {
    local name throttle file
    [ -z "$OPT_ICOUNT" ] || return 0
    disks_directory
    for name in ext4 xfs btrfs slow; do
        throttle=
        # Two requests a second, but twenty at once: the kernel looks for partitions when it finds the disk.
        [ "$name" != slow ] || throttle=,throttling.iops-total=2,throttling.iops-total-max=20
        file=snapshot=on,file=$DISKS/$name$throttle
        if [ -n "$KEEP_DISKS" ] && [ "$name" != slow ]; then file=cache=unsafe,file=$name.disk; fi
        QEMU_EXTRA+=(
            -drive "if=none,id=$name,format=raw,$file"
            -device "virtio-blk-pci,drive=$name,serial=$name"
        )
    done
}
