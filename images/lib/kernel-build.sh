# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Kernels of the rig's own: Debian's linux-source of a series, configured by fragments of images/kernels/, perhaps with
# patches. A name, a recipe; the rest is for all of them.
#
#   cache/kernels/<series>-<name>-<key>/source    unpacked; when all is built only what modules are built with is kept
#   cache/kernels/<series>-<name>-<key>/build     make's O=; the key covers the source's version, fragments and code of patches
#   cache/kernels/<series>-<name>-<key>/complete  there when all is whole
#
# A build knows its own paths and cannot be moved into place: it has a stamp, and an interrupted one is gone on with.

OWN_KERNELS=(debug lab)

# kernel_recipe NAME: OWN_SERIES; OWN_FRAGMENTS, files of images/kernels/; OWN_PATCHES, files anywhere; OWN_SLOW, how many
# times the limits of a run it needs; OWN_OBJECTS, about how many files are compiled, for the progress; OWN_TITLE, for messages.
kernel_recipe() {
    OWN_PATCHES=() OWN_SLOW=1 OWN_TITLE="kernel $1"
    case $1 in
    lab) OWN_SERIES=6.12 OWN_FRAGMENTS=(base.config lab.config) OWN_PATCHES=("${LAB_PATCHES[@]}") OWN_OBJECTS=1500
         OWN_TITLE+=${OPT_WITH:+" with ${OPT_WITH[*]}"} ;;
    debug) OWN_SERIES=6.12 OWN_FRAGMENTS=(base.config debug.config) OWN_SLOW=3 OWN_OBJECTS=1900 ;;
    esac
}

# Room for source and build at the peak, and minutes of two CPUs.
OWN_MIB=4000

# kernel_own_version: OWN_VERSION, which source of OWN_SERIES it was the first time. A mirror's newer one must not cost a
# rebuild that nobody has asked for.
kernel_own_version() {
    local pin=$CACHE/kernels/source-$OWN_SERIES
    if [ ! -s "$pin" ]; then
        kernel_source_version "$OWN_SERIES"
        mkdir -p "$CACHE/kernels"
        printf '%s\n' "$NEWEST" >"$CACHE/tmp/pin"
        mv "$CACHE/tmp/pin" "$pin"
    fi
    OWN_VERSION=$(cat "$pin")
}

