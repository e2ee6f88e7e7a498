# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Kernels to test: stock Debian packages (the newest of a series, or an exact version), kernels of the rig's own, a .deb, a
# bzImage with its build tree, a kernel tree.
#
# Each ends up described by the same variables:
#   KERNEL_ID     what a directory of the cache is named after
#   KERNEL_IMAGE  the bzImage
#   KERNEL_RELEASE  its release ("6.12.117+deb12-amd64"), the name of its module directory
#   KERNEL_BUILD  directory to build modules against
#   KERNEL_ROOT   root of a lib/modules tree with the stock modules (stock kernels and .debs)
#   KERNEL_SLOW   how many times the limits of a run it needs

STOCK_KERNELS=(5.10 6.1 6.12 7.2)
# 6.12.95, or the release as "uname -r" has it: 6.12.95+deb13-amd64
EXACT_KERNEL='^[0-9]+\.[0-9]+\.[0-9]+([-+][0-9a-z.]+-amd64)?$'

# Where the newest stock kernel of a series is found.
kernel_set() {
    case $1 in
    5.10) echo bullseye ;;
    6.1)  echo bookworm ;;
    6.12) if [ "$(host_release)" = bookworm ]; then echo bookworm; else echo trixie; fi ;;
    7.2)  echo trixie-backports ;;
    esac
}

# Where else there are kernels: this machine's own release first.
kernel_sets() { printf '%s\n' "$(host_release)" bookworm trixie trixie-backports bookworm-backports bullseye | awk '!seen[$0]++'; }

# kernel_check SPEC: is it a kernel at all? Before anything is fetched. Prints its kind.
kernel_check() {
    local spec=$1 known
    for known in "${STOCK_KERNELS[@]}"; do
        [ "$spec" != "$known" ] || { echo stock; return; }
    done
    if [[ $spec =~ $EXACT_KERNEL && ! -e $spec ]]; then echo exact; return; fi
    for known in "${OWN_KERNELS[@]}"; do
        [ "$spec" != "$known" ] || { echo own; return; }
    done
    case $spec in
    */* | *.deb | *bzImage* | *vmlinuz*) ;;
    *) [ -e "$spec" ] || usage_error "unknown kernel '$spec'.$(did_you_mean "$spec" "${STOCK_KERNELS[@]}" "${OWN_KERNELS[@]}")" \
        "A kernel is one of ${STOCK_KERNELS[*]} ${OWN_KERNELS[*]}, an exact version such as 6.12.107, a linux-image .deb, a bzImage or a kernel tree." ;;
    esac
    [ -e "$spec" ] || usage_error "kernel '$spec': no such file or directory."
    if [ -d "$spec" ]; then
        [[ -e $spec/Makefile && -d $spec/arch/x86 ]] ||
            usage_error "kernel '$spec' is a directory, but not a kernel's source or build tree."
        if [ -n "$OPT_BISECT" ]; then
            [ -e "$spec/.config" ] || kernel_unusable "kernel '$spec' cannot be built: .config is missing (make defconfig)."
            echo tree
            return
        fi
        [ -e "$spec/arch/x86/boot/bzImage" ] ||
            kernel_unusable "kernel '$spec' is not built: arch/x86/boot/bzImage is missing (make bzImage modules_prepare)."
        [ -e "$spec/include/config/kernel.release" ] ||
            kernel_unusable "kernel '$spec' is not built: include/config/kernel.release is missing."
        echo tree
    elif [[ $spec == *.deb ]]; then
        [[ $(dpkg-deb -f "$spec" Package 2>/dev/null) == linux-image-* ]] ||
            usage_error "kernel '$spec' is not a linux-image package."
        echo deb
    elif [ "$(dd if="$spec" bs=1 skip=514 count=4 2>/dev/null | tr -d '\0')" = HdrS ]; then
        [ -n "$OPT_BUILD" ] || [[ $(realpath "$spec") == */arch/x86/boot/bzImage ]] ||
            usage_error "kernel '$spec': where are its modules built? Give its build tree with --build DIR."
        echo bzimage
    else
        usage_error "kernel '$spec' is neither a bzImage, a .deb nor a kernel tree."
    fi
}

