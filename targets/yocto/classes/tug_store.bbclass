# Put a read-only store of images into a root file system: in an image's recipe
#
#   inherit tug_store
#   TUG_STORE_IMAGES = "app=/path/app.tar registry.example.com/agent:2"
#
# The engine is told by /etc/tug/daemon.json: {"store-ro": ["/usr/share/tug/store.erofs"]}

DEPENDS += "tug-native"

TUG_STORE_IMAGES ??= ""
TUG_STORE ??= "${IMAGE_ROOTFS}${datadir}/tug/store.erofs"
TUG_PLATFORM ??= "linux/amd64"
TUG_PLATFORM:aarch64 ??= "linux/arm64"
TUG_PLATFORM:arm ??= "linux/arm/v7"

tug_store_build() {
    [ -n "${TUG_STORE_IMAGES}" ] || return 0
    mkdir -p "$(dirname ${TUG_STORE})"
    tug store build --platform ${TUG_PLATFORM} -o ${TUG_STORE} ${TUG_STORE_IMAGES}
}
ROOTFS_POSTPROCESS_COMMAND += "tug_store_build"
