# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A QEMU with the pindma device: source, patch, build. Nothing is installed.
#
#   cache/qemu/<name>/pristine   the source as it came (for --qemu-src: a copy, the user's tree is only read)
#   cache/qemu/<name>/src        the same with qemu/ laid over it and the patch applied
#   cache/qemu/<name>/build      out-of-tree build of src; kept, so that a change in qemu/ costs one ninja run
#   cache/qemu/bin/<key>/        the finished program; the key covers source, qemu/ and flags

# The smallest build that boots a PC. Debian's repacked sources have no firmware blobs to install.
QEMU_FLAGS=(
    --target-list=x86_64-softmmu
    --without-default-features
    --enable-tcg
    --enable-kvm
    --enable-fdt=system
    --disable-docs
    --disable-tools
    --disable-guest-agent
    --disable-install-blobs
    --extra-cflags=-g1          # backtraces have names and lines; full debug information doubles the size
)

# Sets to search for "--qemu VERSION", the machine's own release first.
qemu_sets() {
    printf '%s\n' "$(host_release)" trixie trixie-backports sid | awk '!seen[$0]++'
}

# qemu_resolve_version VERSION: '' is the distribution's own. What was chosen first stays until "clean".
qemu_resolve_version() {
    local wanted=$1 pin=$CACHE/qemu/version-${1:-own} set
    if [ ! -s "$pin" ]; then
        for set in $(if [ -n "$wanted" ]; then qemu_sets; else host_release; fi); do
            apt_source_version "$set" qemu "([0-9]+:)?${wanted//./\\.}${wanted:+([^0-9]|\$)}"
            [ -z "$NEWEST" ] || break
        done
        [ -n "$NEWEST" ] || usage_error "QEMU ${wanted:-source} is not among the source packages of: $(qemu_sets | paste -sd' ')."
        mkdir -p "$CACHE/qemu"
        printf '%s %s\n' "$set" "$NEWEST" >"$CACHE/tmp/pin"
        mv "$CACHE/tmp/pin" "$pin"
    fi
    read -r QEMU_SET QEMU_VERSION <"$pin"
}