# A kernel that cannot be built against or booted is no verdict about it.
kernel_unusable() { die "$([ -n "$OPT_BISECT" ] && echo 125 || echo "$EXIT_USAGE")" "$@"; }

# Unpacked headers name each other by absolute paths, and the build links of the modules tree do, too.
kernel_relocate() {
    local root=$1 release=$2 headers
    # Debian's 7.x packages have the modules below usr/lib, and the image among them.
    if [ -d "$root/usr/lib/modules" ] && [ ! -e "$root/lib/modules" ]; then
        mkdir -p "$root/lib"
        mv "$root/usr/lib/modules" "$root/lib/modules"
    fi
    if [ ! -e "$root/boot/vmlinuz-$release" ]; then
        mkdir -p "$root/boot"
        cp "$root/lib/modules/$release/vmlinuz" "$root/boot/vmlinuz-$release"
    fi
    headers=$root/usr/src/linux-headers-$release
    [ -d "$headers" ] || { echo "no headers for $release in the packages"; return 1; }
    grep -lrE '/usr/(src|lib)/linux-' "$headers"/Makefile "$headers"/.kernelvariables "$root"/usr/src/*/Makefile 2>/dev/null |
        sort -u | xargs -r sed -i -E "s,(^|[ =])/usr/(src|lib)/linux-,\1$root/usr/\2/linux-,g"
    rm -f "$root/lib/modules/$release"/{build,source}
    depmod -b "$root" "$release"
}

# kernel_headers APT-CONF RELEASE: HEADERS, the packages that modules of this release are built against.
kernel_headers() {
    mapfile -t HEADERS < <(apt-cache -c "$1" show "linux-headers-$2" | sed -n 's/^Depends: //p' | tr ',' '\n' |
        sed -nE 's/^ *(linux-headers-[^ ]*-common|linux-kbuild-[^ ]*).*/\1/p' | sort -u)
    [ ${#HEADERS[@]} -gt 0 ] || { echo "linux-headers-$2 is not in the archive"; return 1; }
    HEADERS+=("linux-headers-$2")
}

# kernel_unpack SET RELEASE INTO [IMAGE.deb HEADERS.deb...]: image and headers of one release, relocated.
kernel_unpack() {
    local set=$1 release=$2 final=$3 tmp=$CACHE/tmp/kernel part image
    shift 3
    rm -rf "$tmp" && mkdir -p "$tmp"
    if [ $# -eq 0 ]; then
        local conf=$CACHE/apt/$set/apt.conf
        image=("linux-image-$release")
        # Since 7.x linux-image-* is empty and depends on the packages that hold the files.
        for part in linux-binary linux-modules linux-base; do
            if apt-cache -c "$conf" pkgnames | grep -Fx "$part-$release" >/dev/null; then image+=("$part-$release"); fi
        done
        apt_unpack "$set" "$tmp" "${image[@]}"
    else
        echo "== unpacking $1"
        dpkg -x "$1" "$tmp"
        shift
    fi
    if [ $# -eq 0 ]; then
        kernel_headers "$conf" "$release"
        apt_unpack "$set" "$tmp" "${HEADERS[@]}"
    else
        for part; do echo "== unpacking $part"; dpkg -x "$part" "$tmp"; done
    fi
    # Paths inside must be the final ones, so the rename comes first and the stamp last.
    in_place "$tmp" "$final"
    kernel_relocate "$final" "$release"
    touch "$final/complete"
}

kernel_provision() {
    local spec=$1 kind
    kind=$(kernel_check "$spec")
    # shellcheck disable=SC2034 # vm.sh scales the limits by it
    KERNEL_SLOW=1
    case $kind in
    own) kernel_own "$spec" ;;
    stock) kernel_stock "$spec" ;;
    exact) kernel_exact "$spec" ;;
    deb) kernel_deb "$(realpath "$spec")" ;;
    bzimage) kernel_tree "$(realpath "$spec")" "${OPT_BUILD:-$(realpath "$(dirname "$(realpath "$spec")")/../../..")}" ;;
    tree)
        [ -z "$OPT_BISECT" ] || kernel_tree_build "$(realpath "$spec")"
        kernel_tree "$(realpath "$spec/arch/x86/boot/bzImage")" "$(realpath "$spec")"
        ;;
    esac
}

