# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# "./run.sh fuzz": the device in QEMU's generic fuzzer under ASAN and UBSAN, and how much of its code is covered.
#
#   cache/qemu/<name>/build-fuzz    one build for all of it: sanitizers everywhere, coverage in the device's own files
#   cache/qemu/fuzz/<key>/          its programs, ready to run; the key covers source, qemu/ and flags
#   tests/fuzz/seeds.py             writes what the fuzzer starts with; tests/fuzz/corpus is what it found from there

# From 8.0 on the fuzzer resets the machine after an input; before, it forked, which is slow and loses the coverage.
FUZZ_QEMU=10.0
FUZZ_TARGET=generic-fuzz-pindma
FUZZ_COVERAGE=90        # percent of the device's lines, at least

# One input may take so many seconds, under sanitizers and beside other work; more is a hang, and reported.
FUZZ_INPUT_LIMIT=30
FUZZ_OPTIONS=(--fuzz-target="$FUZZ_TARGET" -timeout="$FUZZ_INPUT_LIMIT" -max_len=4096)

# What counts as news for the fuzzer: paths in the device and in what it leans on, not in the rest of the machine.
FUZZ_FILTER=('src:*/hw/misc/pindma*' 'src:*/hw/pci/*' 'src:*/tests/qtest/fuzz/fuzz.c' 'fun:*')
FUZZ_PROFILE=('src:*/hw/misc/pindma*')

# fuzz_flags BASE: one flag a line.
fuzz_flags() {
    printf '%s\n' --cc=clang --enable-fuzzing --enable-asan --enable-ubsan \
        "--extra-cflags=-fprofile-instr-generate -fcoverage-mapping -fprofile-list=$1/profile-list" \
        --extra-ldflags=-fprofile-instr-generate
}

# fuzz_environment PROFILE: coverage goes to that file. By itself UBSAN would only print and go on.
fuzz_environment() {
    export LLVM_PROFILE_FILE=$1 ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
}