# kernel_own_code: the patches without their headers, which may say something else without another build.
kernel_own_code() {
    [ ${#OWN_PATCHES[@]} -eq 0 ] || awk 'FNR == 1 { code = 0 } /^(---|diff )/ { code = 1 } code' "${OWN_PATCHES[@]}"
}

# kernel_own NAME: the current kernel is this one.
kernel_own() {
    local name=$1 dir old
    kernel_recipe "$name"
    kernel_own_version
    KERNEL_ID=$OWN_SERIES-$name-$(cd "$ROOT/images/kernels" && hash_text "$OWN_VERSION" "$(cat "${OWN_FRAGMENTS[@]}")" "$(kernel_own_code)")
    dir=$CACHE/kernels/$KERNEL_ID
    if [ ! -e "$dir/complete" ]; then
        deps_install "building kernels" "${DEPS_KERNEL[@]}"
        # What was begun with other patches will not be gone on with.
        for old in "$CACHE/kernels/$OWN_SERIES-$name-"*; do
            if [ "$old" != "$dir" ] && [ ! -e "$old/complete" ]; then rm -rf "$old"; fi
        done
        cache_need "$OWN_MIB" "building kernel $name"
        apt_set "$(kernel_set "$OWN_SERIES")"
        [ -e "$dir/source/unpacked" ] ||
            step "kernel-$name-source" "Fetching the source of Linux $OWN_VERSION for $OWN_TITLE" \
                kernel_source "$OWN_SERIES" "$OWN_VERSION" "$dir/source"
        step "kernel-$name" "Building $OWN_TITLE, once" kernel_build "$dir"
    fi
    KERNEL_IMAGE=$dir/build/arch/x86/boot/bzImage
    KERNEL_BUILD=$dir/build
    KERNEL_ROOT=
    KERNEL_MAKE=()
    KERNEL_SLOW=$OWN_SLOW
    KERNEL_RELEASE=$(cat "$KERNEL_BUILD/include/config/kernel.release")
}

# kernel_source_version SERIES: NEWEST, the newest version of its source package.
kernel_source_version() {
    apt_set "$(kernel_set "$1")"
    NEWEST=$(apt-cache -c "$APT_DIR/apt.conf" show "linux-source-$1" 2>/dev/null | sed -n 's/^Version: //p' | sort -V | tail -n 1)
    [ -n "$NEWEST" ] || die "$EXIT_RIG" "the mirror has no linux-source-$1: there is no source to build a kernel from."
}

# kernel_source SERIES VERSION INTO: the unpacked source, patched by OWN_PATCHES.
kernel_source() {
    local series=$1 version=$2 final=$3 tmp=$CACHE/tmp/source patch
    rm -rf "$tmp"
    apt_unpack "$(kernel_set "$series")" "$tmp/deb" "linux-source-$series=$version"
    mkdir "$tmp/linux"
    tar -C "$tmp/linux" --strip-components=1 -xf "$tmp/deb/usr/src/linux-source-$series.tar.xz"
    for patch in "${OWN_PATCHES[@]}"; do
        echo "== $patch"
        patch -d "$tmp/linux" -p1 -F0 <"$patch" || { echo "$patch does not apply: make it against what './run.sh lab --source DIR' unpacks"; return 1; }
    done
    touch "$tmp/linux/unpacked"
    in_place "$tmp/linux" "$final"
    rm -rf "$tmp"
}

# kernel_build DIR: DIR/source in DIR/build. Make goes on where it was interrupted.
kernel_build() {
    local dir=$1 make=(nice make -C "$1/source" O="$1/build" CC=gcc)
    mkdir -p "$dir/build"
    (cd "$ROOT/images/kernels" && cat "${OWN_FRAGMENTS[@]}") >"$dir/fragments"
    "${make[@]}" -s KCONFIG_ALLCONFIG="$dir/fragments" allnoconfig
    kernel_config_check "$dir/fragments" "$dir/build/.config"
    "${make[@]}" --no-print-directory -j"$(nproc)" bzImage modules 2>&1 |
        awk -v all="$OWN_OBJECTS" '{ print } / (CC|AS|CC \[M\]) / { printf "[%d/%d]\n", ++n, all }
            / error: |undefined reference/ { errors = errors "\n" $0 } END { if (errors) print "errors:" errors }'
    kernel_build_strip "$dir"
    touch "$dir/complete"
}

# kernel_config_check FRAGMENTS CONFIG: kconfig is silent about what it does not let one have.
kernel_config_check() {
    local line lost=0
    while read -r line; do
        case $line in
        '#'* | '') continue ;;
        *=n) grep -q "^${line%=n}=" "$2" || continue ;;
        *) ! grep -Fqx "$line" "$2" || continue ;;
        esac
        # What a later fragment says again, otherwise, counts.
        [ "$(grep "^${line%%=*}=" "$1" | tail -n 1)" = "$line" ] || continue
        echo "$line was asked for, and cannot be had: $(grep "${line%%=*}[= ]" "$2" || echo 'no such option, or what it depends on is off')"
        lost=1
    done <"$1"
    return "$lost"
}

# kernel_build_strip DIR: what modules are built with stays, and vmlinux for its symbols: 150 MiB of 3 GiB.
kernel_build_strip() {
    local dir=$1
    (
        cd "$dir/source"
        find . -mindepth 1 -maxdepth 1 ! -name scripts ! -name include ! -name arch ! -name Makefile ! -name Kbuild \
            ! -name unpacked -exec rm -rf {} +
        find arch -mindepth 1 -maxdepth 1 ! -name x86 -exec rm -rf {} +
        find arch/x86 -mindepth 1 -maxdepth 1 ! -name include ! -name 'Makefile*' ! -name entry -exec rm -rf {} +
    )
    (
        cd "$dir/build"
        find . -type f \( -name '*.o' -o -name '*.a' -o -name '.*.cmd' -o -name '.tmp_*' \) ! -path './scripts/*' -delete
        rm -f arch/x86/boot/compressed/vmlinux*
    )
}
