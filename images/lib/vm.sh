# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# One guest: its QEMU command line, whether KVM works here, and its limits.

# Seconds on real hardware; emulation gets ten times as much.
BOOT_LIMIT=12
CASE_LIMIT=6
TOTAL_LIMIT=300

# What a round of --storm may take: to pull a card out and to put it back.
ROUND_LIMIT=10

# What the kernel is told. panic=-1 with QEMU's -no-reboot: a dying kernel ends the VM at once.
# Two NUMA nodes of the same memory, so that there is a place that pages can be migrated to. On a busy host the kernel finds
# the TSC unstable, which it is not, and patches sched_clock() for good: a vCPU of TCG that is about to execute what is being
# patched may still meet the breakpoint when nobody expects it any more ("Oops: int3").
KERNEL_ARGUMENTS="console=ttyS0 panic=-1 oops=panic numa=fake=2 tsc=reliable"

# What one kind of run has besides: a program that starts QEMU, devices; and what the guest is to do, see images/init.
QEMU_WRAP=() QEMU_EXTRA=() VM_MODE=run

# kHz, see tsc_measure; empty if the guest finds out by itself.
TSC_KHZ=

# --icount: nothing that the guest sees depends on the host, and the same command gives the same run, to the byte.
#   - time is what was executed, for the guest's clocks and for the device's engine, whose seed chooses the moments of DMA;
#   - no KASLR: all seeds have the same addresses. All other randomness of the guest is RDRAND's, which -seed determines;
#   - virtio's doorbells do their work at once, and not when QEMU's main loop finds the time (ioeventfd=off);
#   - nobody outside can be asked: there is no port to the host;
#   - one CPU: when a timer fires while QEMU's main loop runs instead of the CPUs' thread, which depends on the host's load, it
#     ends the turn of a CPU, and another's begins. It may have a second one, or TCG would do without atomic instructions.
ICOUNT_START=2020-01-01T00:00:00

# vm_device: the pindma device, as -device wants it.
vm_device() {
    local device=pindma,bus=rp0,id=pindma0
    [ -z "$OPT_ICOUNT" ] || device+=,engine=timer,seed=${OPT_SEED:-1}
    [ -z "$OPT_JOURNAL" ] || device+=,journal=journal
    echo "$device${OPT_DEVICE:+,$OPT_DEVICE}"
}

# vm_command INITRD SERIAL: the command line in QEMU_COMMAND. File names are relative to the results directory.
# -nodefaults: without it q35 has an empty CD drive that the BIOS waits 32 s for.
# Hotplug is PCI Express's own, where slots lose power and have an attention button, not ACPI's, where they do not.
vm_command() {
    # CMPXCHG16B of QEMU 7.2's TCG leaves random flags (no gen_update_cc_op() before the helper); an interrupt right behind
    # it saves them, and the guest goes on in single steps. Kernels do without it where there is none.
    local dir cpu=max,cx16=off machine=q35 arguments=$KERNEL_ARGUMENTS serial=virtio-serial-pci smp=${OPT_SMP:-2}
    [ "$ACCEL" != kvm ] || cpu=host
    [ "$ACCEL $OPT_IOMMU" != "kvm intel" ] || machine=q35,kernel-irqchip=split
    # The kernel tries its timer through the IOMMU and panics if that does not tick, as on a host that has no time for it.
    [ "$OPT_IOMMU" != intel ] || arguments+=" intel_iommu=on no_timer_check"
    [ -z "$OPT_ICOUNT" ] || arguments+=" nokaslr" serial+=,ioeventfd=off smp=1,maxcpus=2
    [ -z "$TSC_KHZ" ] || arguments+=" tsc_early_khz=$TSC_KHZ"
    [ -z "$OPT_APPEND" ] || arguments+=" $OPT_APPEND"
    QEMU_COMMAND=("${QEMU_WRAP[@]}" "$QEMU_BIN")
    for dir in "${FIRMWARE_DIRS[@]}"; do QEMU_COMMAND+=(-L "$dir"); done
    QEMU_COMMAND+=(
        -machine "$machine" -accel "$ACCEL" -cpu "$cpu" -smp "$smp" -m "$OPT_MEMORY"
        -nodefaults -display none -no-reboot
        -kernel "$KERNEL_IMAGE" -initrd "$1" -append "$arguments"
        -serial "$2"
        -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off
    )
    [ -z "$OPT_ICOUNT" ] || QEMU_COMMAND+=(
        -icount "shift=$OPT_ICOUNT,sleep=off" -rtc "clock=vm,base=$ICOUNT_START" -seed "${OPT_SEED:-1}"
    )
    [ "$OPT_IOMMU" != intel ] || QEMU_COMMAND+=(-device intel-iommu,intremap=on)
    QEMU_COMMAND+=(
        -chardev file,id=results,path=stream.log
        -device "$serial" -device virtserialport,chardev=results,name=org.pindma.results
        -qmp unix:qmp.sock,server=on,wait=off -pidfile qemu.pid
    )
    [ -n "$OPT_ICOUNT" ] || QEMU_COMMAND+=(
        -chardev socket,id=host,path=host.sock,server=on,wait=off -device virtserialport,chardev=host,name=org.pindma.host
    )
    [ -z "$OPT_JOURNAL" ] || QEMU_COMMAND+=(-chardev file,id=journal,path=journal.bin)
    QEMU_COMMAND+=(
        -device pcie-root-port,id=rp0 -device "$(vm_device)"
        -device pcie-root-port,id=rp1,chassis=1
        "${QEMU_EXTRA[@]}"
    )
}

