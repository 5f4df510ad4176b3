#!/bin/sh
# The packages: installed, upgraded with containers alive, removed and purged in a Debian of their
# own; the files of Buildroot and Yocto read as those would. Prints `ok NAME`, `FAIL NAME: WHY`,
# `skip NAME: REASON`. Run as root from the repository's top, with dist/ built.
#
# The Debian is a chroot in namespaces of its own, without systemd: its services are those of
# sysvinit, started by invoke-rc.d as packages do. (systemd as process 1 needs a machine of its own.)
set -eu
. scripts/lib.sh

need mmdebstrap lintian mandoc shellcheck python3-kconfiglib make procps iproute2
own_target
work=$(mktemp -d)
root=$work/root
finish() {
    # unshare does not listen while its child lives.
    [ -z "${child-}" ] || kill -9 "$child" 2>/dev/null || true
    rm -rf --one-file-system "$work"
}
trap finish EXIT
trap "exit 1" INT TERM HUP

status=0
ok() { echo "ok packages: $1"; }
fail() { status=1; echo "FAIL packages: $1: $(printf %s "$2" | tr '\n' ' ' | tail -c 600)"; }

# runs NAME COMMAND...: it ends well.
runs() {
    name=$1
    shift
    if said=$("$@" 2>&1 </dev/null); then ok "$name"; else fail "$name" "$said"; fi
}

# says NAME EXPECTED COMMAND...: what it says has that in it.
says() {
    name=$1 expected=$2
    shift 2
    said=$("$@" 2>&1 </dev/null) || true
    case $said in *"$expected"*) ok "$name" ;; *) fail "$name" "$said" ;; esac
}

# A small Debian, made once.
chroot_archive() {
    archive=target/debian/$DEBIAN/packages-chroot.tar
    [ -f "$archive" ] && return
    quiet mmdebstrap --format=tar --variant=essential --include=passwd,bsdutils,procps \
        "$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)" "$archive.new" ||
        { tail -n 5 "$LOG"; die "cannot make a Debian to install into"; }
    mv "$archive.new" "$archive"
}

# The namespaces' first process sleeps; everything happens by way of it, and ends with it.
enter() {
    chroot_archive
    mkdir "$root"
    tar -C "$root" -xf "$archive"
    cp "$(rootfs "$DEBIAN")" "$root/rootfs.tar"
    cp "$work"/*.deb "$root"
    # Without process 1 invoke-rc.d starts nothing unless it is told to.
    printf '#!/bin/sh\nexit 0\n' >"$root/usr/sbin/policy-rc.d"
    chmod +x "$root/usr/sbin/policy-rc.d"
    unshare --mount --pid --net --uts --ipc --fork --kill-child sh -c '
        mount --bind "$1" "$1"
        for path in dev sys; do mount --rbind /$path "$1/$path"; done
        mount -t proc proc "$1/proc"
        mount -t tmpfs tmpfs "$1/run"
        ip link set lo up
        exec chroot "$1" sleep 1000' sh "$root" &
    keeper=$!
    tries=0
    until child=$(pgrep -P "$keeper" sleep); do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || die "the Debian does not start"
        sleep 0.1
    done
}
inside() { nsenter -t "$child" -m -p -n -u -i -r -w env -u TUG_HOST PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

# Whether a container's program is the process that it was.
program() { inside tug inspect -f '{{.State.Pid}}' web; }

debian() {
    old=/$(basename "$work"/tug_*_"$DEBIAN".deb)
    new=$(ls "$work/new"/tug_*_"$DEBIAN".deb)
    cp "$new" "$root/new.deb"
    runs "installs" inside dpkg -i "$old"
    says "and its service runs" "Server" inside tug version
    says "with a group for its users" "docker" inside getent group docker
    says "and is told so" "tug runs" inside /etc/init.d/tug status
    runs "an image comes in" inside tug import /rootfs.tar box
    runs "a container starts" inside tug run -d --name web --restart always --network none box \
        sleep 1000
    before=$(program || true) engine=$(inside cat /run/tug.pid || true)

    runs "a newer version installs" inside dpkg -i /new.deb
    says "its engine is the new one" "9.9.9" inside dpkg-query -W tug
    [ "$(inside cat /run/tug.pid)" != "$engine" ] && ok "which has started" || fail "which has started" "$engine"
    [ "$(program)" = "$before" ] && ok "the container has not been touched" ||
        fail "the container has not been touched" "$before, now $(program)"
    says "and can be entered" "hello" inside tug exec web echo hello
    runs "a restart of the service" inside /etc/init.d/tug restart
    [ "$(program)" = "$before" ] && ok "leaves it alone, too" || fail "leaves it alone, too" "$(program)"

    runs "the machine goes down" inside env RUNLEVEL=0 /etc/rc0.d/K01tug stop
    [ ! -d "/proc/$before/root/dev" ] && ok "with the container" || fail "with the container" "$before"
    says "and the engine" "tug does not run" inside /etc/init.d/tug status
    runs "and comes up" inside /etc/init.d/tug start
    says "with the container again" "Up" inside tug ps --filter name=web

    runs "it can be removed" inside dpkg -r tug
    says "no process is left" "none" inside sh -c \
        'ls -l /proc/[0-9]*/exe 2>/dev/null | grep tug || echo none'
    says "no mount either" "none" inside sh -c 'grep -e /var/lib/tug -e /run/tug /proc/mounts || echo none'
    says "images stay" "images" inside ls /var/lib/tug
    runs "and go with a purge" inside dpkg -P tug
    says "of which nothing is left" "none" inside sh -c \
        'find / -xdev \( -name "*tug*" -o -name "tug" \) ! -path "/proc/*" ! -name "*.deb" | grep . || echo none'
}

