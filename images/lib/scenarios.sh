# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Scenario names, checked before anything is built: read from the tables in tests/, where a row is either
# ".name = "group.name"" or a call of a macro ROW(name, ...) in a file whose group is its own name.

scenario_names() {
    awk 'FNR == 1 { group = FILENAME; sub(/^.*\//, "", group); sub(/\.c$/, "", group) }
        /\.name *= *"[a-z0-9_]+\.[a-z0-9_]+"/ { sub(/^.*\.name *= *"/, ""); sub(/".*/, ""); print }
        /^\tROW\([a-z0-9_]+,/ { sub(/^\tROW\(/, ""); sub(/,.*/, ""); print group "." $0 }
    ' "$ROOT"/tests/scenarios/*.c "$ROOT"/tests/driver/*.c | sort -u
}

# scenario_matches GLOB NAME...: a glob over scenario names or whole cases (group.name/memory/mode). What a "*" stands
# for may be in the rest of a case's name, which only the runner knows: what is before it must be there.
scenario_matches() {
    local glob=${1%%/*} name
    shift
    [[ $glob != *'*'* ]] || glob=${glob%%'*'*}'*'
    for name; do
        # shellcheck disable=SC2053 # a glob is what was given
        [[ $name != $glob ]] || return 0
    done
    return 1
}

scenarios_check() {
    local names groups glob
    mapfile -t names < <(scenario_names)
    [ ${#names[@]} -gt 0 ] || return 0
    mapfile -t groups < <(printf '%s\n' "${names[@]%%.*}" | sort -u)
    for glob in "${OPT_GROUPS[@]}"; do
        [[ " ${groups[*]} " == *" $glob "* ]] ||
            usage_error "unknown group '$glob'.$(did_you_mean "$glob" "${groups[@]}") Groups: ${groups[*]}."
    done
    # With -g a name must be one of those groups'.
    if [ ${#OPT_GROUPS[@]} -gt 0 ] && [ ${#OPT_TESTS[@]} -gt 0 ]; then
        mapfile -t names < <(printf '%s\n' "${names[@]}" | grep -E "^($(IFS='|'; echo "${OPT_GROUPS[*]}"))\.")
    fi
    for glob in "${OPT_TESTS[@]}"; do
        scenario_matches "$glob" "${names[@]}" ||
            usage_error "unknown scenario '$glob'.$(did_you_mean "$glob" "${names[@]}") './run.sh list' shows them all${OPT_GROUPS:+; -g ${OPT_GROUPS[*]} has none}."
    done
}

# scenarios_pinner: a case of another pinner wants its machine, even if only its name was given, as in a report.
scenarios_pinner() {
    local glob pinner named=()
    for pinner in "${PINNERS[@]}"; do
        for glob in "${OPT_TESTS[@]}"; do
            case ${glob%\*} in */"$pinner" | */"$pinner"-cleared) named+=("$pinner"); break ;; esac
        done
    done
    [ ${#named[@]} -le 1 ] || named=(all)
    OPT_PINNER=${OPT_PINNER:-${named[0]:-}}
    [ -z "$OPT_PINNER" ] || [ -z "$OPT_ICOUNT" ] ||
        usage_error "--pinner and --icount exclude each other: when a disk answers depends on the host."
}

# scenarios_disks: the power is cut only where it was asked for by name.
scenarios_disks() {
    local glob
    KEEP_DISKS=
    [ -z "$OPT_ICOUNT" ] || return 0
    for glob in "${OPT_GROUPS[@]}" "${OPT_TESTS[@]}"; do
        case $glob in poweroff | poweroff.*) KEEP_DISKS=1 ;; esac
    done
}
