# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# --pinner: what the other pinners of the kernel need of the machine. The guest does not load pindma.ko.

# pinner_attach: to the guests that are started from now on.
pinner_attach() {
    [ -n "$OPT_PINNER" ] || return 0
    VM_MODE=pinner
    case $OPT_PINNER in
    vfio | all) OPT_IOMMU=intel ;;
    esac
    case $OPT_PINNER in
    uring | all)
        # The disk keeps what is written to it, for as long as the guest runs.
        QEMU_EXTRA+=(
            -drive "if=none,id=scratch,format=raw,snapshot=on,file=$DISKS/scratch"
            -device nvme,serial=scratch,drive=scratch
        )
        ;;
    esac
}