# What Buildroot would do with the tree, with make and its own macros replaced by what they come to.
buildroot() {
    tar -C "$work" -xf "$(ls "$work"/tug-*-buildroot.tar.gz)"
    tree=$(ls -d "$work"/tug-*-buildroot)
    cat >"$work/options.py" <<'PYTHON'
import os, kconfiglib
tree = os.environ["BR2_EXTERNAL_TUG_PATH"]
with open(tree + "/all", "w") as file:
    file.write('config BR2_x86_64\n\tdef_bool y\nsource "%s/Config.in"\n' % tree)
config = kconfiglib.Kconfig(tree + "/all", warn_to_stderr=True)
config.syms["BR2_PACKAGE_TUG"].set_value("y")
print("tug:", config.syms["BR2_PACKAGE_TUG"].str_value)
PYTHON
    says "Buildroot's options" "tug: y" env BR2_EXTERNAL_TUG_PATH="$tree" /usr/bin/python3 "$work/options.py"
    mkdir -p "$work/build" "$work/target"
    tar -C "$work/build" --strip-components 1 -xf "$tree/dl/tug-$version-$TRIPLE.tar.gz"
    cat >"$work/Makefile" <<'MAKE'
qstrip = $(strip $(subst ",,$(1)))
KCONFIG_ENABLE_OPT = echo $(1)
INSTALL = install
BR2_x86_64 = y
BR2_PACKAGE_TUG_SITE = "file:///dl"
BR2_PACKAGE_TUG_DOCKER_NAMES = y
BR2_PACKAGE_TUG_INIT = y
include $(TREE)/external.mk
all: build/.stamp_target_installed
build/.stamp_target_installed:
	$(TUG_INSTALL_TARGET_CMDS)
	$(TUG_INSTALL_DOCKER_NAMES)
	$(TUG_INSTALL_INIT)
	$(TUG_INSTALL_INIT_SYSV)
	$(TUG_INSTALL_INIT_SYSTEMD)
	@echo $(TUG_SITE)/$(TUG_SOURCE)
fixups: ; @$(TUG_LINUX_CONFIG_FIXUPS)
MAKE
    make_it() {
        make -s -C "$work" TREE="$tree" BR2_EXTERNAL_TUG_PATH="$tree" TARGET_DIR="$work/target" "$@"
    }
    says "Buildroot's rules" "file:///dl/tug-$version-$TRIPLE.tar.gz" make_it all
    says "make the links" "usr/bin/tug-boot" readlink "$work/target/init"
    [ -x "$work/target/etc/init.d/S60tug" ] && ok "and the script" || fail "and the script" "$said"
    says "and name what the kernel needs" "CONFIG_OVERLAY_FS" make_it fixups
    says "each archive has its hash" "OK" sh -c \
        "sed -n 's/^sha256  //p' '$tree/package/tug/tug.hash' | (cd '$tree/dl' && grep tar.gz | sha256sum -c)"
}

yocto() {
    tar -C "$work" -xf "$(ls "$work"/tug-*-yocto.tar.gz)"
    recipe=$(ls "$work"/tug-*-yocto/recipes-containers/tug/tug_*.bb)
    says "Yocto's recipe has each archive's sum" "3" grep -c '^SRC_URI\[.*sha256sum' "$recipe"
    if command -v oelint-adv >/dev/null; then
        # There is no page to name; a program that is stripped and static has to be said to be.
        says "and pleases its linter" "no errors" sh -c "oelint-adv --quiet \
            --suppress oelint.vars.insaneskip --suppress oelint.var.mandatoryvar.HOMEPAGE '$recipe' 2>&1 |
            grep :error: || echo no errors"
    else
        echo "skip packages: the recipe's linter: no oelint-adv here"
    fi
}

chmod 755 "$work"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
runs "are made" scripts/package
cp dist/release/* "$work"
runs "are made of another version" env VERSION=9.9.9 scripts/package "$NAME"
mkdir "$work/new"
cp dist/release/* "$work/new"
says "whose sums are right" "OK" sh -c 'cd dist/release && sha256sum -c SHA256SUMS'
runs "and again" scripts/package "$NAME"
for file in dist/release/*"$DEBIAN".deb dist/release/*"$TRIPLE".tar.gz; do
    runs "with the same bytes: ${file##*/}" cmp "$file" "$work/${file##*/}"
done
# Whoever makes a release names a maintainer.
runs "please lintian" lintian --allow-root --fail-on error --suppress-tags \
    bogus-mail-host,bogus-mail-host-in-debian-changelog \
    "$work"/tug_*_"$DEBIAN".deb
tar -C "$work" -xf "$work/tug-$version-$TRIPLE.tar.gz"
mkdir "$work/pages"
ln -s "$work/tug-$version-$TRIPLE/man" "$work/pages/man1"
says "manual pages are right" "right" sh -c \
    "cd '$work/pages' && mandoc -Tlint -W error man1/* && echo right"
runs "scripts please shellcheck" shellcheck -S warning -e SC2034 -s sh targets/sysv/* targets/openrc/tug \
    targets/debian/p*
enter
debian
kill -9 "$child"
wait "$keeper" 2>/dev/null || true
child=
buildroot
yocto
exit $status
