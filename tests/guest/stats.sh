#!/bin/sh
# What stats count where cgroup v2 has all its controllers: memory against its limit, processes,
# processor time, writes to a disk's file system.
set -u
suite=stats
. "${0%/*}/common"

# column CONTAINER NAME: one number of the table, without unit or sign.
column() { tug stats --no-stream --format "{{.$2}}" "$1"; }

tug run -d --name web --memory 64m --pids-limit 50 test sh -c \
    'dd if=/dev/zero of=/dev/shm/file bs=1M count=20 2>/dev/null; touch /ready; exec sleep 1000' \
    >/dev/null || fail "it starts" "$?"
until_true tug exec web test -e /ready
usage=$(column web MemUsage)
case $usage in
2[0-9]*MiB" / 64MiB") ok "memory counts what was written, against the limit" ;;
*) fail "memory counts what was written, against the limit" "$usage" ;;
esac
percent=$(column web MemPerc)
case $percent in
3[1-9].*%) ok "and its share" ;;
*) fail "and its share" "$percent" ;;
esac
same "processes are counted" 1 "$(column web PIDs)"
same "what sleeps takes no processor" "0.00%" "$(column web CPUPerc)"

tug run -d --name busy --cpus 0.5 test sh -c 'while :; do :; done' >/dev/null || fail "it starts" "$?"
sleep 1
percent=$(column busy CPUPerc)
case $percent in
[3-6][0-9].*%) ok "half a processor is half a processor" ;;
*) fail "half a processor is half a processor" "$percent" ;;
esac
tug rm -f web busy >/dev/null

finish
