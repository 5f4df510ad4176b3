#!/bin/sh
# What containers write is counted by the io controller, and a write budget holds: it is spent, then there is a
# trickle, then the next window. It outlasts the engine and the container's restart.
set -u
suite=wear
. "${0%/*}/common"

value() { cat "$(group "$1")/$2" 2>/dev/null; }
# budget NAME: a member of State.WriteBudget.
budget() { member web "$1"; }
is_spent() { [ "$(budget Spent)" = true ]; }
is_open() { [ "$(budget Spent)" = false ]; }
wrote() { tug exec web dd if=/dev/zero of=/file bs=1M "count=$1" conv=fsync 2>/dev/null; }

# A disk of its own: a file with ext4 in it, on a loop device.
if ! tug run -d --name web --storage-opt size=48m --write-budget 8m/1m test \
    sh -c 'trap exit TERM; while :; do sleep 0.1; done' >/dev/null 2>"$HERE/stderr"; then
    echo "skip $suite: $(cat "$HERE/stderr")"
    finish
fi
disk=$(sed -n 's/ .*//p' "$(group web)/io.stat" | grep -m 1 '^7:')
same "as it begins" "false 8388608 60" "$(budget Spent) $(budget Bytes) $(budget Seconds)"
refused "nonsense" 1 "invalid write budget" tug update --write-budget much web

wrote 2
sleep 6
same "within its budget there is no limit" "" "$(value web io.max)"
wrote 12
until_true is_spent || fail "the budget is spent" "$(tug inspect web | grep -A 6 WriteBudget)"
case $(value web io.max) in
*wbps=17476*) ok "a spent budget leaves a trickle" ;;
*) fail "a spent budget leaves a trickle" "$(value web io.max)" ;;
esac
tug events --since 1h --until 0s --filter event='write_budget: spent' | grep -q 'used=' ||
    fail "it is an event" "$(tug events --since 1h --until 0s)"
grep -q "bytes of 60 seconds are written" /run/tug/containers/*/shim.log ||
    fail "it is noted in shim.log" "$(cat /run/tug/containers/*/shim.log)"
[ "$(tug system wear --format '{{.Written}}' | sed -n 2p)" != unknown ] || fail "it is counted" ""

kill -9 "$engine"
wait "$engine" 2>/dev/null
start_engine
same "the next engine knows it" true "$(budget Spent)"

# Who waits for the disk is not kept from ending.
tug exec -d web dd if=/dev/zero of=/more bs=1M count=4 conv=fsync
sleep 1
begin=$(cut -d . -f 1 /proc/uptime)
tug stop -t 20 web >/dev/null
end=$(cut -d . -f 1 /proc/uptime)
[ $((end - begin)) -lt 15 ] && ok "it can be stopped" || fail "it can be stopped" "$((end - begin)) s"
tug start web >/dev/null
until_true is_spent && ok "a restart is no new window" || fail "a restart is no new window" "$(budget Used)"

runs "another budget" 0 web tug update --write-budget 40m/1m web
until_true is_open && ok "it may write again" || fail "it may write again" "$(budget Used)"
runs "no budget" 0 web tug update --write-budget none web
same "there is none" "" "$(budget Spent)"
runs "a budget while it runs" 0 web tug update --write-budget 1m/10s web
tug exec -d web dd if=/dev/zero of=/file bs=1M count=2 conv=fsync
until_true is_spent && ok "it counts from there" || fail "it counts from there" "$(budget Used)"
until_true is_open && ok "windows roll on" || fail "windows roll on" "$(budget Used)"
tug rm -f web >/dev/null
[ -z "$(ls /run/tug/budgets)" ] || fail "nothing is left of it" "$(ls /run/tug/budgets)"

refused "files in memory have no budget" 125 "there is none: its files lie in memory" \
    tug run --write-budget 8m/1m test true
finish
