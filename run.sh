#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# From a bare Debian machine to a verdict: the only entry point of pindma. This file parses the command line and
# calls what does the work: images/lib/*.sh provide QEMU, kernels and the guest, tests/rig/ boots, judges, reports.

set -euo pipefail
export LC_ALL=C.UTF-8

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
COMMAND_LINE="./run.sh${*:+ $*}"
RESULTS_ROOT=${PINDMA_RESULTS:-$ROOT/results}

# shellcheck source-path=SCRIPTDIR
. "$ROOT/images/lib/common.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/images/lib/apt.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/images/lib/deps.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/images/lib/qemu.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/images/lib/kernel.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/images/lib/kernel-build.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/images/lib/image.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/images/lib/disks.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/images/lib/pinner.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/images/lib/vm.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/images/lib/bench.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/images/lib/fuzz.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/images/lib/kselftest.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/images/lib/lab.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/images/lib/scenarios.sh"

COMMANDS=(run list shell gdb bench fuzz coverage kselftest lab report clean check)

help_main() {
    cat <<HELP
Usage: ./run.sh [COMMAND] [OPTION]...

Boots a kernel with the pindma device, runs the scenarios, says what the kernel keeps of its promises about
pinned pages. Sets up what is missing. The last line is the verdict.

  run      boot, run, report; what happens without a command (quick preset, stock kernel 6.12)
  list     one scenario a line
  shell    an interactive guest on this terminal, the tests ready to run by hand
  gdb      the same, with a debugger's port open
  bench    how fast the device is, beside memcpy, NVMe, soft-RoCE and edu
  fuzz     the device under random accesses and sanitizers; its line coverage
  coverage where the kernel asks whether a page is pinned, and which cases got there
  kselftest the kernel's own tests of pinned pages, with the device as their reader
  lab      bugs that were fixed, back one at a time, and fixes that were only proposed
  report   print the last run's report again
  check    the project's own tests
  clean    delete the cache

  ./run.sh                                   the quick preset on stock 6.12
  ./run.sh run -k 6.1,6.12 -g fork           one group, two kernels
  ./run.sh run -k ~/linux -t 'fork.*thp*'    a kernel tree of your own
  ./run.sh run -t fork.under_hammer --repeat 50 --until-fail
  git bisect run .../run.sh run --bisect -k . -t fork.parent_write

Exit: 0 passed, 1 a case failed, 2 usage, 4 everything skipped, 99 the rig or the VM failed, 124 a limit was hit.
'./run.sh COMMAND -h' lists the options.
Cache: $CACHE (PINDMA_CACHE), results: $RESULTS_ROOT (PINDMA_RESULTS)
HELP
}

help_guest_options() {
    cat <<HELP
  -k KERNEL[,KERNEL]  ${STOCK_KERNELS[*]} (newest stock Debian kernel), an exact version that the archive has such as
                      6.12.107, a linux-image .deb, a bzImage or a kernel tree, or debug (6.12 with KASAN, lockdep and
                      the like, built from source once, half an hour of two CPUs), or lab (see lab);
                      default 6.12. Several are booted beside each other if there are CPUs (--smp each) and memory for
                      that
  --build DIR         the tree that a bzImage was built in
  --qemu VERSION      another version of the QEMU source package, for example 10.0
  --qemu-src DIR      a QEMU source tree of your own; it is only read
  --smp N             virtual CPUs, at least 2 (default 2; 1 with --icount)
  --memory MIB        guest memory (default 1024)
  --iommu KIND        intel or none (default none)
  --device PROPERTIES more for -device pindma, for example msix=off,dma-bits=32
  --append ARGUMENTS  more for the kernel's command line
  -n                  print the QEMU command line and do nothing
  -h                  this help
HELP
}

help_command() {
    case $1 in
    run)
        cat <<HELP