qemu_unpack_source() {
    local set=$1 version=$2 into=$3 dir=$CACHE/tmp/qemu-source
    rm -rf "$dir" && mkdir -p "$dir" && cd "$dir"
    if ! apt-get -c "$CACHE/apt/$set/apt.conf" source --download-only "qemu=$version"; then
        echo "== trying again with fresh lists"
        apt_fetch_lists "$CACHE/apt/$set" "$set"
        apt-get -c "$CACHE/apt/$set/apt.conf" source --download-only "qemu=$version"
    fi
    rm -rf "$into"
    dpkg-source --no-check -x ./*.dsc "$into"
    rm -rf "$dir"
}

qemu_copy_tree() {
    mkdir -p "$2"
    (cd "$1" && tar -c --exclude=./.git --exclude=./build .) | tar -x -C "$2"
}

# Laid over with as few touched files as possible, so that ninja rebuilds only what changed. Files that an earlier
# overlay brought or patched and this one does not are put back as they were.
qemu_overlay() {
    local base=$1 stage=$CACHE/tmp/overlay file
    rm -rf "$stage" && mkdir -p "$stage"
    # What the patch touches, from the pristine tree ...
    sed -n 's,^+++ b/,,p' "$ROOT/qemu/meson.build.patch" | while read -r file; do
        mkdir -p "$stage/$(dirname "$file")"
        cp "$base/pristine/$file" "$stage/$file"
    done
    # ... and what the overlay brings.
    (cd "$ROOT/qemu" && tar -c --exclude=./meson.build.patch .) | tar -x -C "$stage"
    patch -d "$stage" -p1 --no-backup-if-mismatch <"$ROOT/qemu/meson.build.patch"

    (cd "$stage" && find . -type f) >"$base/overlay.new"
    if [ -e "$base/overlay" ]; then
        { grep -vxFf "$base/overlay.new" "$base/overlay" || true; } | while read -r file; do
            if [ -e "$base/pristine/$file" ]; then cp "$base/pristine/$file" "$base/src/$file"; else rm -f "$base/src/$file"; fi
        done
    fi
    # The list first: an interrupted copy must not leave files that no list knows.
    cat "$base/overlay.new" >>"$base/overlay"
    while read -r file; do
        if ! cmp -s "$stage/$file" "$base/src/$file"; then
            echo "== $file"
            mkdir -p "$(dirname "$base/src/$file")"
            rm -f "$base/src/$file"
            cp "$stage/$file" "$base/src/$file"
        fi
    done <"$base/overlay.new"
    mv "$base/overlay.new" "$base/overlay"
}

# qemu_configure BASE BUILD [FLAG]...
qemu_configure() {
    local base=$1 build=$1/$2 flags=("${QEMU_FLAGS[@]}")
    shift 2
    # Debian's 7.2 comes without the meson that upstream bundles; later versions find it by themselves.
    if grep -qF -- '--meson=' "$base/src/configure"; then flags+=(--meson=/usr/bin/meson); fi
    rm -rf "$build" && mkdir "$build" && cd "$build"
    ../src/configure "${flags[@]}" "$@"
    touch configured
}

# Distribution tools first: a meson of the user's own in /usr/local or ~/.local has surprised this build before.
qemu_environment() {
    export PATH=/usr/bin:/bin:/usr/sbin:/sbin:$PATH
    unset PYTHONHOME PYTHONPATH
    [ -z "$QEMU_PYTHON_TREE" ] || export PYTHONPATH=$QEMU_PYTHON_TREE/usr/lib/python3/dist-packages
}

# qemu_build_tree BASE: the build tree, configured for what is in qemu/ now.
qemu_build_tree() {
    qemu_environment
    qemu_overlay "$1"
    [ -e "$1/build/configured" ] || qemu_configure "$1" build
}

# qemu_ninja BASE TARGET...: brought up to date as far as these targets need.
qemu_ninja() {
    qemu_build_tree "$1"
    cd "$1/build"
    shift
    nice ninja "$@"
}

# qemu_ninja_objects BASE: our own objects, of device and qtest, and what they include; no QEMU.
qemu_ninja_objects() {
    local objects
    qemu_build_tree "$1"
    cd "$1/build"
    mapfile -t objects < <(ninja -t targets all | sed -n 's/^\([^ ]*pindma[^ ]*\.o\): .*/\1/p')
    [ ${#objects[@]} -gt 0 ] || { echo "nothing of pindma is built here"; return 1; }
    nice ninja "${objects[@]}"
}

qemu_build() {
    local base=$1 key=$2
    qemu_ninja "$base" qemu-system-x86_64
    cd "$base/build"
    mkdir -p "$CACHE/tmp/bin"
    cp qemu-system-x86_64 "$CACHE/tmp/bin/"
    in_place "$CACHE/tmp/bin" "$CACHE/qemu/bin/$key"
}

# What QEMU 8 and later ask of the Python that configure runs. Only read, so it is not installed.
qemu_python_tree() {
    QEMU_PYTHON_TREE=
    [ -e "$1/pristine/python/scripts/mkvenv.py" ] || return 0
    case $(host_release) in
    bookworm) apt_tree bookworm-backports qemu-python meson python3-pycotap ;;     # its meson is too old for 10.0
    *) apt_tree "$(host_release)" qemu-python python3-pycotap ;;
    esac
    QEMU_PYTHON_TREE=$TREE
}

