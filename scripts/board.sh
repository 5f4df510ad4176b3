# What the guests share in which tug is /init: a board with its firmware. Sourced after lib.sh, from
# the repository's top; `board TARGET` comes first.

# board TARGET: its kernel, our binary, and an empty directory $WORK that goes at the end.
board() {
    own_target
    HOST=dist/$NAME/tug
    [ -f "$HOST" ] || scripts/build "$NAME" >&2
    target "$1"
    PATH=$PATH:/usr/sbin:/sbin
    need "$EMULATOR_PACKAGE" cpio kmod umoci e2fsprogs squashfs-tools
    unpack "$DEBIAN" "$KERNEL" busybox-static
    [ -f "dist/$NAME/tug" ] || scripts/build "$NAME" >&2
    UNPACKED=target/debian/$DEBIAN/root
    BUSYBOX=$UNPACKED/bin/busybox
    # Where modprobe finds lib/modules.
    MODULES=$UNPACKED
    VERSION=$(ls "$MODULES/lib/modules")
    [ -f "$MODULES/lib/modules/$VERSION/modules.dep" ] || depmod -b "$MODULES" "$VERSION"
    mkdir -p target/guest
    WORK=$(mktemp -d "$PWD/target/guest/board.XXXXXX")
    trap 'rm -rf "$WORK"' EXIT
    trap 'exit 1' INT TERM HUP
}

# uml: after `board`: this machine's kind of guest is User Mode Linux, which starts in two seconds and is
# a process to be killed.
uml() {
    unpack "$DEBIAN" user-mode-linux
    MODULES=$WORK/uml
    mkdir -p "$MODULES/lib"
    ln -s "$PWD/$UNPACKED/usr/lib/uml/modules" "$MODULES/lib/modules"
    VERSION=$(ls "$MODULES/lib/modules")
}

# modules TREE NAME...: those, and what they need, where modprobe and tug look for them.
modules() {
    tree=$1
    shift
    into=$tree/lib/modules/$VERSION
    mkdir -p "$into"
    for module; do
        # What is built into this kernel, or not made for it, prints no path.
        modprobe -d "$MODULES" -S "$VERSION" --show-depends "$module" 2>/dev/null || true
    done | sed -n "s|^insmod .*/lib/modules/$VERSION/\(.*\.ko\) .*|\1|p" |
        awk '!seen[$0]++' >"$WORK/modules"
    (cd "$MODULES/lib/modules/$VERSION" && xargs cp --parents -t "$into") <"$WORK/modules"
    cp "$MODULES/lib/modules/$VERSION/modules.builtin" "$into"
    depmod -b "$tree" "$VERSION" 2>/dev/null
    # Only what tug reads.
    find "$into" -name 'modules.*' ! -name modules.dep ! -name modules.alias ! -name modules.builtin -delete
}

# image NAME [OPTION OF umoci config...]: an image of busybox and of what lies in $WORK/files, as
# $WORK/images/NAME.tar.
image() {
    image=$1
    shift
    layout=$WORK/layout
    rm -rf "$layout"
    mkdir -p "$WORK/images" "$WORK/files"
    cp "$(rootfs "$DEBIAN")" "$WORK/layer.tar"
    tar -C "$WORK/files" --owner 0 --group 0 --numeric-owner --sort name -rf "$WORK/layer.tar" .
    umoci --log error init --layout "$layout"
    umoci --log error new --image "$layout:1"
    umoci --log error raw add-layer --image "$layout:1" "$WORK/layer.tar"
    umoci --log error config --image "$layout:1" --architecture "${DEBIAN%hf}" "$@"
    tar -C "$layout" -cf "$WORK/images/$image.tar" .
}

# firmware FILE: a store with all those images, each called firmware:NAME. Made as EROFS by this
# machine's tug, or as squashfs by Debian's tool, by the end of the file's name.
firmware() {
    sources=
    for archive in "$WORK"/images/*.tar; do
        name=${archive##*/}
        sources="$sources firmware:${name%.tar}=$archive"
    done
    case $1 in
    *.erofs) place=$1 ;;
    *) place=$WORK/store/ ;;
    esac
    # shellcheck disable=SC2086
    "$HOST" store build --platform "linux/$DEBIAN" -o "$place" $sources >&2
    case $1 in
    *.squashfs) mksquashfs "$WORK/store" "$1" -quiet -no-progress -noappend >&2 ;;
    esac
    rm -rf "$WORK/store"
}

# pack TREE: an initramfs of it, on standard output.
pack() { (cd "$1" && find . | cpio -o -H newc --quiet -R 0:0 | gzip -1); }

# power_on INITRAMFS MEGABYTES [OPTION OF THE EMULATOR...]: boot and print the console until the
# guest ends. WORDS are for the kernel's command line. LIMIT=SECONDS bounds it (120). With COUNTED the
# guest's time is the number of its instructions, 2 ns each.
power_on() {
    initramfs=$1 memory=$2 speed="-accel tcg,thread=multi -smp 2"
    shift 2
    [ -z "${COUNTED-}" ] || speed="-accel tcg,thread=single -icount shift=1,sleep=off -smp 1"
    # Each exec is noted in the kernel's log, with its time.
    # shellcheck disable=SC2086
    timeout -k 5 "${LIMIT:-120}" $EMULATOR $speed -m "$memory" \
        -nodefaults -no-user-config -display none -monitor none -serial stdio -no-reboot \
        -kernel "$UNPACKED"/boot/vmlinuz-* -initrd "$initramfs" "$@" \
        -append "console=$CONSOLE quiet panic=-1 mitigations=off nokaslr random.trust_cpu=on \
trace_event=sched:sched_process_exec tp_printk ${WORDS-}" </dev/null 2>&1
}

# disk FILE: what a guest sees as the next /dev/vdX, for power_on.
disk() { echo "-drive file=$1,if=none,format=raw,id=${1##*/} -device virtio-blk-pci,drive=${1##*/}"; }
