#!/bin/sh
# `linux.resources` of config.json on cgroup v2 with all its controllers: each limit is found in its
# file, and holds.
set -u
# Containers with a user namespace need a root that pivot_root can leave: as switch_root(8) would
# make one, with the same files.
if [ -z "${SWITCHED-}" ]; then
    mkdir -p /switched
    exec env SWITCHED=yes unshare -m sh -c 'mount --make-rprivate / && mount --bind / /switched &&
        for dir in proc sys dev tmp run; do mount --rbind /$dir /switched/$dir || exit; done &&
        cd /switched && mount --move . / && exec chroot . sh "$0"' "$0"
fi
suite=resources
engine=none
. "${0%/*}/common"

TOP=/sys/fs/cgroup
BUNDLE=$HERE/bundle
mkdir -p "$BUNDLE/rootfs"
tar -x -C "$BUNDLE/rootfs" -f /rootfs.tar

# config RESOURCES SCRIPT [CGROUPSPATH]: what the next container is made from.
config() {
    cat >"$BUNDLE/config.json" <<EOF
{"ociVersion": "1.3.0", "root": {"path": "rootfs"},
 "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"],
  "args": ["sh", "-c", "$2"],
  "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]}},
 "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}],
 "linux": {"cgroupsPath": "${3-/suite/box}", "resources": $1,
  "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}]}}
EOF
}

runtime() { tug runtime --root "$HERE/runtime" "$@"; }
run() { runtime run --bundle "$BUNDLE" box; }
# It keeps its streams, so they are not ours.
start() { runtime run --detach --bundle "$BUNDLE" box </dev/null >/dev/null 2>"$HERE/stderr"; }
stop() { runtime delete --force box; }
value() { cat "$TOP/suite/box/$1"; }

# holds NAME RESOURCES FILE VALUE...: a container with these limits has these values.
holds() {
    name=$1
    config "$2" "sleep 1000"
    shift 2
    start || { fail "$name" "$(cat "$HERE/stderr")"; return; }
    while [ $# -gt 0 ]; do
        same "$name: $1" "$2" "$(value "$1")"
        shift 2
    done
    stop
}

holds "memory" '{"memory": {"limit": 67108864, "reservation": 33554432, "swap": 100663296}}' \
    memory.max 67108864 memory.low 33554432 memory.swap.max 33554432
holds "memory without swap" '{"memory": {"limit": 67108864, "swap": 67108864}}' memory.swap.max 0
holds "memory with swap at will" '{"memory": {"limit": 67108864, "swap": -1}}' \
    memory.max 67108864 memory.swap.max max
holds "no limit at all" '{"memory": {"limit": -1}, "pids": {"limit": -1}}' \
    memory.max max memory.swap.max max pids.max max
holds "shares" '{"cpu": {"shares": 512}}' cpu.weight 59
holds "quota" '{"cpu": {"quota": 50000}}' cpu.max "50000 100000"
holds "quota and period" '{"cpu": {"quota": 5000, "period": 20000}}' cpu.max "5000 20000"
holds "period" '{"cpu": {"period": 20000}}' cpu.max "max 20000"
holds "burst" '{"cpu": {"quota": 5000, "burst": 2000}}' cpu.max.burst 2000 cpu.max "5000 100000"
holds "idle" '{"cpu": {"idle": 1, "shares": 512}}' cpu.idle 1
holds "cpuset" '{"cpu": {"cpus": "1", "mems": "0"}}' cpuset.cpus 1 cpuset.mems 0
holds "pids" '{"pids": {"limit": 20}}' pids.max 20
holds "pids, 0 being as few as can be" '{"pids": {"limit": 0}}' pids.max 1
holds "weight" '{"blockIO": {"weight": 500}}' io.weight "default 4950"
holds "huge pages" '{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}' \
    hugetlb.2MB.max 4194304 hugetlb.2MB.rsvd.max 4194304
holds "unified" '{"unified": {"memory.high": "50331648", "cpu.weight": "77",
    "cgroup.max.descendants": "3"}}' memory.high 50331648 cpu.weight 77 cgroup.max.descendants 3
holds "unified comes last" '{"pids": {"limit": 20}, "unified": {"pids.max": "30"}}' pids.max 30

truncate -s 16M "$HERE/disk"
disk=$(losetup -f)
losetup "$disk" "$HERE/disk"
numbers=$(cat "/sys/block/${disk##*/}/dev")
pair="\"major\": ${numbers%:*}, \"minor\": ${numbers#*:}"
holds "throttles" "{\"blockIO\": {
    \"throttleReadBpsDevice\": [{$pair, \"rate\": 1048576}],
    \"throttleWriteBpsDevice\": [{$pair, \"rate\": 2097152}],
    \"throttleReadIOPSDevice\": [{$pair, \"rate\": 100}],
    \"throttleWriteIOPSDevice\": [{$pair, \"rate\": 200}]}}" \
    io.max "$numbers rbps=1048576 wbps=2097152 riops=100 wiops=200"