kernel_unpacked() {
    KERNEL_ROOT=$CACHE/kernels/$KERNEL_ID
    KERNEL_IMAGE=$KERNEL_ROOT/boot/vmlinuz-$KERNEL_RELEASE
    KERNEL_BUILD=$KERNEL_ROOT/usr/src/linux-headers-$KERNEL_RELEASE
}

# The newest package at the time of the first run stays until "clean": a second run needs no network.
kernel_stock() {
    local series=$1 set pin=$CACHE/kernels/stock-$1
    set=$(kernel_set "$series")
    if [ ! -s "$pin" ]; then
        apt_newest "$set" "linux-image-${series//./\\.}\\.[0-9]+([-+][^-]*)?-amd64"
        [ -n "$NEWEST" ] || die "$EXIT_RIG" "the mirror has no stock kernel $series (looked for linux-image-$series.*-amd64 in $set)."
        mkdir -p "$CACHE/kernels"
        printf '%s\n' "${NEWEST#linux-image-}" >"$CACHE/tmp/pin"
        mv "$CACHE/tmp/pin" "$pin"
    fi
    kernel_fetch "$(cat "$pin")" "$set"
}

# kernel_fetch RELEASE SET: a package of the archive, unpacked; once it is there nobody needs the archive.
kernel_fetch() {
    KERNEL_RELEASE=$1 KERNEL_ID=$1
    kernel_unpacked
    if [ ! -e "$KERNEL_ROOT/complete" ]; then
        cache_need 700 "kernel $KERNEL_RELEASE with its headers"
        apt_set "$2"
        step "kernel-$KERNEL_RELEASE" "Fetching kernel $KERNEL_RELEASE and its headers" kernel_unpack "$2" "$KERNEL_RELEASE" "$KERNEL_ROOT"
    fi
    kernel_toolchain "$KERNEL_RELEASE"
}

# kernel_versions SET: "release version" of each stock kernel in it, newest first. An archive keeps images longer than
# the headers that modules need. Some releases are not called after the version: 6.1.0-56-amd64 is 6.1.192-2.
kernel_versions() {
    local conf=$CACHE/apt/$1/apt.conf
    apt-cache -c "$conf" pkgnames | sed -nE 's/^linux-headers-([0-9]+\.[0-9]+\.[0-9]+([-+][^-]*)?-amd64)$/linux-image-\1/p' | sort -rV |
        xargs -r apt-cache -c "$conf" madison | sed -nE 's/^ *linux-image-([^ ]+) +\| +([^ ]+) +\|.*/\1 \2/p'
}

