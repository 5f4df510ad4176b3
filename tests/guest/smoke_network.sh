#!/bin/sh
# Networks on this kernel: the default bridge, names, published ports; first without nf_tables, where
# tug proxy does what rules would, then with it.
set -u
suite=smoke_network
. "${0%/*}/common"

# page ADDRESS: what is served there.
page() { timeout 5 wget -q -O - "http://$1/" 2>&1; }
page_is() { [ "$(page "$1")" = "$2" ]; }

# The host has an address of its own beside the loopback.
ip link add outside type dummy && ip addr add 192.0.2.1/24 dev outside && ip link set outside up ||
    fail "an address of the host" "none"

# networks HOW: everything, on the kernel as it is now.
networks() {
    tug run -d --name web -p 8080:80 test sh -c \
        'mkdir /www; echo page >/www/index.html; exec httpd -f -p 80 -h /www' >/dev/null ||
        fail "$1: a container with a port starts" "$?"
    until_true page_is 127.0.0.1:8080 page
    same "$1: a port, by the loopback" page "$(page 127.0.0.1:8080)"
    same "$1: by the host's address" page "$(page 192.0.2.1:8080)"
    same "$1: by IPv6" page "$(page '[::1]:8080')"
    address=$(tug inspect -f '{{.NetworkSettings.IPAddress}}' web)
    runs "$1: a neighbour" 0 page tug run --rm test timeout 5 wget -q -O - "http://$address/"
    runs "$1: by the host's address from a container" 0 page \
        tug run --rm test timeout 5 wget -q -O - http://192.0.2.1:8080/
    tug network create lab >/dev/null
    tug run -d --name db --network lab --network-alias store test sleep 1000 >/dev/null
    runs "$1: a name" 0 "$(tug inspect -f '{{.NetworkSettings.Networks.lab.IPAddress}}' db)" \
        tug run --rm --network lab test sh -c \
        "nslookup -type=a store | sed -n '/^Name/,\$s/^Address: //p'"
    tug rm -f web db >/dev/null
    tug network rm lab >/dev/null
}

# The modules of nf_tables are there but not loaded (scripts/guest-init).
if grep -q '^nf_tables ' /proc/modules; then
    fail "a kernel without nf_tables" "it is loaded"
fi
networks "without nf_tables"
if tug info 2>&1 | grep -q NF_TABLES; then
    ok "info says what is missing"
else
    fail "info says what is missing" "$(tug info 2>&1 | tail -n 3)"
fi
# What a kernel can is looked up once for an engine's life.
stop_engine
while read -r module; do insmod "/modules/$module" || echo "cannot load $module"; done </modules/later
start_engine
networks "with nf_tables"
! tug info 2>&1 | grep -q NF_TABLES && ok "then nothing is missing" ||
    fail "then nothing is missing" "$(tug info 2>&1 | tail -n 3)"

# Nothing stays of them.
ends() { ! ip -o link | grep -q ': tug[0-9a-f]\{12\}@'; }
until_true ends
if ends; then ok "no links are left"; else fail "no links are left" "$(ip -o link)"; fi
finish