fuzz_build() {
    local base=$1 into=$2 build=$1/build-fuzz bundle flags dir
    qemu_environment
    fuzz_environment /dev/null
    qemu_overlay "$base"
    mapfile -t flags < <(fuzz_flags "$base")
    if [ "$(cat "$build/configured" 2>/dev/null)" != "${flags[*]}" ]; then
        printf '%s\n' "${FUZZ_PROFILE[@]}" >"$base/profile-list"
        qemu_configure "$base" build-fuzz "${flags[@]}"
        printf '%s\n' "${flags[*]}" >"$build/configured"
    fi
    cd "$build"
    # Meson puts QEMU's own filter there whenever it runs.
    nice ninja build.ninja
    printf '%s\n' "${FUZZ_FILTER[@]}" >instrumentation-filter
    nice ninja qemu-fuzz-x86_64 qemu-system-x86_64 tests/qtest/pindma-test

    # Links: a later build makes new files. QEMU looks for its firmware in a tree like this beside the program.
    rm -rf "$CACHE/tmp/fuzz"
    bundle=$CACHE/tmp/fuzz/qemu-bundle/usr/local/share/qemu
    mkdir -p "$bundle"
    ln qemu-fuzz-x86_64 qemu-system-x86_64 tests/qtest/pindma-test "$CACHE/tmp/fuzz/"
    for dir in "${FIRMWARE_DIRS[@]}"; do ln -sf "$dir"/*.bin "$bundle/"; done
    rm -rf "$CACHE/qemu/fuzz"
    in_place "$CACHE/tmp/fuzz" "$into"
}

# fuzz_provision: FUZZ_DIR with the three programs.
fuzz_provision() {
    local key
    deps_install "building and running" "${DEPS_RUN[@]}"
    deps_install "fuzzing" "${DEPS_FUZZ[@]}"
    firmware_provision
    OPT_QEMU=$FUZZ_QEMU
    qemu_source
    key=$(hash_text "$QEMU_STATE" "$(hash_of qemu)" "${QEMU_FLAGS[*]}" "$(fuzz_flags '')" "${FUZZ_FILTER[@]}" "${FUZZ_PROFILE[@]}")
    FUZZ_DIR=$CACHE/qemu/fuzz/$key
    if [ ! -d "$FUZZ_DIR" ]; then
        cache_need 4000 "QEMU with sanitizers"
        step fuzz-build "Building QEMU $QEMU_NAME for the fuzzer" fuzz_build "$QEMU_BASE" "$FUZZ_DIR"
    fi
}

# fuzz_job LABEL LOG COMMAND...: its exit code. A process group of its own, so that Ctrl-C ends all of it.
fuzz_job() {
    local label=$1 log=$2 start=$SECONDS rc=0
    shift 2
    [ -n "$LIVE" ] || say "$label ..."
    set -m
    "$@" >"$log" 2>&1 </dev/null &
    STEP_PID=$!
    set +m
    while kill -0 "$STEP_PID" 2>/dev/null; do
        [ -z "$LIVE" ] || printf '\r\033[K%s ... %d s %s' "$label" "$((SECONDS - start))" "$(fuzz_position "$log")" >&2
        sleep 0.2
    done
    wait "$STEP_PID" || rc=$?
    STEP_PID=
    [ -z "$LIVE" ] || printf '\r\033[K' >&2
    return "$rc"
}

# How many inputs it has tried, or the test that it is at.
fuzz_position() { tail -c 2000 "$1" | grep -oE '^(#[0-9]+|ok [0-9]+)' | tail -n 1 || true; }

fuzz_qtest() {
    QTEST_QEMU_BINARY=$FUZZ_DIR/qemu-system-x86_64 timeout --foreground 900 "$FUZZ_DIR/pindma-test" --tap
}

# What makes a report is saved beside the log.
fuzz_run() { nice "$FUZZ_DIR/qemu-fuzz-x86_64" "${FUZZ_OPTIONS[@]}" -artifact_prefix="$RESULTS/" "$@"; }

fuzz_main() {
    local corpus=$ROOT/tests/fuzz/corpus seeds found limits=()
    cache_lock
    fuzz_provision
    cache_unlock
    results_directory
    seeds=$RESULTS/seeds found=$RESULTS/found
    mkdir -p "$corpus" "$seeds" "$found"

    if [ -n "$OPT_INPUT" ]; then
        fuzz_environment /dev/null
        fuzz_job "Running $OPT_INPUT" "$RESULTS/input.log" fuzz_run "$OPT_INPUT" || fuzz_failed "$RESULTS/input.log"
        echo "PASSED: no report for $OPT_INPUT"
        return
    fi

    fuzz_environment "$RESULTS/qtest-%m.profraw"
    fuzz_job "qtest" "$RESULTS/qtest.log" fuzz_qtest || fuzz_failed "$RESULTS/qtest.log"
    echo "qtest: $(grep -c '^ok ' "$RESULTS/qtest.log") tests, under ASAN and UBSAN"

    fuzz_environment /dev/null
    python3 "$ROOT/tests/fuzz/seeds.py" "$ROOT/qemu/include/hw/misc/pindma_regs.h" "$seeds" ||
        die "$EXIT_RIG" "tests/fuzz/seeds.py does not fit the register header, see above."
    [ -z "$OPT_RUNS" ] || limits+=(-runs="$OPT_RUNS")
    [ -z "$OPT_TIME" ] || limits+=(-max_total_time="$OPT_TIME")
    [ ${#limits[@]} -gt 0 ] || limits=(-max_total_time=60)
    fuzz_job "Fuzzing" "$RESULTS/fuzz.log" fuzz_run -seed="${OPT_SEED:-1}" "${limits[@]}" -print_final_stats=1 \
        "$found" "$seeds" "$corpus" || fuzz_failed "$RESULTS/fuzz.log"
    echo "fuzz: $(fuzz_number number_of_executed_units) executions, $(fuzz_number average_exec_per_sec) a second," \
        "$(fuzz_files "$found") new inputs, 0 reports"

    [ -z "$OPT_MINIMIZE" ] || fuzz_minimize "$seeds" "$corpus" "$found"
    fuzz_environment "$RESULTS/corpus-%m.profraw"
    fuzz_job "Corpus" "$RESULTS/corpus.log" fuzz_run -runs=0 "$seeds" "$corpus" || fuzz_failed "$RESULTS/corpus.log"
    echo "corpus: $(fuzz_files "$seeds") seeds and $(fuzz_files "$corpus") inputs that were kept"
    fuzz_coverage
}

fuzz_files() { find "$1" -type f | wc -l; }

# From the statistics that the fuzzer prints at its end.
fuzz_number() { sed -n "s/^stat::$1: *//p" "$RESULTS/fuzz.log" | tail -n 1; }

# fuzz_failed LOG: what was found, and how to see it again.
fuzz_failed() {
    local log=$1 input
    echo "---- from $log:"
    { grep -nE 'ERROR: |runtime error: |^not ok|Bail out|Assertion' "$log" || true; } | sed -n 1,5p | cut -c1-200
    { grep -E '^ *#[0-9]+ 0x' "$log" || true; } | sed -n 1,25p | cut -c1-200
    echo "----"
    input=$(find "$RESULTS" -maxdepth 1 -regex '.*/\(crash\|timeout\|oom\)-[0-9a-f]+' | sed -n 1p)
    if [ -n "$input" ]; then
        echo "To see it again: ./run.sh fuzz --input $input"
        echo "If it is quiet alone, inputs before it matter; $COMMAND_LINE tries the same ones in the same order."
    fi
    echo "FAILED: a report, see $log"
    exit "$EXIT_FAIL"
}

# fuzz_minimize SEEDS CORPUS FOUND: CORPUS becomes the few inputs that reach all that it and FOUND reach beyond SEEDS;
# how often is no matter, or it would be ten times as many.
fuzz_minimize() {
    local seeds=$1 corpus=$2 found=$3 new=$RESULTS/corpus
    cp -r "$seeds" "$new"
    fuzz_job "Minimizing" "$RESULTS/minimize.log" fuzz_run -use_counters=0 -merge=1 "$new" "$corpus" "$found" ||
        die "$EXIT_RIG" "the corpus could not be minimized, see $RESULTS/minimize.log"
    (cd "$seeds" && find . -type f -print0) | (cd "$new" && xargs -0 rm -f)
    rm -rf "$corpus"
    mv "$new" "$corpus"
}

fuzz_coverage() {
    llvm-profdata merge -o "$RESULTS/profile" "$RESULTS"/*.profraw
    llvm-cov export -format=lcov -instr-profile="$RESULTS/profile" "$FUZZ_DIR/qemu-system-x86_64" >"$RESULTS/lcov"
    rm "$RESULTS"/*.profraw "$RESULTS/profile"
    echo "lines of the device that qtest and corpus reach:"
    if ! python3 "$ROOT/tests/fuzz/coverage.py" "$FUZZ_COVERAGE" "$RESULTS/lcov" "$RESULTS/uncovered"; then
        echo "FAILED: less than $FUZZ_COVERAGE %; those that are missing: $RESULTS/uncovered"
        exit "$EXIT_FAIL"
    fi
    echo "PASSED: 0 reports, at least $FUZZ_COVERAGE % of the lines"
}
