#!/bin/sh
# A board as it is sold: images in a file of the firmware that cannot be written, made elsewhere for
# this machine; all state in a tmpfs that goes with the power.
set -u
suite=smoke_firmware
engine=none
. "${0%/*}/common"

start_board() {
    tug engine -H "$DOCKER_HOST" --store-ro /firmware.erofs --data-root /run/tug-data \
        --exec-root /run/tug >>"$LOG" 2>&1 &
    engine=$!
    until_true tug version || {
        fail "the engine starts" "$(cat "$LOG")"
        exit 1
    }
}

start_board
runs "the image is there" 0 "firmware:1" tug images --format '{{.Repository}}:{{.Tag}}'
runs "for this machine" 0 "root:x:0: nogroup:x:65534:" sh -c 'echo $(tug run --rm firmware:1)'
runs "and its programs run" 0 "$(uname -m)" tug run --rm firmware:1 uname -m
refused "it cannot be removed" 1 "is in the read-only store /firmware.erofs" tug rmi -f firmware:1
tug run -d --name web firmware:1 sh -c 'echo up >/tmp/state; exec sleep 1000' >/dev/null
runs "what a container writes lies in the tmpfs" 0 "up" \
    sh -c 'sleep 1; cat /run/tug-data/containers/*/upper/tmp/state'
runs "an image is made on top of it" 0 "" sh -c 'tug commit web built >/dev/null'
runs "and runs" 0 "up" tug run --rm built cat /tmp/state

kill -9 "$engine"
wait "$engine" 2>/dev/null
start_board
runs "the container has outlived the engine" 0 "up" tug exec web cat /tmp/state
tug rm -f web >/dev/null
kill "$engine"
wait "$engine" 2>/dev/null
runs "the file is not mounted any more" 1 "0" grep -c erofs /proc/self/mounts
unbound() { [ -z "$(cat /sys/block/loop*/loop/backing_file 2>/dev/null)" ]; }
until_true unbound && ok "and no loop device has it"
start_board
finish
