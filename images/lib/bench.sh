# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# "./run.sh bench": the device beside memcpy() in the same QEMU process, QEMU's NVMe disk, soft-RoCE and edu in the
# same guest, and beside itself behind an IOMMU. tests/bench/*.c takes the samples, tests/bench/report.py says what
# they mean.

# Guests in turn, because an IOMMU is not a thing to be had for half a boot: everything once, then the device alone.
BENCH_GUESTS=(none:all intel none intel)
BENCH_ALL=(clock bulk stamps slowdown ops latency edu)
BENCH_IOMMU=(bulk stamps iommu)

# What is profiled, each in a guest that does nothing else.
BENCH_PROFILE=(
    bulk.write_s bulk.copy_s bulk.read_s stamps.up_per_s slowdown.beside_1m_per_s
    ops.write_512_per_s ops.write_4k_per_s ops.copy_512_per_s latency.write_s
)

# Seconds that one guest may take.
BENCH_LIMIT=1200

bench_build() {
    nice make -j"$(nproc)" -C "$ROOT/tests/bench" O="$CACHE/tmp/bench"
    mkdir -p "$CACHE/tmp/bench.done"
    cp "$CACHE/tmp/bench/pindma-bench" "$CACHE/tmp/bench/in-qemu.so" "$CACHE/tmp/bench.done/"
    in_place "$CACHE/tmp/bench.done" "$1"
}

# bench_provision: BENCH, a directory with the guest's program and the host's shared object.
bench_provision() {
    BENCH=$CACHE/runner/bench-$(hash_of guest/userlib guest/uapi qemu/include tests/bench tests/lib/rxe.c tests/lib/rxe.h)
    [ -d "$BENCH" ] || step bench "Building the bench" bench_build "$BENCH"
}

# The image of the tests, with an archive behind it: the program and the stock modules that it compares with.
bench_image_build() {
    local final=$1 root=$CACHE/tmp/bench-image path modules
    rm -rf "$root"
    mkdir -p "$root"/{bin,etc,lib/bench}
    install -m 755 "$BENCH/pindma-bench" "$root/bin/"
    modules=$(image_module_paths "$ROOT/images/modules.bench")
    for path in $modules; do
        image_module "$path" "$root/lib/bench"
        basename "$path" | sed 's/\.ko.*/.ko/' >>"$root/lib/bench/modules"
    done
    (cd "$root" && find . | cpio --create --quiet --format=newc --owner=0:0) >"$CACHE/tmp/cpio"
    cat "$IMAGE" "$CACHE/tmp/cpio" >"$CACHE/tmp/image"
    mv "$CACHE/tmp/image" "$final"
    rm -rf "$root" "$CACHE/tmp/cpio"
}

# bench_image_provision: IMAGE becomes the one with the bench.
bench_image_provision() {
    local image
    image=${IMAGE%.cpio}-$(hash_text "${BENCH##*/}").cpio
    [ -e "$image" ] || step "image-bench" "Making the bench's image for $KERNEL_RELEASE" bench_image_build "$image"
    IMAGE=$image
}

# bench_vm DIR CASE...: a guest with the bench and its way to ask the host.
bench_vm() {
    local dir=$1 code=0
    shift
    LIMIT_TOTAL=${OPT_TIMEOUT:-$BENCH_LIMIT} LIMIT_CASE=${OPT_TIMEOUT:-$BENCH_LIMIT} VM_MODE=bench
    mkdir -p "$dir"
    mkfifo "$dir/memcpy.in" "$dir/memcpy.out"
    QEMU_WRAP=(env "LD_PRELOAD=$BENCH/in-qemu.so" PINDMA_BENCH_FIFO=memcpy)
    QEMU_EXTRA+=(-chardev pipe,id=memcpy,path=memcpy -device virtserialport,chardev=memcpy,name=org.pindma.memcpy)
    vm_run "$dir" "${KERNELS[0]}" "$@" || code=$?
    rm "$dir/memcpy.in" "$dir/memcpy.out"
    return "$code"
}

# What else the guest has. The disk has nothing behind it (null-co): not a host file but QEMU's NVMe itself is what is
# compared with, and reads fill the guest's memory with zeroes, so that they do move bytes.
BENCH_PEERS=(
    -blockdev "driver=null-co,node-name=null,size=$((1 << 30)),read-zeroes=on"
    -device nvme,serial=bench,drive=null
    -device edu,dma_mask=0xffffffff
)