Usage: ./run.sh run [OPTION]...

  -t GLOB             scenarios or cases by name, for example fork.parent_write, 'fork.*', '*/thp/pin*'; may repeat
  -g GROUP            all scenarios of a group, for example fork; may repeat. With -t: those of them that -t names
  --all               everything, not only the quick preset
  --pinner NAME       second opinions: the same scenarios with pins that others in the kernel make, without pindma.ko:
                      vfio (the device, driven from user space), uring (io_uring's registered buffers; the device is an
                      NVMe disk), rxe (soft-RoCE; the kernel moves the data) or all
  --seed S            the seed of a run to repeat
  --repeat N          every case N times
  --storm N           rounds of the storm.* cases, seconds of fuzz.*; limits grow with it. 10000 for storm.kill, 1000 for
                      the others are minutes to hours; by default they are few, and take some seconds
  --until-fail        stop at the first failure; repeats until there is one, unless --repeat says how often
  --timeout S         total limit in seconds (default: $TOTAL_LIMIT, ten times that under TCG)
  --case-limit S      limit of one case in seconds (default: $CASE_LIMIT, ten times that under TCG)
  --icount SHIFT      deterministic: an instruction takes 2^SHIFT ns (0 to 10), the seed chooses the moments of DMA; the
                      same command again gives the same run, to the last byte of the journal; implies --journal
  --journal           keep all of the device's journal in results/<time>/journal.bin; tests/rig/journal.py prints it.
                      It has 64 bytes for each access: a hammer without a limit makes gigabytes
  --trace             a timeline of each case in report.html and trace.json (for Perfetto), with what the kernel did
                      meanwhile (ftrace), on one clock; without it only of what was lost, and without the kernel
  --bisect            for "git bisect run": builds the tree of -k first, and exits 125 if that fails or it does not boot
HELP
        help_guest_options
        ;;
    shell | gdb)
        printf 'Usage: ./run.sh %s [OPTION]...\n\n' "$1"
        if [ "$1" = shell ]; then echo "An interactive guest on this terminal; Ctrl-A X ends it."
        else echo "An interactive guest that listens for gdb on port 1234; the line to paste is printed."; fi
        echo
        help_guest_options
        ;;
    bench)
        cat <<HELP
Usage: ./run.sh bench [OPTION]...

Measures the device beside other things in the same guest and the same QEMU, in turns, and prints ratios. A goal that is
missed is said, but is no error. results/last/bench.json has it all. Takes some minutes and wants an idle machine.

  --rounds N          samples of each series (default 9)
  --quick             small sizes, two rounds: shows that it works, not how fast
  --profile           instead: where QEMU's time goes, by thread and function
  --timeout S         limit of one guest in seconds (default $BENCH_LIMIT)
  -k KERNEL, --build, --qemu, --qemu-src, --smp, --memory, --append: as for run
HELP
        ;;
    fuzz)
        cat <<HELP
Usage: ./run.sh fuzz [OPTION]...

Runs the qtest and the kept inputs, then fuzzes the device, all under ASAN and UBSAN; prints what was found and the line
coverage of the device. Exits 1 for a report, or below $FUZZ_COVERAGE % of the lines.

  --time S            fuzz for so many seconds (default 60, without --runs)
  --runs N            fuzz until N inputs have been run
  --seed S            of the fuzzer's choices (default 1)
  --minimize          then put what was found into tests/fuzz/corpus, as few inputs as do
  --input FILE        run only this input, for example one that a report has saved
HELP
        ;;
    coverage)
        cat <<HELP
Usage: ./run.sh coverage [OPTION]...

Runs all scenarios on 6.12 with a counter at each place of the kernel, and of the filesystems' modules, that asks
folio_maybe_dma_pinned(), and at the functions that ask in other words or refuse longterm pins. Prints for each how many
pages, and folios of several pages, were pinned there (of functions: how many calls had that answer), in how many cases and
in which first; results/last/coverage.json has all. Exits 1 if a case failed, or if a place was missed that can be reached.

  -t, -g, --seed, --timeout, --case-limit: as for run
HELP
        help_guest_options
        ;;
    kselftest)
        cat <<HELP
Usage: ./run.sh kselftest [OPTION]...

Runs ${KSELFTESTS[*]} of the kernel's tools/testing/selftests/mm, built unchanged from Debian's linux-source-$KSELFTEST_SERIES, on any
kernel. What they read through a pin the device reads: tests/modules/pindma_gup_test.c stands in for CONFIG_GUP_TEST. Each of
their cases is one in results/last, and tests/expectations has those that an older kernel fails.

  --timeout S         total limit in seconds (default: $TOTAL_LIMIT, ten times that under TCG)
  --case-limit S      how long they may be silent, in seconds (default: $CASE_LIMIT, ten times that under TCG)
HELP
        help_guest_options
        cat <<HELP

