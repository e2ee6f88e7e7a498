# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# "./run.sh lab": one kernel of tests/lab's patches, whose variants are switched while it runs. Three guests: bugs that
# were fixed, back one at a time; proposals, compared by what they keep; and by what they cost. What makes the kernel
# panic has one more. tests/rig/lab.py says what is run in each, and what came out.

LAB_PATCHES=("$ROOT"/tests/lab/*.patch)

# Rounds of each: the seeds that a bug is looked for with, and samples of what a proposal costs.
LAB_SEEDS=3
LAB_COST_ROUNDS=5

# Seconds of real hardware that one guest may take.
LAB_LIMIT=600

# An area that a longterm pin must leave (zones.cma): more than half of what is free, or the kernel takes nothing from it.
LAB_ARGUMENTS=cma=320M

lab_py() { python3 -B "$ROOT/tests/rig/lab.py" "$@"; }

# lab_guest PART ROUNDS: one boot.
lab_guest() {
    local part=$1 rounds=$2 arguments code=0
    mapfile -t arguments < <(lab_py plan "$part" "$(IFS=,; echo "${OPT_TESTS[*]}")" "${LAB_PATCHES[@]}")
    [ ${#arguments[@]} -gt 0 ] || return 0
    mkdir -p "$RESULTS/$part"
    vm_run "$RESULTS/$part" lab --repeat "$rounds" --seed "${OPT_SEED:-1}" "${arguments[@]}" || code=$?
    [ "$code" -ne 130 ] || exit 130
    [ -e "$RESULTS/$part/vm.json" ] || die "$EXIT_RIG" "the VM runner failed, see above; results: $RESULTS"
}

# lab_rows GLOB...: each stands for a variant.
lab_rows() {
    local names glob name found
    mapfile -t names < <(lab_py names "${LAB_PATCHES[@]}")
    for glob; do
        found=
        # shellcheck disable=SC2053 # a glob is what was given
        for name in "${names[@]}"; do if [[ $name == $glob ]]; then found=1; fi; done
        [ -n "$found" ] || usage_error "lab: no variant is called '$glob'.$(did_you_mean "$glob" "${names[@]}") They are: ${names[*]}."
    done
}

# lab_cases: the headers name cases, or globs of them, that there are. RUNNER runs on the host for that.
lab_cases() {
    local part words
    for part in bugs proposals panics costs; do
        mapfile -t words < <(lab_py plan "$part" '*' "${LAB_PATCHES[@]}")
        [ ${#words[@]} -eq 0 ] || "$RUNNER" "${words[@]}" --list >/dev/null || return 1
    done
}

# lab_source DIR: what a patch of one's own is made against, for "git diff".
lab_source() {
    [ ! -e "$1" ] || usage_error "--source '$1' is there already: name a directory that is to be made."
    cache_lock
    kernel_recipe lab
    kernel_own_version
    apt_set "$(kernel_set "$OWN_SERIES")"
    step lab-source "Unpacking Linux $OWN_VERSION with tests/lab" kernel_source "$OWN_SERIES" "$OWN_VERSION" "$(realpath -m "$1")"
    step lab-git "Making it a git tree" lab_git "$1"
    say "$1: change it, then 'git -C $1 diff' is the patch; docs/lab.md says what its header is."
}

lab_git() {
    cd "$1" || return
    rm unpacked
    git init -q
    git add -A -f    # Debian's .gitignore has all of it
    git -c user.name=lab -c user.email=lab@localhost commit -q -m "Linux with the patches of tests/lab"
}

cmd_lab() {
    local code=0 patch
    parse_options lab "$@"
    for patch in "${OPT_WITH[@]}"; do LAB_PATCHES+=("$(realpath "$patch")"); done
    lab_py names "${LAB_PATCHES[@]}" >/dev/null || exit "$EXIT_USAGE"
    if [ -n "$OPT_SOURCE" ]; then lab_source "$OPT_SOURCE"; return; fi
    [ ${#OPT_TESTS[@]} -gt 0 ] || OPT_TESTS=('*')
    lab_rows "${OPT_TESTS[@]}"
    OPT_APPEND="$LAB_ARGUMENTS${OPT_APPEND:+ $OPT_APPEND}"

    cache_lock
    provision
    lab_cases || die "$EXIT_USAGE" "a header of ${OPT_WITH[*]:-tests/lab} names no case, see above; './run.sh list' prints them."
    disks_provision
    disks_attach
    provision_kernel lab
    vm_accel
    cache_unlock
    # Scenarios are short, but there are many.
    LIMIT_TOTAL=${OPT_TIMEOUT:-$((LIMIT_TOTAL * LAB_LIMIT / TOTAL_LIMIT))}
    results_directory
    results_info "$RESULTS"
    lab_guest bugs "${OPT_SEEDS:-$LAB_SEEDS}"
    lab_guest proposals 1
    lab_guest panics 1
    [ -n "$OPT_QUICK" ] || lab_guest costs "${OPT_ROUNDS:-$LAB_COST_ROUNDS}"
    ln -sfnT "${RESULTS##*/}" "$RESULTS_ROOT/last"
    lab_py write "$RESULTS" "${LAB_PATCHES[@]}"
    lab_py print "$RESULTS" || code=$?
    exit "$code"
}