# vm_print FILE-OR-NOTHING: the command line so that a shell takes it back, one option a line.
vm_print() {
    local word first=1
    for word in "${QEMU_COMMAND[@]}"; do
        if [ -n "$first" ]; then first=; else case $word in -*) printf ' \\\n   ' ;; esac; fi
        printf ' %q' "$word"
    done
    echo
}

# KVM is used only where a guest has really booted under it: on some hosts /dev/kvm opens and guests then hang.
# The answer holds for this QEMU, this kernel, and this boot of the host.
kvm_probe() {
    local answer dir
    ACCEL=tcg
    if [ -n "$OPT_ICOUNT" ]; then KVM_WHY="--icount is not for KVM"; return; fi
    if [ ! -e /dev/kvm ]; then KVM_WHY="no /dev/kvm"; return; fi
    if ! { : <>/dev/kvm; } 2>/dev/null; then KVM_WHY="/dev/kvm cannot be opened by $(id -un)"; return; fi
    answer=$CACHE/kvm/$(hash_text "$QEMU_KEY" "$KERNEL_ID" "$(cat /proc/sys/kernel/random/boot_id)")
    if [ ! -s "$answer" ]; then
        mkdir -p "$CACHE/kvm"
        dir=$CACHE/tmp/kvm
        rm -rf "$dir" && mkdir -p "$dir"
        image_with_job "$IMAGE" poweroff "$dir/initrd"
        ACCEL=kvm vm_command initrd null
        step kvm "Trying KVM" kvm_try "$dir" "$CACHE/tmp/kvm-answer"
        mv "$CACHE/tmp/kvm-answer" "$answer"
        rm -rf "$dir"
    fi
    KVM_WHY=$(cat "$answer")
    if [ "$KVM_WHY" = works ]; then ACCEL=kvm; fi
}

KVM_TRY_LIMIT=10

kvm_try() {
    local rc=0
    cd "$1"
    timeout -k 1 "$KVM_TRY_LIMIT" "${QEMU_COMMAND[@]}" || rc=$?
    case $rc in
    0) echo works ;;
    124 | 137) echo "/dev/kvm opens but a guest did not boot within $KVM_TRY_LIMIT s" ;;
    *) echo "/dev/kvm opens but QEMU ended with $rc ($(grep -m 1 error: ../../log/kvm.log || echo 'see log/kvm.log'))" ;;
    esac >"$2"
}

tsc_build() {
    cc -O2 -Wall -Wextra -Werror -o "$CACHE/tmp/tsc_khz" "$ROOT/tests/rig/tsc_khz.c"
    in_place "$CACHE/tmp/tsc_khz" "$1"
}

# tsc_measure: TSC_KHZ. A kernel that measures it at boot, on a host that has no time for it, now and then believes what it
# has measured: of thirty boots one had a clock that was 23 times too fast, and cases that timed out.
tsc_measure() {
    local tool
    tool=$CACHE/runner/tsc_khz-$(hash_of tests/rig/tsc_khz.c)
    [ -x "$tool" ] || step tsc_khz "Building what measures the TSC" tsc_build "$tool"
    TSC_KHZ=$("$tool")
}