# bench_guest DIR KIND: one guest of BENCH_GUESTS, and what the host did meanwhile.
bench_guest() {
    local dir=$1 kind=$2 cases=("${BENCH_IOMMU[@]}") code=0
    OPT_IOMMU=${kind%%:*} QEMU_EXTRA=()
    if [ "$kind" = none:all ]; then
        cases=("${BENCH_ALL[@]}" iommu)
        QEMU_EXTRA=("${BENCH_PEERS[@]}")
    fi
    mkdir -p "$dir"
    { cat /proc/loadavg; grep '^cpu ' /proc/stat; } >"$dir/load"
    bench_vm "$dir" "${BENCH_ARGUMENTS[@]}" "${cases[@]}" || code=$?
    { cat /proc/loadavg; grep '^cpu ' /proc/stat; } >>"$dir/load"
    return "$code"
}

bench_measure() {
    local index=0 kind code=0 dirs=()
    BENCH_ARGUMENTS=()
    [ -z "$OPT_QUICK" ] || BENCH_ARGUMENTS+=(--quick)
    [ -z "$OPT_ROUNDS" ] || BENCH_ARGUMENTS+=(--rounds "$OPT_ROUNDS")
    for kind in "${BENCH_GUESTS[@]}"; do
        index=$((index + 1))
        dirs+=("$RESULTS/$index-${kind%%:*}")
        # A case that fails is one thing less to compare with; the report says so.
        bench_guest "${dirs[-1]}" "$kind" || code=$?
        [ "$code" -ne 130 ] || break
    done
    results_info "$RESULTS"
    ln -sfnT "${RESULTS##*/}" "$RESULTS_ROOT/last"
    python3 "$ROOT/tests/bench/report.py" write "$RESULTS" "${dirs[@]}" && [ "$code" -eq 0 ]
}

# bench_perf DIR: perf over a guest that is at work. Its own process must not be QEMU's parent: QEMU is killed with the rig.
bench_perf() {
    local dir=$1 tries=0
    until grep -qs '^# [a-z]*: ' "$dir/stream.log"; do
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || return
        sleep 0.1
    done
    perf record -q -F 1999 -o "$dir/perf.data" -p "$(cat "$dir/qemu.pid")" -- sleep 4
}

# Threads by name, then their functions. What has no name is guest code, translated.
bench_profile_report() {
    perf report -i "$1/perf.data" --no-children --stdio --sort comm,dso 2>/dev/null | grep -E '^ +[0-9]' |
        sed -e 's/\[JIT\].*/guest code/' | awk '$1 >= 1.0' | sed 's/ *$//'
    echo
    perf report -i "$1/perf.data" --no-children --stdio --sort comm,sym 2>/dev/null | grep -E '^ +[0-9]' |
        grep -v '\] 0x0' | head -n 16 | sed 's/ *$//'
}

bench_profile() {
    local series dir pid
    deps_install "a profile" "${DEPS_PROFILE[@]}"
    ln -sfnT "${RESULTS##*/}" "$RESULTS_ROOT/last"
    for series in "${BENCH_PROFILE[@]}"; do
        dir=$RESULTS/$series
        OPT_IOMMU=none QEMU_EXTRA=(-name debug-threads=on "${BENCH_PEERS[@]}")
        bench_perf "$dir" &
        pid=$!
        bench_vm "$dir" --rounds 1 --at-least 8 --only "${series#*.}" "${series%%.*}" || return
        wait "$pid" || return
        { echo "== $series"; bench_profile_report "$dir"; echo; } | tee -a "$RESULTS/profile.txt"
    done
}

cmd_bench() {
    parse_options bench "$@"
    parse_kernels
    [ ${#KERNELS[@]} -eq 1 ] || usage_error "bench: one kernel at a time."
    cache_lock
    provision
    bench_provision
    provision_kernel "${KERNELS[0]}"
    bench_image_provision
    vm_accel
    cache_unlock
    results_directory
    if [ -n "$OPT_PROFILE" ]; then bench_profile; else bench_measure; fi || die "$EXIT_RIG" "the bench failed; results: $RESULTS"
}