# An exact version, from whatever release of Debian has it: this machine's own first.
kernel_exact() {
    local spec=$1 pin=$CACHE/kernels/stock-$1 set sets line lines version there=()
    if [ -s "$pin" ] && [ -e "$CACHE/kernels/$(cat "$pin")/complete" ]; then
        kernel_fetch "$(cat "$pin")" -
        return
    fi
    mapfile -t sets < <(kernel_sets)
    for set in "${sets[@]}"; do
        apt_set "$set"
        mapfile -t lines < <(kernel_versions "$set")
        for line in "${lines[@]}"; do
            version=${line#* }
            if [[ ${line% *} == "$spec" || $version == "$spec"-* ]]; then
                kernel_fetch "${line% *}" "$set"
                printf '%s\n' "$KERNEL_RELEASE" >"$CACHE/tmp/pin"
                mv "$CACHE/tmp/pin" "$pin"
                return
            fi
            [[ $version != "${spec%.*}".* ]] || there+=("${version%%-*}")
        done
    done
    mapfile -t there < <(printf '%s\n' "${there[@]}" | sort -uV)
    kernel_unusable "kernel '$spec' is not in the archive, or without its headers. Of ${spec%.*} it has ${there[*]:-nothing}."
}

# A .deb needs headers of the same release: next to it (as "make bindeb-pkg" leaves them), else from the archive.
kernel_deb() {
    local deb=$1 set='' candidate
    KERNEL_RELEASE=$(dpkg-deb -f "$deb" Package)
    KERNEL_RELEASE=${KERNEL_RELEASE#linux-image-}
    KERNEL_RELEASE=${KERNEL_RELEASE%-unsigned}
    KERNEL_ID=$KERNEL_RELEASE-$(hash_text "$deb" "$(stat -c '%s %Y' "$deb")")
    kernel_unpacked
    if [ ! -e "$KERNEL_ROOT/complete" ]; then
        cache_need 700 "kernel $KERNEL_RELEASE with its headers"
        if headers_beside "$deb"; then
            step kernel-deb "Unpacking kernel $KERNEL_RELEASE" kernel_unpack - "$KERNEL_RELEASE" "$KERNEL_ROOT" "$deb" "${HEADERS[@]}"
        else
            for candidate in $(kernel_sets); do
                apt_newest "$candidate" "linux-headers-${KERNEL_RELEASE//[.+]/\\&}"
                if [ -n "$NEWEST" ]; then set=$candidate; break; fi
            done
            [ -n "$set" ] || kernel_unusable "linux-headers-$KERNEL_RELEASE is neither next to $deb nor in the archive:" \
                "put the package of that name beside it."
            step kernel-deb "Unpacking kernel $KERNEL_RELEASE" kernel_unpack_deb "$set" "$deb"
        fi
    fi
    kernel_toolchain "$KERNEL_RELEASE"
}

# headers_beside DEB: HEADERS, the header package next to it with the two that Debian's own depend on, if all are there.
headers_beside() {
    local dir=${1%/*} part file
    file=$(find "$dir" -maxdepth 1 -name "linux-headers-${KERNEL_RELEASE}_*.deb" -print -quit)
    [ -n "$file" ] || return 1
    HEADERS=("$file")
    for part in $(dpkg-deb -f "$file" Depends | tr ',' '\n' | sed -nE 's/^ *(linux-headers-[^ ]*-common|linux-kbuild-[^ ]*).*/\1/p'); do
        file=$(find "$dir" -maxdepth 1 -name "${part}_*.deb" -print -quit)
        [ -n "$file" ] || return 1
        HEADERS+=("$file")
    done
}

# The image from the user's file, the headers from the archive.
kernel_unpack_deb() {
    local set=$1 deb=$2 tmp=$CACHE/tmp/headers
    rm -rf "$tmp" && mkdir -p "$tmp"
    kernel_headers "$CACHE/apt/$set/apt.conf" "$KERNEL_RELEASE"
    download_debs "$CACHE/apt/$set/apt.conf" "$tmp" "${HEADERS[@]}"
    kernel_unpack "$set" "$KERNEL_RELEASE" "$KERNEL_ROOT" "$deb" "$tmp"/*.deb
}

# git bisect has checked out something else: what it was built from before is no longer what is there.
kernel_tree_build() {
    deps_install "building kernels" "${DEPS_KERNEL[@]}"
    step kernel-tree-config "Configuring the kernel in $1" make -C "$1" olddefconfig
    step kernel-tree "Building the kernel in $1" make -C "$1" -j"$(nproc)" bzImage modules
}

kernel_tree() {
    KERNEL_IMAGE=$1
    KERNEL_BUILD=$(realpath "$2")
    KERNEL_ROOT=
    [ -e "$KERNEL_BUILD/include/config/kernel.release" ] ||
        kernel_unusable "'$KERNEL_BUILD' is not a built kernel tree: include/config/kernel.release is missing."
    KERNEL_RELEASE=$(cat "$KERNEL_BUILD/include/config/kernel.release")
    KERNEL_ID=$KERNEL_RELEASE-$(hash_text "$KERNEL_IMAGE" "$(stat -c '%s %Y' "$KERNEL_IMAGE" "$KERNEL_BUILD/Module.symvers" 2>/dev/null)")
    KERNEL_MAKE=()
}

# Debian 13's kernels on Debian 12: their compiler has an option that gcc 12 lacks, and their build programs want a
# newer C library. A wrapper each; the modules themselves come out right and load.
kernel_toolchain() {
    KERNEL_MAKE=()
    [[ ($1 == 7.* || $1 == *+deb13*) && $(host_release) == bookworm ]] || return 0
    apt_tree trixie trixie-libc libc6 libelf1t64 libzstd1 zlib1g libssl3t64
    if [ ! -e "$KERNEL_ROOT/wrapped" ]; then
        step kernel-wrap "Adapting the headers of $KERNEL_RELEASE to this machine" kernel_wrap "$KERNEL_ROOT" "$TREE"
    fi
    KERNEL_MAKE=("CC=$KERNEL_ROOT/gcc-wrapper")
}

kernel_wrap() {
    local root=$1 libc=$2 file
    cat >"$root/gcc-wrapper" <<'WRAPPER'
#!/bin/bash
exec gcc "${@/#-fmin-function-alignment=/-falign-functions=}"
WRAPPER
    chmod +x "$root/gcc-wrapper"
    find "$root"/usr/lib/linux-kbuild-* -type f -perm -u+x ! -name '*.elf' | while read -r file; do
        [ "$(head -c 4 "$file" | tail -c 3)" = ELF ] || continue
        # Some only look for the program of the right architecture beside themselves and run it: those run as they are.
        if compgen -G "$file.real-*" >/dev/null; then continue; fi
        cp "$file" "$file.elf"
        cat >"$root/wrapper" <<WRAPPER
#!/bin/sh
exec $libc/usr/lib64/ld-linux-x86-64.so.2 --library-path $libc/usr/lib/x86_64-linux-gnu $file.elf "\$@"
WRAPPER
        chmod +x "$root/wrapper"
        mv "$root/wrapper" "$file"
    done
    touch "$root/wrapped"
}

# ---------------------------------------------------------------------------------------------------------------
# Modules: the driver and the test modules, built against one kernel

modules_copy() {
    mkdir -p "$1"
    (cd "$ROOT" && tar -c guest qemu/include tests/modules) | tar -x -C "$1"
}

# modules_make DIR TARGET-ARGUMENT...: CONFIG_DEBUG_INFO_BTF_MODULES= because BTF would need pahole and vmlinux.
modules_make() {
    local dir=$1 part
    shift
    for part in guest tests/modules; do
        nice make -j"$(nproc)" -C "$KERNEL_BUILD" M="$dir/$part" CC=gcc "${KERNEL_MAKE[@]}" CONFIG_DEBUG_INFO_BTF_MODULES= "$@" modules
    done
}

modules_build() {
    local final=$1 dir=$CACHE/tmp/modules
    rm -rf "$dir" "$CACHE/tmp/ko"
    modules_copy "$dir"
    modules_make "$dir"
    mkdir -p "$CACHE/tmp/ko"
    # Headers that are not where they were unpacked have their own idea of where to build.
    [ -e "$dir/guest/pindma.ko" ] || { echo "make has not left pindma.ko in $dir/guest"; return 1; }
    find "$dir" -name '*.ko' -exec cp {} "$CACHE/tmp/ko/" \;
    in_place "$CACHE/tmp/ko" "$final"
    rm -rf "$dir"
}

# modules_provision: MODULES_DIR with the .ko files for the current kernel.
modules_provision() {
    MODULES_KEY=$KERNEL_ID-$(hash_of guest qemu/include tests/modules)
    MODULES_DIR=$CACHE/modules/$MODULES_KEY
    [ ! -d "$MODULES_DIR" ] || return 0
    step "modules-$KERNEL_RELEASE" "Building the modules for $KERNEL_RELEASE" modules_build "$MODULES_DIR"
}