Without the module, to see what is skipped then: --append module_blacklist=pindma_gup_test
HELP
        ;;
    lab)
        cat <<HELP
Usage: ./run.sh lab [OPTION]...

Can a fix be tested? It is taken away. Builds a 6.12 kernel with the patches of tests/lab, once (24 minutes of two slow CPUs),
whose variants are switched while it runs: bugs that were fixed, and what was proposed in place of the fixes. Prints which
scenario sees each bug and how soon, and what each proposal keeps, loses and costs. results/last/lab.json has it all.
docs/lab.md says how to add one. Exits 1 if a bug was not seen, or something was red without one.

  -t GLOB             only these variants, by name; may repeat
  --with PATCH        one more, from outside of the tree; may repeat. It costs a kernel build
  --source DIR        only unpack the source with all patches, to make one of your own
  --seeds N           rounds of each bug (default $LAB_SEEDS)
  --rounds N          samples of each cost (default $LAB_COST_ROUNDS)
  --quick             no costs
  --seed S            the first seed (default 1)
  --timeout S         limit of one guest in seconds (default: $LAB_LIMIT, ten times that under TCG)
  --case-limit S, --qemu, --qemu-src, --memory, --append: as for run

The kernel alone: ./run.sh run -k lab, or shell -k lab and then /sys/kernel/debug/pindma_lab.
HELP
        ;;
    list) printf 'Usage: ./run.sh list\n\nOne scenario a line: name, memory types, pin modes, the promise with its source, the commit that made it true,\nand where that is in 6.12. For example: ./run.sh list | grep do_wp_page\n' ;;
    report) printf 'Usage: ./run.sh report\n\nPrints the report of results/last again and exits as that run did.\n' ;;
    clean) printf 'Usage: ./run.sh clean\n\nDeletes the cache (%s) and says how much that was.\n' "$CACHE" ;;
    check)
        cat <<HELP
Usage: ./run.sh check [--full] [-t GLOB]...

The project's tests, cheap ones first; a quarter of an hour on two idle CPUs with a warm cache.
  -t GLOB   only tests whose name matches, for example 'rig: *'
  --full    more QEMUs, all scenarios behind an IOMMU, repeats, mutants, fuzzing, bench
HELP
        ;;
    esac
}

# ---------------------------------------------------------------------------------------------------------------
# Options

OPT_KERNELS=6.12 OPT_BUILD='' OPT_QEMU='' OPT_QEMU_SRC='' OPT_SMP='' OPT_MEMORY=1024 OPT_IOMMU=none
OPT_TESTS=() OPT_GROUPS=() OPT_ALL='' OPT_SEED='' OPT_REPEAT='' OPT_UNTIL_FAIL='' OPT_TIMEOUT='' OPT_CASE_LIMIT=''
OPT_ICOUNT='' OPT_STORM='' OPT_JOURNAL='' OPT_TRACE='' OPT_DEVICE='' OPT_PINNER=''
OPT_BISECT='' OPT_QUICK='' OPT_ROUNDS='' OPT_PROFILE='' OPT_DRY='' OPT_FULL='' OPT_APPEND=''
# A QEMU to use as it is; the rig's own tests need one without the device.
OPT_QEMU_BIN=${PINDMA_QEMU_BIN:-}
OPT_WITH=() OPT_SEEDS='' OPT_SOURCE=''
OPT_TIME='' OPT_RUNS='' OPT_MINIMIZE='' OPT_INPUT=''
KEEP_DISKS=

GUEST_OPTIONS=(-k --build --qemu --qemu-src --smp --memory --iommu --device --append -n)
PINNERS=(vfio uring rxe all)
RUN_OPTIONS=(-t -g --all --pinner --seed --repeat --storm --until-fail --timeout --case-limit --icount --journal --trace --bisect "${GUEST_OPTIONS[@]}")

options_of() {
    case $1 in
    run) echo "${RUN_OPTIONS[@]}" ;;
    shell | gdb) echo "${GUEST_OPTIONS[@]}" ;;
    coverage) echo -t -g --seed --timeout --case-limit "${GUEST_OPTIONS[@]}" ;;
    kselftest) echo --timeout --case-limit "${GUEST_OPTIONS[@]}" ;;
    bench) echo --quick --rounds --profile --timeout -k --build --qemu --qemu-src --smp --memory --append ;;
    lab) echo -t --with --source --seeds --rounds --quick --seed --timeout --case-limit --qemu --qemu-src --memory --append ;;
    check) echo -t --full ;;
    fuzz) echo --time --runs --seed --minimize --input ;;
    esac
}