# qemu_source: QEMU_BASE with complete pristine and src trees, QEMU_NAME, QEMU_STATE, QEMU_PYTHON_TREE.
qemu_source() {
    if [ -n "$OPT_QEMU_SRC" ]; then
        QEMU_NAME="$(cat "$OPT_QEMU_SRC/VERSION") in $OPT_QEMU_SRC"
        QEMU_BASE=$CACHE/qemu/src-$(hash_text "$OPT_QEMU_SRC")
        QEMU_STATE=$(qemu_tree_state "$OPT_QEMU_SRC")
        if [ "$(cat "$QEMU_BASE/state" 2>/dev/null)" != "$QEMU_STATE" ]; then
            cache_need 1000 "a copy of $OPT_QEMU_SRC and its build"
            step qemu-copy "Copying the QEMU tree $OPT_QEMU_SRC" qemu_copy_tree "$OPT_QEMU_SRC" "$CACHE/tmp/pristine"
            rm -rf "$QEMU_BASE/state" "$QEMU_BASE/src"
            in_place "$CACHE/tmp/pristine" "$QEMU_BASE/pristine"
        fi
    else
        qemu_resolve_version "$OPT_QEMU"
        QEMU_NAME=$QEMU_VERSION
        QEMU_BASE=$CACHE/qemu/${QEMU_VERSION//[:+~]/_}
        QEMU_STATE=$QEMU_VERSION
        if [ ! -d "$QEMU_BASE/pristine" ]; then
            cache_need 1000 "QEMU's source and build"
            apt_set "$QEMU_SET"
            step qemu-source "Fetching the source of QEMU $QEMU_VERSION" \
                qemu_unpack_source "$QEMU_SET" "$QEMU_VERSION" "$CACHE/tmp/pristine"
            in_place "$CACHE/tmp/pristine" "$QEMU_BASE/pristine"
        fi
    fi
    # Hard links: the pristine files cost nothing twice, and the overlay never writes through a link.
    if [ ! -d "$QEMU_BASE/src" ]; then
        rm -rf "$QEMU_BASE/overlay" "$QEMU_BASE/build/configured"
        step qemu-links "Preparing the source of QEMU" cp -al "$QEMU_BASE/pristine" "$CACHE/tmp/src"
        in_place "$CACHE/tmp/src" "$QEMU_BASE/src"
    fi
    printf '%s\n' "$QEMU_STATE" >"$QEMU_BASE/state"
    qemu_python_tree "$QEMU_BASE"
}

# A tree in work changes by its files' times and sizes, not only by its commits.
qemu_tree_state() {
    (cd "$1" && find . -path ./.git -prune -o -path ./build -prune -o -type f -printf '%P %s %T@\n') |
        LC_ALL=C sort | sha256sum | cut -c1-16
}

# qemu_provision: QEMU_BIN, QEMU_KEY, QEMU_NAME. A finished build is found without looking at its source.
qemu_provision() {
    local overlay pin=$CACHE/qemu/version-${OPT_QEMU:-own} state
    if [ -n "$OPT_QEMU_BIN" ]; then
        QEMU_BIN=$OPT_QEMU_BIN
        QEMU_NAME=$("$QEMU_BIN" --version | sed -n '1s/.*version //p')
        QEMU_KEY=$(hash_text "$QEMU_BIN" "$(stat -Lc '%s %Y' "$QEMU_BIN")")
        return
    fi
    overlay=$(hash_of qemu)
    if [ -n "$OPT_QEMU_SRC" ]; then
        state=$(qemu_tree_state "$OPT_QEMU_SRC")
        QEMU_NAME="$(cat "$OPT_QEMU_SRC/VERSION") in $OPT_QEMU_SRC"
    else
        read -r _ state 2>/dev/null <"$pin" || state=
        QEMU_NAME=$state
    fi
    QEMU_KEY=$(hash_text "$state" "$overlay" "${QEMU_FLAGS[*]}")
    if [ -z "$state" ] || [ ! -x "$CACHE/qemu/bin/$QEMU_KEY/qemu-system-x86_64" ]; then
        qemu_source
        QEMU_KEY=$(hash_text "$QEMU_STATE" "$overlay" "${QEMU_FLAGS[*]}")
        cache_need 400 "the build of QEMU"
        step qemu-build "Building QEMU ${QEMU_NAME} with the pindma device" qemu_build "$QEMU_BASE" "$QEMU_KEY"
        qemu_forget_old
    fi
    QEMU_BIN=$CACHE/qemu/bin/$QEMU_KEY/qemu-system-x86_64
    touch -c "$CACHE/qemu/bin/$QEMU_KEY"
}

# Every edit of qemu/ makes a new program; the last few are enough.
qemu_forget_old() {
    local dir
    # shellcheck disable=SC2012 # the names are our own hashes
    ls -1t "$CACHE/qemu/bin" | tail -n +6 | while read -r dir; do rm -rf "${CACHE:?}/qemu/bin/$dir"; done
}

# Firmware: the PC BIOS and the option ROM that loads -kernel. Only read, so it is unpacked, not installed.
firmware_provision() {
    apt_tree "$(host_release)" firmware seabios qemu-system-data
    FIRMWARE_DIRS=("$TREE/usr/share/seabios" "$TREE/usr/share/qemu")
}
