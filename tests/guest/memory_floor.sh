#!/bin/sh
# How little memory a container can do with: what we are before we become its program counts too.
set -u
suite=memory_floor
. "${0%/*}/common"

bundle=$HERE/bundle
mkdir -p "$bundle/rootfs"
tar -xf /rootfs.tar -C "$bundle/rootfs"
tug runtime spec -b "$bundle"
tr -d '\n\t' <"$bundle/config.json" | sed -e 's/"terminal": *true/"terminal":false/' \
    -e 's/"args": *\["sh"\]/"args":["true"]/' \
    -e 's/"resources": *{/"resources":{"memory":{"limit":1048576},/' >"$HERE/config.json"
mv "$HERE/config.json" "$bundle/config.json"

runs "a container of 1 MiB runs true" 0 "" tug runtime run -b "$bundle" floor
sed -i 's/"args":\["true"\]/"args":["sh","-c","cat \/sys\/fs\/cgroup\/memory.max"]/' "$bundle/config.json"
runs "and has that limit" 0 "1048576" tug runtime run -b "$bundle" floor

finish