holds "a throttle of 0 is none" "{\"blockIO\": {
    \"throttleReadBpsDevice\": [{$pair, \"rate\": 1048576}],
    \"throttleReadIOPSDevice\": [{$pair, \"rate\": 100}, {$pair, \"rate\": 0}]}}" \
    io.max "$numbers rbps=1048576 wbps=max riops=max wiops=max"
losetup -d "$disk"

# By effect.
config '{"memory": {"limit": 1048576}}' true
runs "a container with a limit of 1 MiB runs" 0 "" run
config '{"memory": {"limit": 33554432}}' "dd if=/dev/zero of=/dev/null bs=64M count=1; echo \$?"
runs "above its memory limit a program is killed" 0 "137" run
config '{"memory": {"limit": 33554432}}' "dd if=/dev/zero of=/dev/null bs=8M count=1; echo \$?"
runs "below it is not" 0 "0" run
forks='i=0; while [ $i -lt 20 ]; do sleep 100 & i=$((i + 1)); done; echo all; kill -9 -1'
config '{"pids": {"limit": 8}}' "$forks"
refused "above its pids limit a program cannot fork" 2 "can't fork" run
config '{"cpu": {"cpus": "1"}}' nproc
runs "a cpuset is what there is" 0 "1" run
config '{"cpu": {"cpus": "0-1"}}' nproc
runs "of both too" 0 "2" run

# What cannot be had is named, and nothing is left.
cannot() {
    config "$2" true
    refused "$1" 1 "$3" run
    [ ! -e "$TOP/suite/box" ] || fail "$1 leaves no group" "$(ls -d "$TOP/suite/box")"
}
cannot "a processor that is not there" '{"cpu": {"cpus": "99"}}' \
    "write \"99\" to $TOP/suite/box/cpuset.cpus"
cannot "a page size that is not there" '{"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}' \
    "cannot set hugetlb.3MB.max: this kernel has no such file"
cannot "a unified file that is not there" '{"unified": {"memory.nosuch": "1"}}' \
    "unified resource \"memory.nosuch\" can't be set: cannot set memory.nosuch: this kernel has no such file"
cannot "a controller that is not there" '{"unified": {"nosuch.max": "1"}}' \
    "cgroup v2 has no nosuch controller here"
cannot "a value that makes no sense" '{"unified": {"memory.high": "much"}}' \
    "unified resource \"memory.high\" can't be set"
cannot "a quota below the burst" '{"cpu": {"quota": 5000, "burst": 9000}}' \
    "linux.resources.cpu.burst is 9000, more than the quota, 5000"

# Parents that cannot hand down.
mkdir "$TOP/busy"
sleep 1000 &
echo $! >"$TOP/busy/cgroup.procs"
config '{"memory": {"limit": 33554432}}' true /busy/box
refused "a parent with processes is named" 1 \
    "cannot enter cgroupv2 \"$TOP/busy/box\" with domain controllers -- it is in an invalid state: $TOP/busy has processes of its own" run
config '{"pids": {"limit": 8}}' "cat /proc/self/cgroup" /busy/box
runs "what is threaded it does hand down" 0 "0::/busy/box" run
kill $!
wait $! 2>/dev/null
gone() { rmdir "$TOP/busy"; }
until_true gone
mkdir "$TOP/threads" "$TOP/threads/part"
echo threaded >"$TOP/threads/part/cgroup.type"
config '{"memory": {"limit": 33554432}}' true /threads/box
refused "a threaded tree holds no memory limit" 1 \
    "cannot enter cgroupv2 \"$TOP/threads/box\" with domain controllers -- it is in an invalid state" run
config '{"pids": {"limit": 8}}' "cat /proc/self/cgroup" /threads/box
runs "a container without one is threaded" 0 "0::/threads/box" run
rmdir "$TOP/threads/part" "$TOP/threads"

# Update, up and down; what is not named stays.
config '{"memory": {"limit": 67108864, "swap": 100663296}, "pids": {"limit": 20},
    "cpu": {"quota": 50000, "shares": 512}}' "sleep 1000"
start
# updated FILE VALUE OPTION...
updated() {
    file=$1 expected=$2
    shift 2
    runs "update $*" 0 "" runtime update "$@" box
    same "update $*: $file" "$expected" "$(value "$file")"
}
updated memory.max 83886080 --memory 80M
same "which leaves less of the two for swap" 16777216 "$(value memory.swap.max)"
updated memory.max 16777216 --memory 16777216
same "or more" 83886080 "$(value memory.swap.max)"
updated memory.swap.max 16777216 --memory-swap 33554432
updated memory.swap.max max --memory-swap -1
updated memory.low 8388608 --memory-reservation 8388608
updated memory.max max --memory -1
updated pids.max 30 --pids-limit 30
updated pids.max max --pids-limit -1
updated cpu.max "20000 100000" --cpu-quota 20000
updated cpu.max "20000 50000" --cpu-period 50000
updated cpu.max.burst 10000 --cpu-burst 10000
updated cpu.max "5000 50000" --cpu-quota 5000 --cpu-burst 0
updated cpu.max "max 50000" --cpu-quota -1
updated cpu.weight 100 --cpu-share 1024
updated cpu.idle 1 --cpu-idle 1
updated cpuset.cpus 0 --cpuset-cpus 0
updated io.weight "default 910" --blkio-weight 100
changes() { echo "$1" | runtime update --resources - box; }
runs "update from a file" 0 "" changes '{"pids": {"limit": 50}, "unified": {"memory.high": "50331648"}}'
same "update from a file: pids.max" 50 "$(value pids.max)"
same "update from a file: memory.high" 50331648 "$(value memory.high)"
refused "a limit below what is used, if that is to be refused" 1 "rejecting memory limit 4096 <= usage" \
    changes '{"memory": {"limit": 4096, "checkBeforeUpdate": true}}'
