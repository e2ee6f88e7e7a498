# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# "./run.sh check": the project's tests, cheap ones first. A check is a function; it passes with 0, is skipped with 77
# (the reason is the last line it prints) and fails otherwise. Last line: N passed, N failed, N skipped.

# shellcheck source-path=SCRIPTDIR
. "$ROOT/tests/rig/known_outcomes.sh"
# shellcheck source-path=SCRIPTDIR
. "$ROOT/tests/rig/boots.sh"

CHECK_PASSED=0 CHECK_FAILED=0 CHECK_SKIPPED=0
SKIP=77

# check NAME FUNCTION [ARGUMENT]...
check() {
    local name=$1 start=$SECONDS rc=0 log took glob wanted=''
    [ ${#OPT_TESTS[@]} -gt 0 ] || wanted=1
    # shellcheck disable=SC2053 # a glob is what was given
    for glob in "${OPT_TESTS[@]}"; do if [[ $name == $glob ]]; then wanted=1; fi; done
    [ -n "$wanted" ] || return 0
    log=$CACHE/check/${name//[^a-zA-Z0-9.]/_}.log
    shift
    [ -z "$LIVE" ] || printf '\r\033[K%s ...' "$name" >&2
    set -m
    (set -euo pipefail; "$@") >"$log" 2>&1 </dev/null &
    STEP_PID=$!
    set +m
    wait "$STEP_PID" || rc=$?
    STEP_PID=
    took=$((SECONDS - start))
    [ -z "$LIVE" ] || printf '\r\033[K' >&2
    case $rc in
    0) echo "ok $name ($took s)"; CHECK_PASSED=$((CHECK_PASSED + 1)) ;;
    "$SKIP") echo "ok $name # SKIP $(tail -n 1 "$log")"; CHECK_SKIPPED=$((CHECK_SKIPPED + 1)) ;;
    *)
        echo "not ok $name ($took s); $log ends:"
        tail -n 30 "$log" | cut -c1-200 | sed 's/^/    /'
        CHECK_FAILED=$((CHECK_FAILED + 1))
        ;;
    esac
}

skip() { echo "$*"; exit "$SKIP"; }

# ---------------------------------------------------------------------------------------------------------------
# Sources

check_shellcheck() {
    cd "$ROOT"
    shellcheck -x run.sh
    shellcheck .ci/run images/init
    find tests -name '*.sh' ! -path 'tests/rig/*' -print0 | xargs -0r shellcheck
}

check_python() { find "$ROOT/tests" -name '*.py' -print0 | PYTHONPYCACHEPREFIX=$CACHE/check xargs -0 python3 -m py_compile; }

# Every file says its licence; nothing in the tree knows a package mirror.
check_tree() {
    local bad=0 file
    cd "$ROOT"
    while read -r file; do
        case $file in LICENSE* | *.md | */expectations | *.patch | tests/fuzz/corpus/*) continue ;; esac
        head -n 60 "$file" | grep -q SPDX-License-Identifier || { echo "no SPDX line: $file"; bad=1; }
    done < <(git ls-files 2>/dev/null || find . -name results -prune -o -type f -print)
    if grep -rnE '(deb|ftp|security)\.[a-z.]*debian\.(org|net)' run.sh images tests qemu guest --include='*' | grep -v 'check\.sh:'; then
        echo "a mirror's host name is in the tree"
        bad=1
    fi
    return "$bad"
}

# QEMU's rules for what would go into QEMU, from the source that the device is built in.
check_qemu_style() {
    local file
    # Relative names: the rules for tests/ are not those for hw/. It exits 1 for warnings, too.
    cd "$ROOT/qemu"
    for file in $(find ./* -name '*.[ch]' | sed 's,^./,,'); do
        perl "$QEMU_BASE/pristine/scripts/checkpatch.pl" --no-tree --no-signoff --terse -f "$file" || true
    done | tee "$CACHE/check/checkpatch"
    ! grep 'ERROR:' "$CACHE/check/checkpatch" >/dev/null
}

# One patch for all versions, where each hunk finds its context as it is: what needs fuzz may land in a wrong place.
check_patch() {
    local source
    for source in "$CACHE"/qemu/*/pristine; do
        echo "== $source"
        patch -d "$source" -p1 -F0 --dry-run <"$ROOT/qemu/meson.build.patch"
    done
}

