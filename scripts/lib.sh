# What the scripts share: messages, packages, targets, toolchain. Sourced from the repository's top.

# Standard output belongs to each script's result; whatever else is said goes to standard error.
say() { echo "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }

# quiet COMMAND...: apt tells much; it goes to a log.
quiet() {
    mkdir -p "${LOG%/*}"
    "$@" >"$LOG" 2>&1 </dev/null
}
LOG=$PWD/target/apt.log

# need PACKAGE...: install those Debian packages that are missing.
need() {
    missing=
    for package; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok' ||
            missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    [ "$(id -u)" = 0 ] || die "missing packages; install them, or run this as root:$missing"
    say "installing:$missing"

    # One index that fails to load need not be the one with our packages: the install will tell.
    [ -n "${APT_IS_FRESH-}" ] || quiet apt-get -qq update || say "apt-get update failed in part"
    export APT_IS_FRESH=yes
    # shellcheck disable=SC2086
    quiet env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o DPkg::Lock::Timeout=600 install $missing && return
    tail -n 20 "$LOG" >&2
    die "cannot install:$missing"
}

# unpack ARCHITECTURE PACKAGE...: unpack Debian packages of any architecture below
# target/debian/ARCHITECTURE/root. Nothing is installed, the machine's own apt stays as it is. With
# SUITE=NAME before it, of that release of Debian, below target/debian/ARCHITECTURE-NAME.
unpack() {
    into=$PWD/target/debian/$1${SUITE:+-$SUITE} architecture=$1
    mkdir -p "$into"
    shift
    (
        flock 8
        for package; do
            shift
            [ -e "$into/$package.done" ] || set -- "$@" "$package"
        done
        [ $# -eq 0 ] || fetch "$@"
    ) 8>"$into/lock" || die "cannot fetch $* for ${into##*/}"
}

fetch() {
    say "unpacking below target/debian/${into##*/}: $*"
    options="-qq -o APT::Architecture=$architecture -o APT::Architectures=$architecture
        -o APT::Sandbox::User=root -o Dir::State::Lists=$into/lists"
    mkdir -p "$into/lists/partial" "$into/deb"
    if [ -n "${SUITE-}" ]; then
        # From where this machine's own packages come.
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
            "$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)" \
            "$SUITE main" >"$into/suite.list"
        options="$options -o Dir::Etc::SourceList=$into/suite.list -o Dir::Etc::SourceParts=-"
    fi
    cd "$into/deb"
    # shellcheck disable=SC2086
    quiet apt-get $options update || say "apt-get update failed in part"
    for package; do
        # A kernel package with a general name only depends on the real one.
        real=$(apt-cache $options depends "$package" |
            sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
        apt-get $options download "${real:-$package}" >&2 &&
            dpkg -x ./*.deb "$into/root" &&
            rm ./*.deb &&
            touch "$into/$package.done" || return
    done
    rm -rf "$into/deb" "$into/lists"
}

# rootfs ARCHITECTURE: make target/debian/ARCHITECTURE/rootfs.tar, a small real root file system:
# Debian's static busybox with the links that `busybox --install` makes. Says its path.
rootfs() {
    own=$(dpkg --print-architecture)
    unpack "$own" busybox-static
    unpack "$1" busybox-static
    tree=target/debian/$1/rootfs
    ( flock 8; [ -f "$tree.tar" ] || lay_out "$1" ) 8>"target/debian/$1/lock"
    echo "$tree.tar"
}

lay_out() {
    mkdir -p "$tree/etc" "$tree/proc" "$tree/sys" "$tree/dev" "$tree/root" "$tree/run" \
        "$tree/tmp" "$tree/var"
    chmod 1777 "$tree/tmp"
    # The links are the same everywhere, so this machine's busybox lists them for the others.
    "target/debian/$own/root/bin/busybox" --list-full | while read -r path; do
        mkdir -p "$tree/${path%/*}"
        ln -sf /bin/busybox "$tree/$path"
    done
    rm -f "$tree/bin/busybox"
    cp "target/debian/$1/root/bin/busybox" "$tree/bin/busybox"
    echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
    echo 'nobody:x:65534:65534:nobody:/:/bin/false' >>"$tree/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$tree/etc/group"
    tar -C "$tree" --owner 0 --group 0 --numeric-owner --sort name -cf "$tree.tar.new" .
    mv "$tree.tar.new" "$tree.tar"
}

# The targets: files in targets/. The directories beside them are for packagers.
targets() {
    for file in targets/*; do
        [ ! -f "$file" ] || echo "${file#targets/}"
    done
}

# target NAME: set what targets/NAME says. The beginning of a name is enough: `aarch64`.
target() {
    for file in "targets/$1" "targets/$1"*; do
        [ -f "$file" ] || continue
        NAME=${file#targets/}
        FEATURES=
        . "./$file"
        return 0
    done
    die "no target $1; there are: $(targets | xargs)"
}

# The target that this machine runs.
own_target() {
    machine=$(dpkg --print-architecture)
    file=$(grep -slx "DEBIAN=$machine" targets/* | head -n 1)
    [ -n "$file" ] || die "no file in targets/ has DEBIAN=$machine"
    target "${file#targets/}"
}

# is_new_enough RUSTC: has it at least the version that Cargo.toml asks for?
is_new_enough() {
    least=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    version=$("$1" --version 2>/dev/null | cut -d ' ' -f 2)
    [ -n "$version" ] && printf '%s\n' "$least" "$version" | sort -V -C
}

# The Rust that builds for this machine and tests: the user's own, or Debian's newest.
host_rust() {
    CARGO=cargo
    export RUSTC=rustc
    if ! is_new_enough rustc || ! command -v cargo >/dev/null; then
        need rustc-web cargo-web ca-certificates
        CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc
    fi
}

has_std_source() { [ -d "$("$RUSTC" --print sysroot)/lib/rustlib/src/rust/library" ]; }

# The Rust that builds std itself, and its linker.
static_rust() {
    host_rust
    if ! has_std_source && [ "$RUSTC" = rustc ] && command -v rustup >/dev/null; then
        say "adding to rustup's toolchain: rust-src"
        timeout 120 rustup component add rust-src >&2 || say "rustup cannot; taking Debian's Rust"
    fi
    if ! has_std_source; then
        need rustc-web cargo-web rust-web-src ca-certificates
        CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc
    fi
    # ring has parts in C, and one clang compiles for all targets.
    need clang
    # rustup's rustc finds its own rust-lld by that name.
    LINKER=rust-lld
    if [ ! -x "$("$RUSTC" --print target-libdir)/../bin/rust-lld" ]; then
        need lld
        LINKER=ld.lld
    fi
}

# cargo_tool COMMAND COMPONENT PACKAGE: get `cargo COMMAND` from where this Rust comes from.
cargo_tool() {
    "$CARGO" "$1" --version >/dev/null 2>&1 && return
    if [ "$CARGO" = cargo ] && command -v rustup >/dev/null; then
        say "adding to rustup's toolchain: $2"
        timeout 120 rustup component add "$2" >&2
    else
        need "$3"
    fi
}
