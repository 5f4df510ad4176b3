#!/bin/sh
# The board's tests of itself: a container of the plan, which sees the host's processes and has the
# engine's socket. It waits until the board is at rest, looks, and powers it off. Says on the console
# what the other suites of guests say.
set -u
suite=board
failed=0
tty=$(sed 's/.*console=\([A-Za-z0-9]*\).*/\1/' /proc/cmdline)
exec >"/dev/$tty" 2>&1

ok() { echo "ok $suite: $1"; }

fail() {
    echo "FAIL $suite: $1: $2" | tr '\n' ' '
    echo
    failed=1
}

# same NAME EXPECTED FOUND
same() { if [ "$2" = "$3" ]; then ok "$1"; else fail "$1" "expected '$2', found '$3'"; fi; }

until_true() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 400 ] || return 1
        sleep 0.1
    done
}

# processes NAME: the host's processes that `ps` shows as NAME.
processes() {
    for process in /proc/[0-9]*; do
        [ "$(cat "$process/comm" 2>/dev/null)" = "$1" ] && echo "${process#/proc/}"
    done
}

# By its command line: what the kernel calls it depends on who started it.
engines() {
    for process in /proc/[0-9]*; do
        case $(tr '\0' ' ' <"$process/cmdline" 2>/dev/null) in
        tugd*) echo "${process#/proc/}" ;;
        esac
    done
}
at_rest() { [ -z "$(engines)" ]; }

# pss PID: the kB that are its own, with its part of what it shares.
pss() { sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "/proc/$1/smaps_rollup"; }

# own PID: what nobody else has mapped, and no file has.
own() { sed -n 's/^Pss_Anon: *\([0-9]*\) kB/\1/p' "/proc/$1/smaps_rollup"; }

# stamp PATTERN: when the kernel noted a line, in milliseconds since its start; the first one.
stamp() { dmesg | sed -n "s/^\[ *\([0-9]*\)\.\([0-9]\{3\}\)[0-9]*\] $1.*/\1\2/p" | head -n 1; }

# Before anything else: each program that is started here is a line more in the kernel's buffer.
first=$(stamp '.*sched_process_exec: filename=\/bin\/first ')
init=$(stamp 'Run \/init as init process')

echo "guest: begin"
until_true at_rest || fail "the engine leaves when the board is up" "it runs"

# Before any request: nothing but process 1 and the shims is there.
for name in tug-boot tug-shim tug-proxy; do
    for pid in $(processes "$name"); do
        # Who has just worked lets go of its code a moment later.
        light() { [ "$(pss "$pid")" -le 1024 ]; }
        until_true light || fail "at rest each takes at most 1 MiB" "$name $(pss "$pid") kB"
        echo "figure: $name $(pss "$pid") kB PSS, $(own "$pid") kB its own"
    done
done
same "process 1 is tug" tug-boot "$(cat /proc/1/comm)"
same "a shim for each container" 3 "$(processes tug-shim | wc -l)"
at_rest || fail "nobody has called the engine" "it runs"

if [ -n "$first" ] && [ -n "$init" ]; then
    ok "the first container ran $((first - init)) ms after init"
else
    fail "the first container ran" "init '$init', first '$first'"
fi

names=$(tug ps -a --format '{{.Names}}' | sort | tr '\n' ' ')
same "the containers of the plan are there" "db first tests web " "$names"
same "a request has brought the engine" 1 "$(engines | wc -l)"
healthy() { tug ps --format '{{.Status}}' -f name="$1" | grep -q '(healthy)'; }
for name in db web; do
    until_true healthy "$name" && ok "$name is healthy" || fail "$name is healthy" "$(tug ps -a)"
done
same "the first one has ended well" "Exited (0)" \
    "$(tug ps -a --format '{{.Status}}' -f name=first | cut -c 1-10)"
same "web serves" "page 1" "$(wget -q -O - http://127.0.0.1:8080/)"
before() { [ "$(tug inspect -f '{{.State.StartedAt}}' "$1")" \< "$(tug inspect -f '{{.State.StartedAt}}' "$2")" ]; }
{ before first db && before db web; } && ok "each after those that it comes after" ||
    fail "each after those that it comes after" "$(tug ps -a)"
same "the plan's status has no complaint" "" "$(tug boot status | grep -v 'completed\|running\|done\|^NAME')"
same "the host has the plan's name" board "$(cat /proc/sys/kernel/hostname)"
grep -q ' /data ext4 ' /proc/mounts && ok "its disk is mounted" || fail "its disk is mounted" "$(cat /proc/mounts)"
[ -e /sys/class/watchdog/watchdog0 ] && same "the watchdog runs" active "$(cat /sys/class/watchdog/watchdog0/state)"

# An update that is well stays, one that is not goes, and web is up all the same.
page() { wget -q -O - http://127.0.0.1:8080/; }
update() { tug update-image -q --commit-after 3s web "firmware:$1" 2>&1; }
update 2 || fail "an update" "status $?"
same "an update brings the new image" "page 2" "$(page)"
update bad && fail "an update that is not well" "no complaint"
same "an update that is not well is taken back" "page 2" "$(page)"
same "to the image that was there" firmware:2 "$(tug inspect -f '{{.Config.Image}}' web)"
same "and nothing of it stays" "db first tests web " "$(tug ps -a --format '{{.Names}}' | sort | tr '\n' ' ')"

until_true at_rest && ok "the engine leaves again" || fail "the engine leaves again" "it runs"
[ "$failed" = 0 ] || { tug boot status; dmesg | grep 'tug boot' | tail -n 20; }
echo "guest: end $failed"
kill -USR2 1
sleep 60
