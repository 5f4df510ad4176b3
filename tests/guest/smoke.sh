#!/bin/sh
# Does a container run on this kernel and processor, all the way: run, logs, exec, stop, limits, exit
# codes, and the engine's death and return.
set -u
suite=smoke
. "${0%/*}/common"

runs "the kernel has all that is necessary" 0 "" sh -c 'tug check >/dev/null'
runs "a program prints" 0 "hello" tug run --rm test echo hello
runs "the machine is this one" 0 "$(uname -m)" tug run --rm test uname -m
for code in 0 3 255; do
    runs "exit code $code" "$code" "" tug run --rm test sh -c "exit $code"
done
refused "a missing program is 127" 127 "executable file not found in \$PATH" tug run --rm test nosuch
refused "an unusable program is 126" 126 "permission denied" tug run --rm test /etc/passwd
refused "an unknown option is 125" 125 "--nosuch" tug run --nosuch test true
refused "a missing image is 125" 125 "Unable to find image 'nosuch:latest' locally" tug run --rm nosuch true
runs "standard input" 0 "5" sh -c 'printf 12345 | tug run --rm -i test wc -c'
runs "options" 0 "1 /tmp lab 65534" tug run --rm -e A=1 -w /tmp --hostname lab -u nobody test \
    sh -c 'echo $A $(pwd) $(hostname) $(id -u)'
echo shared >"$HERE/shared/file"
runs "a bind mount" 0 "shared" tug run --rm -v "$HERE/shared:/data:ro" test cat /data/file
runs "an init" 0 "reaped" tug run --rm --init test sh -c '[ $$ != 1 ] && echo reaped'
runs "capabilities are Docker's" 0 "CapBnd:	00000000a80425fb" \
    tug run --rm test grep ^CapBnd /proc/self/status
runs "descriptors are three and the listing's" 0 "0 1 2 3" \
    tug run --rm test sh -c 'echo $(ls /proc/self/fd)'
runs "a new root that holds nothing of the old one" 0 "" \
    tug run --rm test sh -c 'ls -d /rootfs.tar /tests /modules 2>/dev/null; true'
runs "of which nothing is mounted but the container's own" 0 "" \
    tug run --rm test sh -c 'cut -d" " -f5 /proc/self/mountinfo | grep -v "^/$\|^/dev\|^/proc\|^/sys\|^/etc/"; true'
# A root further down than the working directory: "..", counted from there, ends in the container.
climb='mkdir -p /x/bin /x/proc && cp /bin/busybox /x/bin && exec 3</ &&
    chroot /x /bin/busybox sh -c "cd /proc/self/fd/3 &&
        ls -d ../../../../bin/busybox ../../../../rootfs.tar ../../../../tests ../../../../modules" 2>/dev/null; true'
runs "and none of it is above a chroot inside" 0 "../../../../bin/busybox" \
    tug run --rm -v /proc:/x/proc test sh -c "$climb"

script='trap "echo bye; exit 9" TERM; echo ready; while :; do sleep 1 & wait; done'
tug run -d --name web test sh -c "$script" >/dev/null
ready() { [ "$(tug logs web)" = ready ]; }
until_true ready
runs "logs" 0 "ready" tug logs web
runs "exec" 0 "hello" tug exec web echo hello
runs "exec's exit code" 4 "" tug exec web sh -c 'exit 4'
runs "ps" 0 "1" sh -c 'tug ps -q | wc -l'

pid=$(member web Pid)
kill -9 "$engine"
wait "$engine" 2>/dev/null
same "the container runs without the engine" "sh" "$(cat "/proc/$pid/comm")"
start_engine
runs "the engine finds it again" 0 "hello" tug exec web echo hello
runs "stop asks first" 0 "web" tug stop web
runs "the program's own exit code" 0 "9" tug wait web
runs "its last words" 0 "ready bye" sh -c 'echo $(tug logs web)'
runs "rm" 0 "web" tug rm web

tug run -d --name deaf test sh -c 'trap "" TERM; while :; do sleep 1; done' >/dev/null
runs "stop kills after its timeout" 0 "deaf" tug stop -t 1 deaf
runs "which is 137" 0 "137" tug wait deaf

runs "a memory limit is set" 0 "33554432" tug run --rm -m 32m test cat /sys/fs/cgroup/memory.max
runs "a pids limit is set" 0 "50" tug run --rm --pids-limit 50 test cat /sys/fs/cgroup/pids.max
runs "a cpu quota is set" 0 "50000 100000" tug run --rm --cpus 0.5 test cat /sys/fs/cgroup/cpu.max

finish