# vm_accel: ACCEL and the limits that go with it; says what was chosen.
vm_accel() {
    local scale=1
    TSC_KHZ=
    kvm_probe
    if [ "$ACCEL" = tcg ]; then
        scale=10
        # With --icount time is what was executed, and the TSC is that, too.
        [ -n "$OPT_ICOUNT" ] || tsc_measure
        [ "$KVM_WHY" = "${KVM_SAID:-}" ] || say "$KVM_WHY; using TCG, limits x$scale"
        KVM_SAID=$KVM_WHY
    fi
    scale=$((scale * KERNEL_SLOW))
    LIMIT_BOOT=$((BOOT_LIMIT * scale))
    LIMIT_CASE=${OPT_CASE_LIMIT:-$((CASE_LIMIT * scale + ${OPT_STORM:-0} * ROUND_LIMIT))}
    LIMIT_TOTAL=${OPT_TIMEOUT:-$((TOTAL_LIMIT * scale + 4 * ${OPT_STORM:-0} * ROUND_LIMIT))}
    # A guest that is not up by then will never be: "did not boot" says more than "the total limit was hit".
    [ "$LIMIT_BOOT" -le "$LIMIT_TOTAL" ] || LIMIT_BOOT=$LIMIT_TOTAL
}

# vm_run DIR SPEC RUNNER-ARGUMENT...: boots the current kernel; what it did is in DIR/vm.json.
vm_run() {
    vm_start "$@"
    vm_wait
    ! vm_lost_to_int3 "$1" || { vm_start "$@"; vm_wait; }
    return "$VM_CODE"
}

# TCG on a busy host now and then loses a boot to the kernel's patching of its own code: one CPU runs into the int3 that
# another has just taken away. That says nothing about the kernel, so it gets one more try.
vm_lost_to_int3() {
    [ "$VM_CODE" -eq "$EXIT_RIG" ] && [ "$ACCEL" = tcg ] && grep -qs 'Oops: int3' "$1/console.log" &&
        grep -qs '"booted": false' "$1/vm.json" || return 1
    say "The kernel panicked over an int3 while it booted, as it may under TCG: once more"
    mv "$1/console.log" "$1/console-int3.log"
}

# The guests that run, by process.
declare -A VM_RUNNING=()

# vm_start DIR SPEC RUNNER-ARGUMENT...: like vm_run, without waiting for its end.
vm_start() {
    local dir=$1 spec=$2 live=()
    shift 2
    [ "$VM_MODE" = bench ] || set -- --case-limit "$LIMIT_CASE" "$@"
    image_with_job "$IMAGE" "$VM_MODE" "$dir/initrd" "$@"
    vm_command initrd file:console.log
    {
        printf '#!/bin/sh\n# The guest of this run; console.log and stream.log are written anew. tsc_early_khz= is of this machine.\ncd "$(dirname "$0")" || exit\nexec'
        vm_print
    } >"$dir/qemu-command"
    chmod +x "$dir/qemu-command"
    [ -z "$LIVE" ] || live=(--live)
    [ -z "$KEEP_DISKS" ] || live+=(--disks "$DISKS")
    say "Booting $KERNEL_RELEASE (limits: boot $LIMIT_BOOT s, case $LIMIT_CASE s, total $LIMIT_TOTAL s)"
    # In the background, so that a signal is handled at once; killed with this script, whatever happens to it.
    setpriv --pdeathsig TERM python3 -B "$ROOT/tests/rig/vm.py" --out "$dir" --kernel "$spec" --accel "$ACCEL" \
        --boot-limit "$LIMIT_BOOT" --case-limit "$LIMIT_CASE" --total-limit "$LIMIT_TOTAL" "${live[@]}" -- "${QEMU_COMMAND[@]}" &
    VM_RUNNING[$!]=$dir
    # Ctrl-C ends the guests, not the report of what was seen until then.
    trap 'kill -INT "${!VM_RUNNING[@]}" 2>/dev/null || true' INT TERM HUP
}

# Until one of the guests that run has ended: VM_DIR, and how, VM_CODE.
vm_wait() {
    local pid=
    while [ -z "${pid:-}" ]; do     # a signal unsets it
        VM_CODE=0
        wait -n -p pid "${!VM_RUNNING[@]}" || VM_CODE=$?
    done
    VM_DIR=${VM_RUNNING[$pid]}
    unset "VM_RUNNING[$pid]"
    [ ${#VM_RUNNING[@]} -gt 0 ] || default_traps
}

# How many guests have room beside each other
vm_room() {
    local memory cpus
    memory=$(($(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024 / (OPT_MEMORY + 512)))
    cpus=$(($(nproc) / ${OPT_SMP:-2}))
    [ "$memory" -lt "$cpus" ] && echo "$memory" || echo "$cpus"
}

# Several kernels are all set up first and booted after that, outside the lock: one guest's variables, kept.
vm_save() {
    declare -p ACCEL TSC_KHZ KERNEL_IMAGE KERNEL_RELEASE IMAGE LIMIT_BOOT LIMIT_CASE LIMIT_TOTAL | sed 's/^declare --/declare -g --/' >"$1/vm.sh"
}

vm_restore() {
    # shellcheck source=/dev/null
    . "$1/vm.sh"
}