same "which leaves the old one" max "$(value memory.max)"

# Events: kills and figures, until the container ends.
runs "update for the events" 0 "" runtime update --memory 33554432 box
(runtime events --interval 1s box >"$HERE/events"; echo "ended $?" >>"$HERE/events") &
has_event() { grep -q "$1" "$HERE/events"; }
until_true has_event '"type":"stats"'
for member in '"limit":33554432' '"psi":{"some":{"avg10"' '"anon":' '"pids":{"current":1,"limit":50}' \
    '"2MB":{"usage":0,"max":0,"failcnt":0'; do
    if has_event "$member"; then ok "events tell $member"; else fail "events tell $member" "$(cat "$HERE/events")"; fi
done
runs "a program in it is killed" 137 "" runtime exec box dd if=/dev/zero of=/dev/null bs=64M count=1
until_true has_event '{"type":"oom","id":"box"}'
if has_event '{"type":"oom","id":"box"}'; then ok "events tell of it"; else fail "events tell of it" "$(cat "$HERE/events")"; fi
stop
until_true has_event "ended 0"
if has_event "ended 0"; then ok "events end with the container"; else fail "events end" "$(tail -n 1 "$HERE/events")"; fi

# A user without rights: nothing delegated, then a part of the tree.
user_config() {
    config "$1" "$2" "$3"
    sed -i -e 's/{"type": "pid"}/{"type": "user"}, {"type": "pid"}/' \
        -e 's/"linux": {/"linux": {"uidMappings": [MAP], "gidMappings": [MAP],/' \
        -e 's/MAP/{"containerID": 0, "hostID": 65534, "size": 1}/g' "$BUNDLE/config.json"
}
mkdir "$HERE/user"
chown 65534:65534 "$HERE/user"
chmod 755 "$HERE"
# as_user GROUP COMMAND...: in this group.
as_user() {
    sh -c 'echo $$ >"$0/cgroup.procs"; exec su nobody -s /bin/sh -c "$1"' "$TOP$1" \
        "tug runtime --root $HERE/user/state $2 --bundle $BUNDLE box"
}
user_config '{}' "cat /proc/self/cgroup" ""
runs "without rights and limits there is no group" 0 "0::/" as_user / run
user_config '{"memory": {"limit": 33554432}}' true ""
refused "a limit without rights" 1 \
    "rootless needs no limits + no cgrouppath when no permission is granted for cgroups" as_user / run
user_config '{}' true "/suite/box"
refused "a place without rights" 1 "Permission denied" as_user / run
mkdir "$TOP/given" "$TOP/given/shell"
echo "+memory +pids" >"$TOP/given/cgroup.subtree_control"
chown 65534:65534 "$TOP/given" "$TOP/given/cgroup.procs" "$TOP/given/cgroup.subtree_control" \
    "$TOP/given/shell" "$TOP/given/shell/cgroup.procs"
user_config '{"memory": {"limit": 33554432}, "pids": {"limit": 9}}' "sleep 1000" ""
as_user /given/shell "run --detach" </dev/null >/dev/null 2>"$HERE/stderr" ||
    fail "with rights" "$(cat "$HERE/stderr")"
same "what is delegated is used: memory" 33554432 "$(cat "$TOP/given/box/memory.max")"
same "what is delegated is used: pids" 9 "$(cat "$TOP/given/box/pids.max")"
same "and it is the user's" 65534 "$(stat -c %u "$TOP/given/box")"
tug runtime --root "$HERE/user/state" delete --force box
same "and gone" "" "$(ls -d "$TOP/given/box" 2>/dev/null)"
until_true rmdir "$TOP/given/shell"
rmdir "$TOP/given"

# A group of its own, with all controllers, below one that has them.
config '{}' "sleep 1000"
start
same "every controller is handed down" "$(cat "$TOP/cgroup.controllers")" "$(value cgroup.controllers)"
runtime pause box
same "paused is frozen" "frozen 1" "$(grep frozen "$TOP/suite/box/cgroup.events")"
runtime resume box
mkdir -p "$TOP/suite/box/in/side"
runs "groups inside are removed too" 0 "" stop
same "nothing of them is left" "" "$(ls -d "$TOP/suite/box" 2>/dev/null)"
rmdir "$TOP/suite"

same "no group is left" "" "$(find "$TOP" -mindepth 1 -type d)"
same "no state is left" "" "$(ls "$HERE/runtime")"
rm -rf "$HERE"
exit "$failed"
