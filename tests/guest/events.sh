#!/bin/sh
# `tug runtime events` where everything is counted: what a container uses, the kernel's kills for
# want of memory, and the end.
set -u
suite=events
. "${0%/*}/common"

BUNDLE=$HERE/bundle
mkdir -p "$BUNDLE/rootfs"
tar -x -C "$BUNDLE/rootfs" -f /rootfs.tar

# config SCRIPT: a container with 32 MiB and 20 processes.
config() {
    cat >"$BUNDLE/config.json" <<EOF
{"ociVersion": "1.0.2", "root": {"path": "rootfs"},
 "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"],
  "args": ["sh", "-c", "$1"]},
 "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}],
 "linux": {"cgroupsPath": "/suite/box",
  "resources": {"memory": {"limit": 33554432}, "pids": {"limit": 20}},
  "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}]}}
EOF
}

runtime() { tug runtime --root "$HERE/runtime" "$@"; }

config 'until [ -e /go ]; do sleep 0.1; done; dd if=/dev/zero of=/dev/null bs=64M count=1; touch /seen; sleep 1000'
# It keeps its streams, so they are not ours.
runtime run --detach --bundle "$BUNDLE" box </dev/null >/dev/null 2>&1 || fail "it starts" "no"

stats=$(runtime events --stats box)
for part in '{"type":"stats","id":"box","data":{"cpu":{"usage":{"total":' \
    '"memory":{"cache":' '"usage":{"limit":33554432,"usage":' '"raw":{"anon":' \
    '"limit":20}' '"2MB":{"usage":0,'; do
    case $stats in
    *"$part"*) ok "stats have $part" ;;
    *) fail "stats have $part" "$stats" ;;
    esac
done

runtime events --interval 200ms box >"$HERE/events" &
events=$!
until_true grep -q stats "$HERE/events"
touch "$BUNDLE/rootfs/go"
until_true grep -q '"oom"' "$HERE/events"
same "a kill for want of memory is told once" '{"type":"oom","id":"box"}' \
    "$(grep '"oom"' "$HERE/events")"
until_true test -e "$BUNDLE/rootfs/seen"
runtime kill box KILL
wait "$events"
same "the events end with their container" 0 $?
runs "and it is removed" 0 "" runtime delete --force box

# A program that is itself killed leaves its event behind, too.
rm -f "$BUNDLE/rootfs/go" "$BUNDLE/rootfs/seen"
config 'until [ -e /go ]; do sleep 0.1; done; exec dd if=/dev/zero of=/dev/null bs=64M count=1'
runtime run --detach --bundle "$BUNDLE" box </dev/null >/dev/null 2>&1 || fail "it starts" "no"
runtime events --interval 200ms box >"$HERE/events" &
events=$!
until_true grep -q stats "$HERE/events"
touch "$BUNDLE/rootfs/go"
wait "$events"
same "the kill that ends it is told first" '{"type":"oom","id":"box"}' "$(grep '"oom"' "$HERE/events")"
runs "it is removed" 0 "" runtime delete --force box

finish