need_number() {
    if [[ ! $2 =~ ^[1-9][0-9]{0,8}$ ]] || [ "$2" -lt "$3" ]; then
        usage_error "$1 '$2': a whole number of at least $3 is wanted."
    fi
}

parse_options() {
    local command=$1 option known value
    shift
    read -ra known <<<"$(options_of "$command")"
    while [ $# -gt 0 ]; do
        option=$1
        shift
        case $option in -h | --help) help_command "$command"; exit 0 ;; esac
        [[ " ${known[*]} " == *" $option "* ]] ||
            usage_error "$command: unknown option '$option'.$(did_you_mean "$option" "${known[@]}")"
        case $option in
        --all) OPT_ALL=1; continue ;;
        --until-fail) OPT_UNTIL_FAIL=1; continue ;;
        --bisect) OPT_BISECT=1; EXIT_RIG=125; continue ;;
        --journal) OPT_JOURNAL=1; continue ;;
        --trace) OPT_TRACE=1; continue ;;
        --full) OPT_FULL=1; continue ;;
        --quick) OPT_QUICK=1; continue ;;
        --profile) OPT_PROFILE=1; continue ;;
        -n) OPT_DRY=1; continue ;;
        --minimize) OPT_MINIMIZE=1; continue ;;
        esac
        [ $# -gt 0 ] || usage_error "$command: option '$option' wants a value."
        value=$1
        shift
        case $option in
        -k) OPT_KERNELS=$value ;;
        -t) OPT_TESTS+=("$value") ;;
        -g) OPT_GROUPS+=("$value") ;;
        --pinner) OPT_PINNER=$value
            [[ " ${PINNERS[*]} " == *" $value "* ]] ||
                usage_error "--pinner '$value': one of ${PINNERS[*]} is wanted.$(did_you_mean "$value" "${PINNERS[@]}")" ;;
        --build) OPT_BUILD=$value; [ -d "$value" ] || usage_error "--build '$value': no such directory." ;;
        --qemu) OPT_QEMU=$value; [[ $value =~ ^[0-9]+\.[0-9]+ ]] || usage_error "--qemu '$value': a version is wanted, for example 10.0." ;;
        --qemu-src) OPT_QEMU_SRC=$(realpath "$value" 2>/dev/null || echo "$value")
            [[ -f $OPT_QEMU_SRC/VERSION && -d $OPT_QEMU_SRC/hw/misc ]] ||
                usage_error "--qemu-src '$value' is not a QEMU source tree (no VERSION, no hw/misc)." ;;
        --smp) OPT_SMP=$value; need_number "$option" "$value" 2 ;;       # one CPU: device atomics would not be atomic
        --memory) OPT_MEMORY=$value; need_number "$option" "$value" 256 ;;
        --iommu) OPT_IOMMU=$value; [[ $value == intel || $value == none ]] || usage_error "--iommu '$value': intel or none." ;;
        --device) OPT_DEVICE=$value; [ -n "$value" ] || usage_error "--device '': properties are wanted, for example msix=off." ;;
        --append) OPT_APPEND=$value ;;
        --icount) OPT_ICOUNT=$value OPT_JOURNAL=1
            [[ $value =~ ^([0-9]|10)$ ]] || usage_error "--icount '$value': 0 to 10 is wanted, for example 3." ;;
        --seed) OPT_SEED=$value; [[ $value =~ ^(0x[0-9a-fA-F]+|[0-9]+)$ ]] || usage_error "--seed '$value': a number is wanted." ;;
        --repeat) OPT_REPEAT=$value; need_number "$option" "$value" 1 ;;
        --storm) OPT_STORM=$value; need_number "$option" "$value" 1 ;;
        --seeds) OPT_SEEDS=$value; need_number "$option" "$value" 1 ;;
        --source) OPT_SOURCE=$value ;;
        --with) OPT_WITH+=("$value"); [ -f "$value" ] || usage_error "--with '$value': no such file; a patch is wanted, see docs/lab.md." ;;
        --rounds) OPT_ROUNDS=$value; need_number "$option" "$value" 1 ;;
        --timeout) OPT_TIMEOUT=$value; need_number "$option" "$value" 1 ;;
        --time) OPT_TIME=$value; need_number "$option" "$value" 1 ;;
        --runs) OPT_RUNS=$value; need_number "$option" "$value" 1 ;;
        --input) OPT_INPUT=$value; [ -f "$value" ] || usage_error "--input '$value': no such file." ;;
        --case-limit) OPT_CASE_LIMIT=$value; need_number "$option" "$value" 1 ;;
        esac
    done
    [ -z "$OPT_ICOUNT" ] || [ -z "$OPT_SMP" ] ||
        usage_error "--smp $OPT_SMP: --icount is for one CPU; with more, QEMU's threads decide now and then whose turn it is."
    [ -z "$OPT_QEMU" ] || [ -z "$OPT_QEMU_SRC" ] || usage_error "--qemu and --qemu-src exclude each other."
}

