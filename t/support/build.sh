#!/usr/bin/env bash
# Configures a build folder once and builds it: build.sh FOLDER [meson's options]. Says little unless it fails.
# CC chooses the compiler when the folder is made. TARGETS limits what is built.
set -u
folder=${1:?usage: build.sh FOLDER [meson options]}
shift
top=$(cd "$(dirname "$0")/../.." && pwd)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

if [ ! -f "$folder/build.ninja" ]; then
    echo "Configuring $folder"
    if ! meson setup "$folder" "$top" "$@" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        exit 1
    fi
fi
# The list of the Lua modules is read when the folder is configured: a module more or less means once more.
if [ "$top/lua/moongate" -nt "$folder/build.ninja" ] && ! meson setup --reconfigure "$folder" "$top" >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    exit 1
fi
# shellcheck disable=SC2086  # a list of targets
if ! ninja -C "$folder" ${JOBS:+-j "$JOBS"} ${TARGETS:-} >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    exit 1
fi
grep -q 'no work to do' "$log" || echo "Built $folder"
