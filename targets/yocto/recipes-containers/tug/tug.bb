SUMMARY = "Container engine for devices"
DESCRIPTION = "Docker's client, engine, shim, runtime, init and proxy in one small static program"
SECTION = "containers"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

PROVIDES += "${@bb.utils.contains('PACKAGECONFIG', 'docker', 'virtual/docker', '', d)}"
PROVIDES += "${@bb.utils.contains('PACKAGECONFIG', 'runc', 'virtual/runc virtual-runc', '', d)}"

# Where the release archives lie; those that came with this layer are in its files/.
TUG_SITE ?= "file:/"

TUG_TRIPLE = "none"
TUG_TRIPLE:x86-64 = "x86_64-unknown-linux-musl"
TUG_TRIPLE:aarch64 = "aarch64-unknown-linux-musl"
TUG_TRIPLE:armv7a = "armv7-unknown-linux-musleabihf"
TUG_TRIPLE:armv7ve = "armv7-unknown-linux-musleabihf"
TUG_TRIPLE:class-native = "x86_64-unknown-linux-musl"
COMPATIBLE_HOST = "(x86_64|aarch64|arm).*-linux"

SRC_URI = "${TUG_SITE}/tug-${PV}-${TUG_TRIPLE}.tar.gz;name=${TUG_TRIPLE}"
@CHECKSUMS@

S = "${UNPACKDIR}/tug-${PV}-${TUG_TRIPLE}"
UNPACKDIR ??= "${WORKDIR}"

inherit bin_package systemd update-rc.d useradd

USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system docker"

SYSTEMD_SERVICE:${PN} = "tug.socket tug.service tug-down.service"
INITSCRIPT_NAME = "tug"
INITSCRIPT_PARAMS = "defaults 60 20"

# PACKAGECONFIG says which of the field's names lead to it.
PACKAGECONFIG ??= ""
PACKAGECONFIG[docker] = ""
PACKAGECONFIG[runc] = ""
# tug as process 1 of an initramfs.
PACKAGECONFIG[init] = ""

do_install() {
    install -D -m 0755 ${S}/tug ${D}${bindir}/tug
    for name in tugd tug-runtime tug-init tug-proxy tug-boot; do
        ln -s tug ${D}${bindir}/$name
    done
    if ${@bb.utils.contains('PACKAGECONFIG', 'docker', 'true', 'false', d)}; then
        ln -s tug ${D}${bindir}/docker
    fi
    if ${@bb.utils.contains('PACKAGECONFIG', 'runc', 'true', 'false', d)}; then
        ln -s tug ${D}${bindir}/runc
    fi
    if ${@bb.utils.contains('PACKAGECONFIG', 'init', 'true', 'false', d)}; then
        ln -s ${bindir}/tug-boot ${D}/init
    fi
    install -m 0755 ${S}/sysv/tug-service ${D}${bindir}/tug-service
    if ${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'true', 'false', d)}; then
        install -d ${D}${systemd_system_unitdir}
        install -m 0644 ${S}/systemd/tug.socket ${S}/systemd/tug.service \
            ${S}/systemd/tug-down.service ${D}${systemd_system_unitdir}
    fi
    if ${@bb.utils.contains('DISTRO_FEATURES', 'sysvinit', 'true', 'false', d)}; then
        install -D -m 0755 ${S}/sysv/tug ${D}${sysconfdir}/init.d/tug
    fi
    install -d ${D}${mandir}/man1 ${D}${mandir}/man8
    install -m 0644 ${S}/man/*.1 ${D}${mandir}/man1
    install -m 0644 ${S}/man/*.8 ${D}${mandir}/man8
    install -D -m 0644 ${S}/completion/tug.bash ${D}${datadir}/bash-completion/completions/tug
}

FILES:${PN} += "/init"
# The program is static and small as it is; tools of the target's toolchain would not know it better.
INSANE_SKIP:${PN} = "already-stripped ldflags"
INHIBIT_PACKAGE_STRIP = "1"
INHIBIT_SYSROOT_STRIP = "1"
EXCLUDE_FROM_SHLIBS = "1"

RRECOMMENDS:${PN} += "\
    ca-certificates \
    kernel-module-bridge \
    kernel-module-nf-tables \
    kernel-module-nft-chain-nat \
    kernel-module-nft-ct \
    kernel-module-nft-masq \
    kernel-module-nft-nat \
    kernel-module-overlay \
    kernel-module-veth \
"

# For tug_store.bbclass, which makes stores where the image is built.
BBCLASSEXTEND = "native"
