#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Break the device, the driver or a scenario in a scratch copy of the tree, and see whether the named cases go red.
#
#	tests/mutants/run.sh [MUTANT]...	default: all *.patch beside this file
#
# A mutant is a patch whose text says what is wrong, which case must be red then ("Red: case"), for a reason that has
# "Because: words" in it, and how to run it ("Run: arguments of ./run.sh", by default just these cases). Red and Because may
# repeat, in pairs: all of the cases must be red. Last line: N passed, N failed, 0 skipped.
set -euo pipefail
unset PINDMA_RESULTS    # they are looked for in the broken tree

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0

field() { sed -n "s/^$1: //p" "$2"; }

# survives PATCH: break a copy and run it; 0 if nothing noticed. Says what happened in $why.
survives() {
    local tree=$scratch/tree code=0 i case red because options
    rm -rf "$tree"
    mkdir "$tree"
    tar -C "$top" --exclude=./results --exclude=./.git -cf - . | tar -C "$tree" -xf -
    if ! patch -s -d "$tree" -p1 -F0 <"$1"; then
        why="the patch does not apply"
        return 0
    fi
    mapfile -t red < <(field Red "$1")
    mapfile -t because < <(field Because "$1")
    if [ ${#red[@]} = 0 ] || [ ${#red[@]} != ${#because[@]} ]; then
        why="its header does not have a Because: for each Red:"
        return 0
    fi
    read -ra options <<<"$(field Run "$1")"
    [ ${#options[@]} -gt 0 ] || for case in "${red[@]}"; do options+=(-t "$case"); done
    (cd "$tree" && ./run.sh "${options[@]}") >"$scratch/log" 2>&1 || code=$?
    if [ $code != 1 ]; then
        why="exit code $code, not 1; its log ends:"$'\n'"$(tail -n 15 "$scratch/log" | sed 's/^/    /')"
        return 0
    fi
    for i in "${!red[@]}"; do
        why=$(sed -n "s,^ *not ok [0-9]* \(${red[i]} #.*\),\1,p" "$tree/results/last/results.ktap" | head -n 1)
        [[ -n $why && $why == *"${because[i]}"* ]] && continue
        why="exit code 1, but ${red[i]} is not red${why:+ for that reason: $why}"
        return 0
    done
    why="${#red[@]} red, the last: $why"
    return 1
}

patches=("$@")
[ $# -gt 0 ] || patches=("$here"/*.patch)
for patch in "${patches[@]}"; do
    [ -e "$patch" ] || patch=$here/$patch.patch
    name=$(basename "$patch" .patch)
    [ -e "$patch" ] || { echo "no mutant is called '$name'; there are: $(cd "$here" && echo *.patch)" >&2; exit 2; }
    start=$SECONDS
    if survives "$patch"; then
        echo "not ok $name ($((SECONDS - start)) s): $why"
        failed=$((failed + 1))
    else
        echo "ok $name ($((SECONDS - start)) s): $why"
        passed=$((passed + 1))
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