# The kernel's rules for the driver. No small package has its checkpatch.pl, so only --full looks.
kernel_checkpatch() {
    local source=$CACHE/tmp/linux-source tool=$CACHE/packages/kernel-checkpatch
    if [ ! -d "$tool" ]; then
        apt_set "$(kernel_set 6.12)"
        apt_unpack "$(kernel_set 6.12)" "$source" linux-source-6.12
        rm -rf "$CACHE/tmp/checkpatch" && mkdir "$CACHE/tmp/checkpatch"
        tar -C "$CACHE/tmp/checkpatch" -xf "$source/usr/src/linux-source-6.12.tar.xz" --strip-components=2 \
            --occurrence=1 linux-source-6.12/scripts/checkpatch.pl
        rm -rf "$source"
        in_place "$CACHE/tmp/checkpatch" "$tool"
    fi
    # Kernel versions are compared where they have to be: in the compat header, and in a module that needs it.
    perl "$tool/checkpatch.pl" --no-tree --no-summary --terse --ignore LINUX_VERSION_CODE,CONSTANT_COMPARISON "$@"
}

check_kernel_style() {
    cd "$ROOT"
    kernel_checkpatch -f guest/*.[ch] guest/uapi/linux/*.h guest/userlib/*.[ch] guest/userlib/examples/*.c guest/userlib/include/*.h tests/modules/*.c
}

# ---------------------------------------------------------------------------------------------------------------
# Builds

# Warnings are errors for our files only; other people's code is other people's.
check_qemu_warnings() {
    python3 - "$QEMU_BASE/build/compile_commands.json" <<'PYTHON'
import json, shlex, subprocess, sys
seen = failed = 0
for entry in json.load(open(sys.argv[1])):
    if "pindma" not in entry["file"]:
        continue
    seen += 1
    words = [w for w in shlex.split(entry["command"])]
    cut = words.index("-o")
    del words[cut:cut + 2]
    result = subprocess.run(words + ["-Werror", "-fsyntax-only"], cwd=entry["directory"])
    print(entry["file"], "ok" if result.returncode == 0 else "FAILED")
    failed += result.returncode != 0
sys.exit(1 if failed or not seen else 0)
PYTHON
}

check_qtest() {
    [ -e "$ROOT/qemu/tests/qtest/pindma-test.c" ] || skip "no qtest"
    cache_lock
    qemu_ninja "$QEMU_BASE" tests/qtest/pindma-test
    cache_unlock
    cd "$QEMU_BASE/build"
    # QEMU looks for its firmware next to itself; the program from the cache is the one that the runs use.
    printf '#!/bin/sh\nexec %q -L %q -L %q "$@"\n' "$QEMU_BIN" "${FIRMWARE_DIRS[@]}" >"$CACHE/check/qemu-system-x86_64"
    chmod +x "$CACHE/check/qemu-system-x86_64"
    QTEST_QEMU_BINARY=$CACHE/check/qemu-system-x86_64 timeout 300 tests/qtest/pindma-test --tap
}

# Another QEMU, with all that is checked with the machine's own.
check_qemu_version() {
    OPT_QEMU=$1
    (cache_lock; qemu_source) || skip "no source of QEMU $1 here; sid, for one, has only the newest ones"
    cache_lock
    qemu_provision
    qemu_source
    cache_unlock
    check_qemu_style
    check_qtest
    check_qemu_warnings
}

# A QEMU that our files must compile with. Most of the time would go into the rest of it, which is not built.
check_qemu_compiles() {
    OPT_QEMU=$1
    (cache_lock; qemu_source) || skip "no source of QEMU $1 here; sid, for one, has only the newest ones"
    cache_lock
    qemu_source
    qemu_ninja_objects "$QEMU_BASE"
    cache_unlock
    check_qemu_style
    check_qemu_warnings
}

# The judge of disks after a power cut: it finds what is wrong with one block, and nothing where nothing is.
check_disk_judge() {
    PYTHONPATH=$ROOT/tests/rig python3 -B - "$CACHE/check/disk" <<'PYTHON'
import disk, struct, sys, zlib
TOKEN = 0x123456789abcdef

def block(stamp, index, number, spoil=b"\0"):
    body = struct.pack("<3Q", TOKEN, index, number) + bytes(507 * 8)
    return struct.pack("<Q", stamp) + body[:-1] + spoil + struct.pack("<Q", zlib.crc32(body))

good = [bytes(disk.BLOCK)] * 3 + [block(100 + i, i, 8) for i in range(16)] + [block(999, 5, 7)]
for replaced, count, word in ((None, 0, "none"), (block(99, 4, 8), 1, "1 older than"), (block(200, 4, 7), 1, "1 not of round 8"),
                              (block(200, 4, 8, b"x"), 1, "1 torn"), (bytes(disk.BLOCK), 1, "1 not on the disk")):
    blocks = list(good)
    if replaced:
        blocks[3 + 4] = replaced
    with open(sys.argv[1], "wb") as image:
        image.write(b"".join(blocks) + bytes(disk.BLOCK) * 16)
    bad, said = disk.look(sys.argv[1], TOKEN, 16, 8, 100)
    print(bad, said)
    assert bad == count and word in said[0]
PYTHON
}

check_fuzz() { PINDMA_RESULTS=$CACHE/check/results "$ROOT/run.sh" fuzz --time 60; }

# No warning in our files with W=1 and sparse; what the kernel's headers say is not ours.
check_modules() {
    local dir=$CACHE/check/modules-$1
    kernel_provision "$1"
    rm -rf "$dir"
    modules_copy "$dir"
    modules_make "$dir" W=1 C=2 2>&1 | tee "$dir/log"
    if grep -E "$dir/(guest|tests)/.*(warning|error):|^(\.\./)*(guest|tests)/.*(warning|error):" "$dir/log"; then return 1; fi
    rm -rf "$dir"
}

check_host_tests() {
    make -C "$ROOT/tests" O="$CACHE/check/tests" check
}

check_run() { PINDMA_RESULTS=$CACHE/check/results "$ROOT/run.sh" run "$@"; }

# In no preset: they are about the driver's errors, in numbers that fit here. README has those that find what is rare.
UNDER_STRESS=(-t 'storm.*' -t 'failnth.*' -t 'fuzz.*')

# KASAN, lockdep, dma-debug, kmemleak and failures of every kind. The kernel is built the first time, which takes half an hour.
check_debug() { check_run -k debug --timeout 6000 --case-limit 720 "$@"; }

# It fails if a place that can be reached was not.
check_coverage() { PINDMA_RESULTS=$CACHE/check/results "$ROOT/run.sh" coverage; }

check_mutants() {
    [ -x "$ROOT/tests/mutants/run.sh" ] || skip "no mutants"
    "$ROOT/tests/mutants/run.sh"
}

# They are patches of what changes all the time. To see it red: rename a variable that one of them has in its context.
check_mutants_apply() {
    local patch code=0
    for patch in "$ROOT"/tests/mutants/*.patch; do
        patch -s --dry-run -d "$ROOT" -p1 -F0 <"$patch" || { echo "$patch does not apply"; code=1; }
    done
    return "$code"
}

# The same scenarios again and again: the verdicts of all repeats are those of the first round.
check_repeats() {
    check_run "$@"
    python3 - "$CACHE/check/results/last/summary.json" <<'PYTHON'
import json, re, sys
seen, bad = {}, 0
for case in json.load(open(sys.argv[1]))["cases"]:
    name = (re.sub(r"/r\d+$", "", case["name"]), case["kernel"])
    if seen.setdefault(name, case["verdict"]) != case["verdict"]:
        print("differs:", case["name"], case["verdict"], "first:", seen[name])
        bad = 1
sys.exit(bad)
PYTHON
}

# What the device must read it reads: no case is skipped for want of gup_test. Red without the module, for example with
# --append module_blacklist=pindma_gup_test; tests/mutants/get-for-gup-test.patch shows that the reads matter.
check_kselftest() {
    PINDMA_RESULTS=$CACHE/check/results "$ROOT/run.sh" kselftest
    python3 - "$CACHE/check/results/last/summary.json" <<'PYTHON'
import json, sys
cases = {case["name"]: case for case in json.load(open(sys.argv[1]))["cases"]}
assert not [case for case in cases.values() if "gup_test" in case["reason"]]
assert cases["kselftest.cow/ro_gup_pin_on_ro_mapped_shared_page/base_page"]["verdict"] == "ok"
assert "the device reads" in cases["kselftest.cow"]["evidence"][0]
PYTHON
}

# The headers of the lab's patches are whole, and name cases that there are. Red without a "Switch:", or with a case misspelt.
check_lab_headers() {
    lab_py names "${LAB_PATCHES[@]}"
    lab_cases
}

# Some bugs are seen when they are back, each by the scenario that names its commit, and two proposals are told from what
# Linux does. Red with a switch that is not asked: in tests/lab/01-no_early_copy_pte.patch without its first hunk.
check_lab() {
    PINDMA_RESULTS=$CACHE/check/results "$ROOT/run.sh" lab --quick --seeds 1 -t 'no_early_copy_*' -t no_unshare -t no_anon_exclusive \
        -t reclaim_private -t mapcount_not_one -t keep_pinned_dirty
    python3 - "$CACHE/check/results/last/lab.json" <<'PYTHON'
import json, sys
lab = json.load(open(sys.argv[1]))
assert len(lab["detection"]) == 6 and all(row["red"] for row in lab["detection"].values())
assert "fork.shared_references" in lab["fixes"]["mapcount_not_one"]["scenarios"]
assert "lab.false_positive" in lab["fixes"]["mapcount_not_one"]["breaks"]
assert "writeback.fsync_pinned/ext4/pin" in lab["fixes"]["keep_pinned_dirty"]["fixes"]
PYTHON
}

# Small sizes, two rounds: nothing is fast, but everything is measured. Red if a series of tests/bench is not sampled.
check_bench() {
    PINDMA_RESULTS=$CACHE/check/results "$ROOT/run.sh" bench --quick
    python3 - "$CACHE/check/results/last/bench.json" <<'PYTHON'
import json, sys
bench = json.load(open(sys.argv[1]))
for key in ("write_vs_memcpy", "read_vs_memcpy", "copy_vs_memcpy", "stamp_pages_per_s", "ops_vs_nvme_512", "ops_vs_nvme_4k",
            "ops_vs_rxe", "latency_vs_nvme", "iommu_cost"):
    assert bench[key] > 0, key
assert bench["slowdown_1m"] < 1 and bench["edu"]["ops_per_s"] > 0 and not bench["errors"]
PYTHON
}

# ---------------------------------------------------------------------------------------------------------------

check_main() {
    local kernel kernels=(5.10 7.2 6.1 6.12) lock start=$SECONDS
    deps_install "building and running" "${DEPS_RUN[@]}"
    deps_install "checking" "${DEPS_CHECK[@]}"
    [ -z "$OPT_FULL" ] || deps_install "looking at the report" "${DEPS_BROWSER[@]}"
    cache_lock
    # Its logs are in one place, which a second check would empty under it.
    exec {lock}>"$CACHE/check.lock"
    flock -n "$lock" || die "$EXIT_USAGE" "another ./run.sh check uses the cache $CACHE: wait for it, or set PINDMA_CACHE"
    rm -rf "$CACHE/check" && mkdir -p "$CACHE/check"
    provision
    qemu_source         # a finished program needs no source, its checks do
    for kernel in "${kernels[@]}"; do provision_kernel "$kernel"; done
    cache_unlock

    check "shellcheck" check_shellcheck
    check "python syntax" check_python
    check "licences, no mirror named" check_tree
    check "mutants apply" check_mutants_apply
    check "QEMU checkpatch" check_qemu_style
    check "host tests" check_host_tests
    check "power cut: the judge of disks" check_disk_judge
    check "lab: headers of the patches" check_lab_headers
    for kernel in "${kernels[@]}"; do check "modules $kernel, W=1 C=2" check_modules "$kernel"; done
    check "qtest" check_qtest
    check "QEMU files without warnings" check_qemu_warnings
    known_outcomes
    check "quick preset on 6.12, 5.10 and 7.2" check_run -k 6.12,5.10,7.2
    check "all scenarios on 6.1 and 6.12" check_run --all -k 6.1,6.12
    check "device-exclusive access on 7.2" check_run -k 7.2 -g exclusive
    check "storms, failing allocations, any ioctl" check_run "${UNDER_STRESS[@]}"
    boots
    if [ -n "$OPT_FULL" ]; then
        check "kernel checkpatch" check_kernel_style
        check "rig: report in a browser" outcome_browser
        check "rig: an exact kernel" outcome_exact_kernel
        check "fuzz: 60 s, and coverage" check_fuzz
        check "QEMU 10.0: checkpatch, qtest, no warnings" check_qemu_version 10.0
        check "QEMU 10.2: checkpatch, no warnings" check_qemu_compiles 10.2
        check "QEMU patch without fuzz" check_patch
        check "all scenarios on 5.10 and 7.2" check_run --all -k 5.10,7.2
        check "all scenarios with intel-iommu" check_run --all --iommu intel
        check "fork, five times" check_repeats -g fork --repeat 5
        check "the kernel's own tests on 6.12" check_kselftest
        check "bench" check_bench
        check "lab: bugs and proposals" check_lab
        check "coverage of the kernel" check_coverage
        check "the driver on the debug kernel" check_debug -g driver
        check "the same under stress" check_debug "${UNDER_STRESS[@]}"
        check "mutants" check_mutants
    fi
    say "$((SECONDS - start)) s; logs: $CACHE/check"
    echo "$CHECK_PASSED passed, $CHECK_FAILED failed, $CHECK_SKIPPED skipped"
    [ "$CHECK_FAILED" -eq 0 ]
}
