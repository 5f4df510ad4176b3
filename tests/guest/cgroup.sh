#!/bin/sh
# Limits hold: on cgroup v2 with all controllers, which test machines often keep on v1.
set -u
suite=cgroup
. "${0%/*}/common"

# Memory: the kernel kills, and the engine says so.
runs "a program above its memory limit is killed" 137 "" \
    tug run --name fat -m 32m test dd if=/dev/zero of=/dev/null bs=64M count=1
same "inspect reports the out-of-memory kill" "true" "$(member fat OOMKilled)"
same "inspect reports exit code 137" "137" "$(member fat ExitCode)"
# The second that has begun belongs to it as well.
until=$(($(date +%s) + 1))
same "the event is told" "1" "$(tug events --since 1 --until "$until" --filter event=oom | wc -l)"
runs "a program below its memory limit is not" 0 "" \
    tug run --name slim -m 64m test dd if=/dev/zero of=/dev/null bs=16M count=1
same "and is reported so" "false" "$(member slim OOMKilled)"
tug run -d --name killed -m 64m test sleep 1000 >/dev/null
runs "a plain kill" 0 "killed" tug kill killed
runs "is 137 as well" 0 "137" tug wait killed
same "and no out-of-memory kill" "false" "$(member killed OOMKilled)"
runs "a container outlives a child that was killed" 0 "child 137" \
    tug run --rm -m 32m test sh -c 'dd if=/dev/zero of=/dev/null bs=64M count=1; echo child $?'

# The shim watches, not the engine: a kill while the engine is away is reported afterwards.
tug run -d --name away -m 32m -v "$HERE/shared:/shared" test \
    sh -c 'until [ -e /shared/go ]; do sleep 1; done; exec dd if=/dev/zero of=/dev/null bs=64M count=1' \
    >/dev/null
pid=$(member away Pid)
kill -9 "$engine"
wait "$engine" 2>/dev/null
touch "$HERE/shared/go"
gone() { [ ! -e "/proc/$pid" ]; }
until_true gone
start_engine
exited() { [ "$(member away Status)" = exited ]; }
until_true exited
same "a kill without the engine is known afterwards" "true 137" \
    "$(member away OOMKilled) $(member away ExitCode)"

# CPU: a quota of a fifth leaves about a fifth. The bound is wide, for guests on loaded machines:
# without a quota the loop takes nearly all of the time.
tug run -d --name busy --cpus 0.2 test sh -c 'while :; do :; done' >/dev/null
stat=$(group busy)/cpu.stat
usage() { sed -n 's/^usage_usec //p' "$stat"; }
now() { sed 's/\([0-9]*\)\.\([0-9]*\) .*/\1\20000/' /proc/uptime; }
from=$(usage) begin=$(now)
sleep 4
to=$(usage) end=$(now)
share=$(((to - from) * 100 / (end - begin)))
if [ "$share" -le 40 ]; then ok "a cpu quota of 20 % holds"; else fail "cpu quota" "$share % used"; fi
if [ "$(sed -n 's/^nr_throttled //p' "$stat")" -gt 0 ]; then
    ok "throttling is counted"
else
    fail "throttling is counted" "$(tr '\n' ' ' <"$stat")"
fi
same "the quota reads back" "20000 100000" "$(cat "$(group busy)/cpu.max")"
runs "a busy container is stopped" 0 "busy" tug stop -t 1 busy

# Pids: a fork too many fails inside, and nobody else notices.
forks='i=0; while [ $i -lt 20 ]; do sleep 100 & i=$((i + 1)); done; echo all; kill -9 -1'
refused "a pids limit holds against forks" 2 "can't fork" \
    tug run --rm --pids-limit 8 test sh -c "$forks"
runs "without it they all start" 0 "all" tug run --rm test sh -c "$forks"
tug run -d --name bomb --pids-limit 16 test \
    sh -c 'sh -c "while :; do sleep 100 & done" 2>/dev/null; sleep 1000' >/dev/null
full() { [ "$(sed -n 's/^max //p' "$(group bomb)/pids.events")" -gt 0 ]; }
until_true full
runs "the engine answers beside a fork bomb" 0 "OK" tug run --rm test echo OK
runs "a fork bomb is removed" 0 "bomb" tug rm -f bomb

# The container's own view, and the host's.
tug run -d --name stats -m 64m --pids-limit 30 --cpus 1.5 test sleep 1000 >/dev/null
same "memory.max reads back" "67108864" "$(tug exec stats cat /sys/fs/cgroup/memory.max)"
same "pids.max reads back" "30" "$(tug exec stats cat /sys/fs/cgroup/pids.max)"
same "cpu.max reads back" "150000 100000" "$(tug exec stats cat /sys/fs/cgroup/cpu.max)"
same "one process is counted" "1" "$(cat "$(group stats)/pids.current")"
if [ "$(cat "$(group stats)/memory.current")" -gt 0 ]; then
    ok "memory is counted"
else
    fail "memory is counted" "none"
fi
same "inspect shows the limits" "67108864 30 1500000000" \
    "$(member stats Memory) $(member stats PidsLimit) $(member stats NanoCpus)"
runs "the container cannot change them" 1 "" \
    tug exec stats sh -c 'echo max 2>/dev/null >/sys/fs/cgroup/memory.max'

refused "a memory limit too small is 125" 125 "Minimum memory limit allowed is 6MB" \
    tug run --rm -m 1k test true
refused "a memory limit that is no size is 125" 125 "invalid" tug run --rm -m lots test true
refused "a pids limit that is no number is 125" 125 "invalid" tug run --rm --pids-limit x test true
refused "a cpu limit that is no number is 125" 125 "invalid" tug run --rm --cpus x test true
refused "more cpus than there are is 125" 125 "CPUs" tug run --rm --cpus 4096 test true

finish
