#!/bin/sh
# Sizes of containers and volumes: by project quotas on a disk that has them, and by a file with a
# file system in it on one that has none.
set -u
suite=sizes
disk=${QUOTA_DISK:-/quota.ext4}

# checks KIND: what holds here, told by what a container sees and finds.
checks() {
    fill='dd if=/dev/zero of=/fill bs=64k 2>/dev/null; dd if=/dev/zero of=/rest bs=512 2>/dev/null
        { echo x >/x; } 2>/dev/null || echo full; echo $(($(stat -f -c "%b * %S" /) / 1024))'
    runs "$1: a container is held to its size" 0 "full
8192" tug run --rm --storage-opt size=8m test sh -c "$fill"
    runs "$1: one with all capabilities too" 0 "full
8192" tug run --rm --privileged --storage-opt size=8m test sh -c "$fill"
    tug run -d --name box --storage-opt size=8m test sh -c \
        "echo run >>/runs; $fill; rm /fill; echo end >>/ends; exec sleep 1000" \
        >/dev/null || fail "$1: it starts" "$?"
    until_true tug exec box test -s /ends
    runs "$1: its neighbour is not" 0 "9.0M" tug run --rm --storage-opt size=16m test sh -c \
        'dd if=/dev/zero of=/fill bs=1M count=9 2>/dev/null; du -h /fill | cut -f1'
    runs "$1: nor one without a size" 0 "9.0M" tug run --rm test sh -c \
        'dd if=/dev/zero of=/fill bs=1M count=9 2>/dev/null; du -h /fill | cut -f1'
    tug restart -t 0 box >/dev/null
    until_true tug exec box sh -c '[ "$(wc -l </ends)" = 2 ]'
    runs "$1: what it has it keeps" 0 "2" tug exec box sh -c 'wc -l </runs'
    tug cp /tests/common box:/common
    runs "$1: cp reaches it" 0 "$(wc -c </tests/common)" tug exec box sh -c 'wc -c </common'
    tug rm -f box >/dev/null

    tug volume create -o size=6m data >/dev/null || fail "$1: a volume is made" "$?"
    runs "$1: a volume is held to its size" 0 "full
6144" tug run --rm -v data:/data test sh -c "$(echo "$fill" | sed 's|of=/|of=/data/|g; s|>/x|>/data/x|; s|S" /)|S" /data)|')"
    runs "$1: and keeps what it has" 0 "0" tug run --rm -v data:/data test sh -c \
        'rm /data/fill; test -s /data/rest; echo $?'
    tug volume rm data >/dev/null
    same "$1: no volume is left" "" "$(tug volume ls -q)"
}

held_by_files() { find /var/lib/tug -name disk.ext4 | wc -l; }

if [ -e "$disk" ] && mount -o loop,prjquota "$disk" /var/lib/tug 2>/dev/null ||
    mount -o prjquota "$disk" /var/lib/tug 2>/dev/null; then
    . "${0%/*}/common"
    tug create --name held --storage-opt size=1m test true >/dev/null
    same "a quota needs no file" 0 "$(held_by_files)"
    tug rm held >/dev/null
    checks "quota"
    (finish) || failed=1
    umount /var/lib/tug
else
    echo "skip $suite: no disk with project quotas"
    failed=0
fi

grep -q '[[:space:]]ext4$' /proc/filesystems || {
    echo "skip $suite: no ext4 in this kernel"
    exit $failed
}
before=$failed
. "${0%/*}/common"
failed=$before
tug create --name held --storage-opt size=1m test true >/dev/null
same "without quotas there is a file" 1 "$(held_by_files)"
tug rm held >/dev/null
checks "file"
finish