# KERNELS, each checked before anything is fetched.
parse_kernels() {
    local spec
    IFS=, read -ra KERNELS <<<"$OPT_KERNELS"
    [ ${#KERNELS[@]} -gt 0 ] || usage_error "-k: a kernel is wanted."
    for spec in "${KERNELS[@]}"; do kernel_check "$spec" >/dev/null; done
}

# ---------------------------------------------------------------------------------------------------------------
# Commands

provision_kernel() {
    kernel_provision "$1"
    modules_provision
    image_provision
    [ "$VM_MODE" != kselftest ] || kselftest_image_provision
}

provision() {
    deps_install "building and running" "${DEPS_RUN[@]}"
    qemu_provision
    firmware_provision
    runner_provision
    [ "$VM_MODE" != kselftest ] || kselftest_provision
}

# What options choose of the scenarios, as the runner's ARGUMENTS.
choose_scenarios() {
    local spec
    scenarios_check
    scenarios_pinner
    scenarios_disks
    ARGUMENTS=()
    [ -z "$OPT_PINNER" ] || ARGUMENTS+=(--pinner "$OPT_PINNER")
    [ -z "$OPT_ALL" ] || ARGUMENTS+=(--all)
    for spec in "${OPT_TESTS[@]}"; do ARGUMENTS+=(-t "$spec"); done
    for spec in "${OPT_GROUPS[@]}"; do ARGUMENTS+=(-g "$spec"); done
    [ -z "$OPT_SEED" ] || ARGUMENTS+=(--seed "$OPT_SEED")
}

cmd_run() {
    parse_options run "$@"
    parse_kernels
    choose_scenarios
    [ -z "$OPT_REPEAT" ] || ARGUMENTS+=(--repeat "$OPT_REPEAT")
    [ -z "$OPT_STORM" ] || ARGUMENTS+=(--storm "$OPT_STORM")
    [ -z "$OPT_UNTIL_FAIL" ] || ARGUMENTS+=(--until-fail)
    [ -z "$OPT_TRACE" ] || ARGUMENTS+=(--trace)
    run_kernels "${ARGUMENTS[@]}"
}

cmd_coverage() {
    local code=0
    parse_options coverage "$@"
    parse_kernels
    [ ${#KERNELS[@]} -eq 1 ] || usage_error "coverage: one kernel at a time."
    [ ${#OPT_TESTS[@]} -gt 0 ] || [ ${#OPT_GROUPS[@]} -gt 0 ] || OPT_ALL=1
    choose_scenarios
    (run_kernels --coverage "${ARGUMENTS[@]}") || code=$?
    [ "$code" -le 1 ] && [ -z "$OPT_DRY" ] || exit "$code"
    python3 -B "$ROOT/tests/rig/asked.py" "$RESULTS_ROOT/last" || code=1
    exit "$code"
}

# run_kernels RUNNER-ARGUMENT...: set up, boot each of KERNELS, report.
run_kernels() {
    local out dir dirs=() spec index=0
    if [ -n "$OPT_DRY" ]; then dry_run; return; fi

    cache_lock
    provision
    disks_provision
    disks_attach
    pinner_attach
    results_directory
    out=$RESULTS
    for spec in "${KERNELS[@]}"; do
        provision_kernel "$spec"
        vm_accel
        dir=$out
        [ ${#KERNELS[@]} -eq 1 ] || { index=$((index + 1)); dir=$out/$index-$KERNEL_RELEASE; mkdir -p "$dir"; }
        vm_save "$dir"
        dirs+=("$dir")
    done
    cache_unlock

    results_info "$out"
    boot_kernels "$@"
    RUN_DIRS=()
    for dir in "${dirs[@]}"; do
        [ ! -e "$dir/vm.sh" ] || rm "$dir/vm.sh"
        if [ -e "$dir/vm.json" ]; then RUN_DIRS+=("$dir")
        elif [ "$VM_CODE" -ne 130 ]; then die "$EXIT_RIG" "the VM runner failed, see above; results: $out"; fi
    done
    results_finish "$out"
}

# boot_kernels RUNNER-ARGUMENT...: each of KERNELS in its of run_kernels' dirs, as many beside each other as there is room for.
boot_kernels() {
    local index queue=("${!dirs[@]}") room=1
    [ ${#queue[@]} -eq 1 ] || room=$(vm_room)
    [ "$room" -le 1 ] || LIVE=
    while [ ${#queue[@]} -gt 0 ] || [ ${#VM_RUNNING[@]} -gt 0 ]; do
        if [ ${#queue[@]} -gt 0 ] && { [ ${#VM_RUNNING[@]} -lt "$room" ] || [ ${#VM_RUNNING[@]} -eq 0 ]; }; then
            index=${queue[0]} queue=("${queue[@]:1}")
            vm_restore "${dirs[index]}"
            vm_start "${dirs[index]}" "${KERNELS[index]}" "$@"
            continue
        fi
        vm_wait
        if [ "$VM_CODE" -eq 130 ]; then queue=()
        elif vm_lost_to_int3 "$VM_DIR"; then
            for index in "${!dirs[@]}"; do [ "${dirs[index]}" != "$VM_DIR" ] || queue+=("$index"); done
        fi
    done
}

# The command line with what is known: a cold cache has no paths yet, and nothing has measured the TSC.
dry_run() {
    local spec pin
    ACCEL=tcg FIRMWARE_DIRS=("$CACHE/packages/firmware/usr/share/seabios" "$CACHE/packages/firmware/usr/share/qemu")
    QEMU_BIN=${OPT_QEMU_BIN:-qemu-system-x86_64}
    disks_attach
    pinner_attach
    for spec in "${KERNELS[@]}"; do
        KERNEL_IMAGE=vmlinuz-$spec
        pin=$CACHE/kernels/stock-$spec
        if [ -s "$pin" ]; then KERNEL_IMAGE=$CACHE/kernels/$(cat "$pin")/boot/vmlinuz-$(cat "$pin"); fi
        [ ! -f "$spec" ] || KERNEL_IMAGE=$spec
        [ ! -d "$spec" ] || KERNEL_IMAGE=$spec/arch/x86/boot/bzImage
        vm_command initrd file:console.log
        vm_print
    done
}

results_directory() {
    mkdir -p "$RESULTS_ROOT" 2>/dev/null || die "$EXIT_RIG" "cannot make the results directory $RESULTS_ROOT; set PINDMA_RESULTS."
    RESULTS=$RESULTS_ROOT/$(date +%Y%m%d-%H%M%S)
    while [ -e "$RESULTS" ]; do RESULTS+=+; done
    mkdir "$RESULTS" 2>/dev/null || die "$EXIT_RIG" "cannot make the results directory $RESULTS; set PINDMA_RESULTS."
}

# guest_options: what makes it another guest, for the command that repeats a case.
guest_options() {
    [ "$OPT_IOMMU" = none ] || printf ' --iommu %q' "$OPT_IOMMU"
    [ -z "$OPT_DEVICE" ] || printf ' --device %q' "$OPT_DEVICE"
    [ -z "$OPT_APPEND" ] || printf ' --append %q' "$OPT_APPEND"
}

results_info() {
    python3 - "$1/run.json" "$COMMAND_LINE" "$QEMU_NAME" "$OPT_SEED" "$OPT_BISECT" "$(guest_options)" <<'PYTHON'
import json, sys, time
path, command, qemu, seed, bisect, options = sys.argv[1:]
json.dump({"command": command, "qemu": qemu, "seed": seed or None, "bisect": bool(bisect), "options": options,
           "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}, open(path, "w"))
PYTHON
}

# The files, the link to the newest, the report; its last line is the verdict.
results_finish() {
    local code=0
    python3 -B "$ROOT/tests/rig/report.py" write "$1" "${RUN_DIRS[@]}" ||
        die "$EXIT_RIG" "the results could not be written to $1"
    ln -sfnT "${1##*/}" "$RESULTS_ROOT/last"
    python3 -B "$ROOT/tests/rig/report.py" print "$1" || code=$?
    exit "$code"
}

cmd_list() {
    parse_options list "$@"
    deps_install "the test runner" gcc libc6-dev make zlib1g-dev liburing-dev libibverbs-dev
    cache_lock
    runner_provision
    cache_unlock
    "$RUNNER" --list
}

cmd_interactive() {
    local mode=$1 dir extra=()
    shift
    parse_options "$mode" "$@"
    parse_kernels
    [ ${#KERNELS[@]} -eq 1 ] || usage_error "$mode: one kernel at a time."
    if [ -n "$OPT_DRY" ]; then dry_run; return; fi
    cache_lock
    provision
    disks_provision
    disks_attach
    provision_kernel "${KERNELS[0]}"
    vm_accel
    cache_unlock
    results_directory
    dir=$RESULTS
    image_with_job "$IMAGE" shell "$dir/initrd"
    vm_command initrd mon:stdio
    if [ "$mode" = gdb ]; then
        extra=(-s)
        say "In another terminal:" "    gdb $([ ! -f "$KERNEL_BUILD/vmlinux" ] || [ -n "$KERNEL_ROOT" ] || echo "$KERNEL_BUILD/vmlinux ")-ex 'target remote localhost:1234'"
        QEMU_COMMAND=("${QEMU_COMMAND[@]/panic=-1/nokaslr panic=-1}")
    fi
    cd "$dir"
    exec "${QEMU_COMMAND[@]}" "${extra[@]}"
}

cmd_fuzz() {
    parse_options fuzz "$@"
    fuzz_main
}

cmd_report() {
    parse_options report "$@"
    if [ -e "$RESULTS_ROOT/last/lab.json" ]; then
        lab_py print "$(realpath "$RESULTS_ROOT/last")"
        return
    fi
    if [ -e "$RESULTS_ROOT/last/bench.json" ]; then
        python3 "$ROOT/tests/bench/report.py" print "$(realpath "$RESULTS_ROOT/last")" || exit "$EXIT_RIG"
        return
    fi
    [ -e "$RESULTS_ROOT/last/summary.json" ] || die "$EXIT_RIG" "there is no run to report yet."
    python3 -B "$ROOT/tests/rig/report.py" print "$(realpath "$RESULTS_ROOT/last")"
}

cmd_clean() {
    local size
    parse_options clean "$@"
    [ -d "$CACHE" ] || { say "The cache $CACHE does not exist: nothing to do."; return; }
    [ -e "$CACHE/lock" ] || die "$EXIT_RIG" "$CACHE does not look like pindma's cache; nothing was removed."
    cache_lock
    size=$(du -sh "$CACHE" | cut -f1)
    (cd "$CACHE" && du -sh -- */ | sort -rh | head -n 20) >&2
    (cd "$CACHE" && rm -rf -- apt packages qemu kernels modules runner images disks kvm log tmp check)
    say "Removed $size from $CACHE."
}

cmd_check() {
    parse_options check "$@"
    # shellcheck source-path=SCRIPTDIR
    . "$ROOT/tests/rig/check.sh"
    check_main
}

main() {
    local command=${1:-run}
    case $command in
    -h | --help | help) help_main; return ;;
    -*) command=run ;;
    *) [ $# -eq 0 ] || shift ;;
    esac
    case $command in
    run) cmd_run "$@" ;;
    list) cmd_list "$@" ;;
    shell | gdb) cmd_interactive "$command" "$@" ;;
    bench) cmd_bench "$@" ;;
    fuzz) cmd_fuzz "$@" ;;
    coverage) cmd_coverage "$@" ;;
    kselftest) cmd_kselftest "$@" ;;
    lab) cmd_lab "$@" ;;
    report) cmd_report "$@" ;;
    clean) cmd_clean "$@" ;;
    check) cmd_check "$@" ;;
    *) usage_error "unknown command '$command'.$(did_you_mean "$command" "${COMMANDS[@]}")" ;;
    esac
}

main "$@"
