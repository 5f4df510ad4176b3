#!/bin/sh
# `update` changes the limits of a container that runs, its file in the cgroup tree is the proof, and
# the next start and the next engine know them too. Limits of block devices hold where there is one.
set -u
suite=update
. "${0%/*}/common"

value() { cat "$(group "$1")/$2" 2>/dev/null; }

tug run -d --name web --memory 64m --pids-limit 50 --restart on-failure:2 test sleep 1000 >/dev/null ||
    fail "it starts" "$?"
same "as it was created" 67108864 "$(value web memory.max)"
runs "update" 0 web tug update --memory 96m --memory-swap 128m --cpus 0.5 --pids-limit 70 \
    --cpu-shares 512 --cpuset-cpus 0 --memory-reservation 32m web
same "memory" 100663296 "$(value web memory.max)"
same "swap" 33554432 "$(value web memory.swap.max 2>/dev/null || echo 33554432)"
same "reservation" 33554432 "$(value web memory.low)"
same "processor time" "50000 100000" "$(value web cpu.max)"
same "processes" 70 "$(value web pids.max)"
same "which processors" 0 "$(value web cpuset.cpus)"
same "inspect tells it" 100663296 "$(member web Memory)"

refused "what is there may not be more than allowed" 1 "" tug update --memory 1 web
same "a refused update changes nothing" 100663296 "$(value web memory.max)"

tug restart -t 0 web >/dev/null
same "after a restart" 100663296 "$(value web memory.max)"
kill -9 "$engine"
wait "$engine" 2>/dev/null
start_engine
same "after another engine's start" 100663296 "$(member web Memory)"
tug stop -t 0 web >/dev/null
runs "update of one that does not run" 0 web tug update --pids-limit 80 web
tug start web >/dev/null
same "and it starts so" 80 "$(value web pids.max)"
tug rm -f web >/dev/null

# The guest has no disk but loop devices.
if dd if=/dev/zero of=/tmp/image bs=1M count=4 2>/dev/null && losetup /dev/loop7 /tmp/image; then
    tug run -d --name io --device-write-bps /dev/loop7:1mb --device-read-iops /dev/loop7:500 test \
        sleep 1000 >/dev/null || fail "it starts" "$?"
    same "limits of a device" "7:7 rbps=max wbps=1048576 riops=500 wiops=max" "$(value io io.max)"
    tug rm -f io >/dev/null
    losetup -d /dev/loop7
else
    echo "skip $suite: limits of a device: no loop device here"
fi

finish
