# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Packages that must be installed, because they are run or linked against. What is only read (firmware, busybox,
# kernels) is unpacked into the cache instead, see apt.sh. "a|b": the name differs between Debian releases.

DEPS_RUN=(
    gcc                 # QEMU, the modules, the tests
    libc6-dev           # headers and libc.a for them
    libc6-dev-i386      # driver.user32: a 32-bit program, and the library like it. Not gcc-multilib, which throws
    'lib32gcc-14-dev|lib32gcc-12-dev' # cross compilers off the machine
    make                # kbuild and the tests' Makefiles
    dpkg-dev            # dpkg-source: QEMU's source package with Debian's patches; brings patch and xz
    ninja-build         # QEMU's build
    meson               # QEMU's build
    pkg-config          # QEMU's configure finds its libraries with it
    python3-venv        # QEMU's configure (8.0 and later) makes one; also the Python that the rig runs on
    libglib2.0-dev      # QEMU
    libpixman-1-dev     # QEMU, required by every softmmu target of 7.2
    zlib1g-dev          # QEMU
    libfdt-dev          # QEMU: the x86 target loads kernels through it
    'libelf1|libelf1t64' # objtool of the kernel headers is linked against it
    cpio                # the initramfs
    kmod                # depmod and modprobe --show-depends for the guest's modules
    xz-utils            # the guest's modules are compressed
    liburing-dev        # tests and bench drive an NVMe disk with it; linked statically
    libibverbs-dev      # and soft-RoCE; brings libnl, which it needs
)

# For "kselftest" alone
DEPS_KSELFTEST=(
    liburing-dev        # cow and gup_longterm of the kernel's tests pin with it, too; linked statically
)

DEPS_PROFILE=(
    linux-perf          # bench --profile
)

# What the guest finds on its disks is made with them, see disks.sh.
DEPS_DISKS=(
    e2fsprogs           # mkfs.ext4
    xfsprogs            # mkfs.xfs
    btrfs-progs         # mkfs.btrfs
)

# For kernels of the rig's own, see kernel-build.sh.
DEPS_KERNEL=(
    flex                # kconfig
    bison               # kconfig
    bc                  # the kernel's timeconst.h
    libelf-dev          # objtool
)

DEPS_CHECK=(
    shellcheck          # shell scripts
    sparse              # C=2 over the modules
    perl                # checkpatch.pl
    g++                 # the headers are C++, too
    groff-base          # man pages: no warning, and a synopsis that compiles
    'pahole|dwarves'    # the layout of what crosses a boundary, field by field; layout.c only asserts what never changes
)

# For "check --full" alone: 98 MB to fetch, 306 MB on the disk
DEPS_BROWSER=(
    chromium-headless-shell     # a browser without a window looks at report.html
)

# For "fuzz" alone
DEPS_FUZZ=(
    clang               # the compiler that has libFuzzer
    libclang-rt-dev     # libFuzzer, the sanitizers, the coverage
    llvm                # llvm-cov, llvm-profdata; stack traces with names
)

# deps_missing PACKAGE...: those that are not installed. One question for all: each costs a twentieth of a second.
deps_missing() {
    local dep name installed
    # It fails if it does not know one of them, and tells of the others.
    installed=$(dpkg-query -W -f '${Package}=${db:Status-Status}\n' ${*//|/ } 2>/dev/null || true)
    for dep; do
        for name in ${dep//|/ }; do
            [[ $'\n'$installed$'\n' != *$'\n'"$name=installed"$'\n'* ]] || continue 2
        done
        printf '%s\n' "$dep"
    done
}

dep_candidate() {
    local name
    for name in ${1//|/ }; do
        # Not grep -q: it stops reading early, and with pipefail the writer's SIGPIPE would count as failure.
        if apt-cache policy "$name" 2>/dev/null | grep -E '^ +Candidate: [^(]' >/dev/null; then
            printf '%s\n' "$name"
            return
        fi
    done
    return 1
}

# as_root: how to become root, in AS_ROOT; fails if there is no way.
as_root() {
    AS_ROOT=()
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo >/dev/null || return 1
    AS_ROOT=(sudo)
    sudo -n true 2>/dev/null && return 0
    # sudo asks for the password here, in the foreground; the steps that follow run in the background.
    [ -t 0 ] && [ -t 2 ] && say "sudo is needed to install packages:" && sudo -v
}

apt_update_system() { "${AS_ROOT[@]}" apt-get update; }

apt_install_system() {
    "${AS_ROOT[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -o Dpkg::Use-Pty=0 install --no-install-recommends "$@"
}

# deps_install PURPOSE PACKAGE...: installs what is missing and says what; without the right to, says how.
deps_install() {
    local purpose=$1 dep missing=() names=()
    shift
    mapfile -t missing < <(deps_missing "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        die "$EXIT_RIG" "packages are missing for $purpose and this is not a Debian machine: ${missing[*]}"
    if ! as_root; then
        die "$EXIT_RIG" "packages are missing for $purpose and there is no way to become root (neither root nor sudo). Run as root:" \
            "    apt-get update && apt-get install --no-install-recommends ${missing[*]%%|*}"
    fi
    for dep in "${missing[@]}"; do
        # A fresh installation or a container has no package lists yet.
        if ! dep_candidate "$dep" >/dev/null; then
            step apt-update "Updating the system's package lists (apt-get update)" apt_update_system
            break
        fi
    done
    for dep in "${missing[@]}"; do
        names+=("$(dep_candidate "$dep")") ||
            die "$EXIT_RIG" "package ${dep//|/ or } is needed for $purpose, but apt does not know it." \
                "Check the machine's apt sources and its network."
    done
    say "Installing for $purpose: ${names[*]}"
    step apt-install "Installing packages" apt_install_system "${names[@]}"
}
