# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# "./run.sh kselftest": programs of the kernel's own tools/testing/selftests, as they are in Debian's linux-source
# package, in the guest. Those that are here need gup_test, which stock kernels lack (CONFIG_GUP_TEST) and
# tests/modules/pindma_gup_test.c has.

# The series whose tests are run, on all kernels: tests of a newer one know what an older one did wrong.
KSELFTEST_SERIES=6.12

# Programs of selftests/mm
KSELFTESTS=(cow gup_longterm)

# What they are built from: each with these two, as selftests/mm/Makefile has it; and what all of that includes.
KSELFTEST_COMMON=(vm_util.c thp_settings.c)
KSELFTEST_FILES=(tools/testing/selftests/mm tools/testing/selftests/kselftest.h tools/include/uapi tools/arch/x86/include/uapi
    mm/gup_test.h)

# The package is 150 MiB, most of which xz has to go through; only the files are kept.
kselftest_fetch() {
    local package=linux-source-$KSELFTEST_SERIES source=$CACHE/tmp/linux-source tree=$CACHE/tmp/kselftest
    apt_unpack "$1" "$source" "$package"
    mkdir -p "$tree"
    tar -C "$tree" --strip-components=1 -xf "$source/usr/src/$package.tar.xz" "${KSELFTEST_FILES[@]/#/$package/}"
    gzip -dc "$source/usr/share/doc/$package/changelog.Debian.gz" | sed -n '1s/.*(\(.*\)).*/\1/p' >"$tree/version"
    [ -s "$tree/version" ]
    rm -rf "$source"
}

# Not by "make -C tools/testing/selftests", which wants a configured kernel tree, but with the flags of its Makefile.
kselftest_build() {
    local program done=$CACHE/tmp/kselftest.done
    cd "$KSELFTEST_TREE/tools/testing/selftests/mm"
    sh ./check_config.sh gcc
    mkdir -p "$done"
    for program in "${KSELFTESTS[@]}"; do
        gcc -O2 -Wall -U_FORTIFY_SOURCE -I "$KSELFTEST_TREE" -isystem "$KSELFTEST_TREE/tools/include/uapi" -static \
            -o "$done/$program" "$program.c" "${KSELFTEST_COMMON[@]}" -luring -lrt -lpthread -lm
    done
    in_place "$done" "$1"
}

# kselftest_provision: KSELFTEST, a directory with the programs; KSELFTEST_VERSION of their source.
kselftest_provision() {
    local set
    deps_install "the kernel's own tests" "${DEPS_KSELFTEST[@]}"
    KSELFTEST_TREE=$CACHE/packages/kselftest-$KSELFTEST_SERIES
    if [ ! -d "$KSELFTEST_TREE" ]; then
        set=$(kernel_set "$KSELFTEST_SERIES")
        cache_need 400 "the kernel's own tests"
        apt_set "$set"
        step kselftest-source "Fetching the tests of Linux $KSELFTEST_SERIES" kselftest_fetch "$set"
        in_place "$CACHE/tmp/kselftest" "$KSELFTEST_TREE"
    fi
    KSELFTEST_VERSION=$(cat "$KSELFTEST_TREE/version")
    KSELFTEST=$CACHE/runner/kselftest-$(hash_text "$KSELFTEST_VERSION" "$(hash_of images/lib/kselftest.sh)")
    [ -d "$KSELFTEST" ] || step kselftest "Building the tests of Linux $KSELFTEST_VERSION" kselftest_build "$KSELFTEST"
}

# The image of the scenarios, with an archive behind it that has the programs, in a directory that says what they are.
kselftest_image_build() {
    local root=$CACHE/tmp/kselftest-image dir
    dir=$root/lib/kselftest/linux-source-$KSELFTEST_VERSION
    rm -rf "$root"
    mkdir -p "$dir"
    install -m 755 "$KSELFTEST"/* "$dir/"
    { cat "$IMAGE"; image_archive "$root"; } >"$CACHE/tmp/image"
    mv "$CACHE/tmp/image" "$1"
    rm -rf "$root"
}

# kselftest_image_provision: IMAGE becomes the one with the programs.
kselftest_image_provision() {
    local image
    image=${IMAGE%.cpio}-$(hash_text "${KSELFTEST##*/}").cpio
    [ -e "$image" ] || step "image-kselftest" "Making the image with the kernel's tests for $KERNEL_RELEASE" kselftest_image_build "$image"
    IMAGE=$image
}

cmd_kselftest() {
    parse_options kselftest "$@"
    parse_kernels
    VM_MODE=kselftest
    run_kernels
}
