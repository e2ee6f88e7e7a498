# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The guest: an initramfs with busybox, the test runner and the modules it needs. Made without root: the kernel's
# own built-in archive already holds /dev/console, everything else is plain files.

runner_build() {
    nice make -j"$(nproc)" -C "$ROOT/tests" O="$CACHE/tmp/runner"
    mkdir -p "$CACHE/tmp/runner.done"
    cp "$CACHE/tmp/runner/pindma-test" "$CACHE/tmp/runner/pindma-user32" "$CACHE/tmp/runner.done/"
    in_place "$CACHE/tmp/runner.done" "$1"
}

# runner_provision: RUNNER, the static test runner. Runs on the host, too, for --list.
runner_provision() {
    RUNNER_KEY=$(hash_of guest/userlib guest/uapi qemu/include tests/scenarios tests/lib tests/driver tests/user32 tests/expectations tests/Makefile)
    RUNNER=$CACHE/runner/$RUNNER_KEY/pindma-test
    [ -x "$RUNNER" ] || step runner "Building the test runner" runner_build "${RUNNER%/*}"
}

# image_module_paths LIST: modules in the order of loading, as paths; "builtin" ones need nothing.
image_module_paths() {
    local name optional out
    sed 's/#.*//' "$1" | while read -r name optional; do
        [ -n "$name" ] || continue
        if [ -n "$KERNEL_ROOT" ]; then
            out=$(modprobe -d "$KERNEL_ROOT" -S "$KERNEL_RELEASE" --show-depends "$name") || [ -n "$optional" ] ||
                { echo "kernel $KERNEL_RELEASE has no module $name" >&2; return 1; }
            sed -n 's/^insmod //p' <<<"$out"
        else
            image_tree_module "$name" "$optional"
        fi
    done | awk '!seen[$1]++ { print $1 }'
}

# image_tree_module NAME [optional]: the module was built in the kernel tree, or the feature is in the image.
image_tree_module() {
    local path option
    path=$(find "$KERNEL_BUILD" -name "$1.ko" -print -quit)
    if [ -n "$path" ]; then
        # Its dependencies first, and theirs.
        modinfo -F depends "$path" | tr ',' '\n' | while read -r option; do
            [ -z "$option" ] || image_tree_module "$option" "${2:-}"
        done
        echo "$path"
    elif [ -z "${2:-}" ] && ! grep -qE "/$1\.ko\$" "$KERNEL_BUILD/modules.builtin" 2>/dev/null; then
        option=CONFIG_${1^^}
        option=${option//-/_}
        grep -qx "$option=y" "$KERNEL_BUILD/.config" ||
            { echo "kernel $KERNEL_RELEASE lacks $option: the guest could not report (set it, =y or =m)" >&2; return 1; }
    fi
}

# image_module PATH DIR: a module, not compressed.
image_module() {
    case $1 in
    *.xz) xz -dc "$1" >"$2/$(basename "$1" .xz)" ;;
    *.zst) zstd -dcq "$1" >"$2/$(basename "$1" .zst)" ;;
    *.gz) gzip -dc "$1" >"$2/$(basename "$1" .gz)" ;;
    *) cp "$1" "$2/" ;;
    esac
}

# image_archive DIR: DIR as an initramfs. It has no time and no inode number of this moment: the same files are the same
# bytes, or else no run could be repeated to the instruction.
image_archive() {
    (
        cd "$1"
        find . -mindepth 1 -exec touch --no-dereference --date=@0 {} +
        find . -mindepth 1 -print0 | sort -z | cpio --null --create --quiet --reproducible --format=newc --owner=0:0
    )
}

image_build() {
    local final=$1 root=$CACHE/tmp/image applet path dir modules
    rm -rf "$root"
    mkdir -p "$root"/{bin,dev,proc,sys,tmp,etc/pindma,root,run,mnt}
    install -m 755 "$ROOT/images/init" "$root/init"
    install -m 755 "$BUSYBOX" "$root/bin/busybox"
    for applet in $("$BUSYBOX" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
    done
    ln -s bin "$root/sbin"
    install -m 755 "$RUNNER" "$root/bin/pindma-test"
    install -m 755 "${RUNNER%/*}/pindma-user32" "$root/bin/pindma-user32"

    dir=$root/lib/modules/$KERNEL_RELEASE
    mkdir -p "$dir/kernel" "$dir/extra"
    modules=$(image_module_paths "$ROOT/images/modules")
    : >"$root/etc/modules"          # empty if all of them are built in
    for path in $modules; do
        image_module "$path" "$dir/kernel"
        basename "$path" | sed 's/\.ko.*//' >>"$root/etc/modules"
    done
    for path in $(image_module_paths "$ROOT/images/modules.on-demand"); do image_module "$path" "$dir/kernel"; done
    for path in "$MODULES_DIR"/*.ko; do
        cp "$path" "$dir/extra/"
        strip --strip-debug "$dir/extra/${path##*/}"
    done
    depmod -b "$root" "$KERNEL_RELEASE"
    # Not compressed: unpacking costs an emulated CPU more than loading three more megabytes.
    image_archive "$root" >"$CACHE/tmp/cpio"
    mkdir -p "${final%/*}"
    mv "$CACHE/tmp/cpio" "$final"
    rm -rf "$root"
}

# image_provision: IMAGE for the current kernel.
image_provision() {
    apt_tree "$(host_release)" busybox busybox-static
    BUSYBOX=$TREE/usr/bin/busybox
    [ -x "$BUSYBOX" ] || BUSYBOX=$TREE/bin/busybox
    IMAGE=$CACHE/images/$KERNEL_RELEASE-$(hash_text "$MODULES_KEY" "$RUNNER_KEY" "$(hash_of images)").cpio
    [ -e "$IMAGE" ] || step "image-$KERNEL_RELEASE" "Making the guest image for $KERNEL_RELEASE" image_build "$IMAGE"
}

# image_with_job IMAGE MODE OUT ARGUMENT...: a second, tiny archive after the first tells the guest what to do.
image_with_job() {
    local image=$1 mode=$2 out=$3 dir
    shift 3
    dir=$(mktemp -d)
    mkdir -p "$dir/etc/pindma"
    printf '%s\n' "$mode" >"$dir/etc/pindma/mode"
    if [ $# -gt 0 ]; then printf '%s\n' "$@"; fi >"$dir/etc/pindma/args"
    { cat "$image"; image_archive "$dir"; } >"$out"
    rm -rf "$dir"
}
