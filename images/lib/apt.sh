# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Packages without touching the system's apt: one private configuration per set of suites, under the cache.
# A set is named by a Debian release ("bookworm": main + security) or is one suite ("bookworm-backports", "sid").
# The mirror is the one the machine itself uses; proxies and the like come from the machine's apt.conf.d.

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Release of this machine: bookworm, trixie, ...
host_release() {
    # shellcheck source=/dev/null
    (. /etc/os-release && printf '%s\n' "${VERSION_CODENAME:-unknown}")
}

# host_uris SUITE-PATTERN: the URIs that the machine's own sources give for a suite. apt itself reads the sources
# (one-line and deb822 files alike): it prints what an update would fetch, without fetching it.
host_uris() {
    apt-get update --print-uris 2>/dev/null |
        sed -nE "s,^'(.*)/dists/$1(/updates)?/(InRelease|main/).*,\1,p" | awk '!seen[$0]++'
}

# A release may be served by several sources (Debian's own, a vendor's): whose path ends in "debian" comes first.
apt_mirrors() {
    local uris
    uris=$(host_uris "$(host_release)")
    [ -n "$uris" ] || die "$EXIT_RIG" "apt has no source for $(host_release) on this machine: cannot tell which mirror to use." \
        "Add a line to /etc/apt/sources.list."
    { grep -E '/debian/?$' <<<"$uris" || true; grep -vE '/debian/?$' <<<"$uris" || true; }
}

# security_of MIRROR: as configured, else next to the mirror, where every full mirror has it.
security_of() {
    local uri
    uri=$(host_uris "$(host_release)-security" | sed -n 1p)
    if [ -n "$uri" ]; then printf '%s\n' "$uri"; else printf '%s\n' "${1%/}-security"; fi
}

# apt_source MIRROR SUITE: binary and source entries; nothing but the two indexes that are used.
apt_source() {
    printf 'deb [arch=amd64 target=Packages signed-by=%s] %s %s main\n' "$KEYRING" "$1" "$2"
    printf 'deb-src [target=Sources signed-by=%s] %s %s main\n' "$KEYRING" "$1" "$2"
}

# apt_sources SET MIRROR: the sources of a set.
apt_sources() {
    case $1 in
    *-backports | sid) apt_source "$2" "$1" ;;
    bullseye) apt_source "$(security_of "$2")" bullseye-security ;;     # the rest of it moves to the archive
    *) apt_source "$2" "$1"; apt_source "$(security_of "$2")" "$1-security" ;;
    esac
}

apt_write_conf() {
    local dir=$1
    mkdir -p "$dir/lists/partial" "$dir/archives/partial"
    : >"$dir/status"
    cat >"$dir/apt.conf" <<CONF
Dir::Etc::SourceList "$dir/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "$dir";
Dir::State::Lists "$dir/lists";
// An empty status file: what is installed here must not influence which version is chosen.
Dir::State::Status "$dir/status";
Dir::Cache "$dir";
Dir::Cache::Archives "$dir/archives";
Dir::Cache::PkgCache "pkgcache.bin";
Dir::Cache::SrcPkgCache "srcpkgcache.bin";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "$(id -un)";
#clear APT::Default-Release;
// Hooks of the machine are for the machine's own lists.
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
CONF
}

apt_fetch_lists() {
    local dir=$1 set=$2 mirror
    apt_write_conf "$dir"
    for mirror in $(apt_mirrors); do
        echo "== mirror $mirror"
        apt_sources "$set" "$mirror" >"$dir/sources.list"
        # "any" turns a list that could not be fetched into an error; apt's default is a warning.
        if apt-get -c "$dir/apt.conf" -o APT::Update::Error-Mode=any update; then
            touch "$dir/fetched"
            return
        fi
    done
    echo "the package lists of $set could not be fetched (no network? the mirror's path?)"
    return 1
}

# apt_set SET: prints the directory; fetches the lists the first time.
apt_set() {
    local dir=$CACHE/apt/$1
    if [ ! -e "$dir/fetched" ]; then
        cache_need 200 "the package lists of $1"
        mkdir -p "$dir"
        step "apt-$1" "Fetching the package lists of $1" apt_fetch_lists "$dir" "$1"
    fi
    APT_DIR=$dir
}

# apt_newest SET REGEX: the name of the newest package that matches, empty if none does.
apt_newest() {
    apt_set "$1"
    NEWEST=$(apt-cache -c "$APT_DIR/apt.conf" pkgnames | grep -E "^($2)\$" | sort -V | tail -n 1 || true)
}

# apt_source_version SET PACKAGE REGEX: the newest version of a source package that matches.
apt_source_version() {
    apt_set "$1"
    NEWEST=$(apt-cache -c "$APT_DIR/apt.conf" showsrc --only-source "$2" 2>/dev/null |
        sed -n 's/^Version: //p' | grep -E "^($3)" | sort -V | tail -n 1 || true)
}

download_debs() {
    local conf=$1 into=$2
    shift 2
    (cd "$into" && apt-get -c "$conf" download "$@")
}

# An index may name a package that the mirror has since replaced: fetch the lists again, once.
apt_unpack() {
    local set=$1 into=$2 deb dir=$CACHE/apt/$1 debs=$CACHE/tmp/debs
    shift 2
    rm -rf "$debs" && mkdir -p "$debs" "$into"
    if ! download_debs "$dir/apt.conf" "$debs" "$@"; then
        echo "== trying again with fresh lists"
        apt_fetch_lists "$dir" "$set"
        download_debs "$dir/apt.conf" "$debs" "$@"
    fi
    for deb in "$debs"/*.deb; do
        echo "== unpacking ${deb##*/}"
        dpkg -x "$deb" "$into"
        rm "$deb"
    done
}

# apt_tree SET NAME PACKAGE...: cache/packages/NAME holds the packages' files, unpacked, never installed.
apt_tree() {
    local set=$1 name=$2
    TREE=$CACHE/packages/$name
    shift 2
    [ ! -d "$TREE" ] || return 0
    apt_set "$set"
    step "packages-$name" "Fetching $name" apt_unpack "$set" "$CACHE/tmp/$name" "$@"
    in_place "$CACHE/tmp/$name" "$TREE"
}
