#!/bin/sh
# Instructions per request of the head parser, under callgrind: every shape, alone and 16 pipelined, every
# implementation. Needs valgrind. Run from the top of the tree: sh bench/micro/head.sh [CC]
set -e
program=$(mktemp)
trap 'rm -f "$program" "$program.out"' EXIT
"${1:-cc}" -O2 -gdwarf-4 -std=gnu11 -D_GNU_SOURCE -Isrc -o "$program" bench/micro/head.c src/http/head*.c src/http/url.c src/base/must.c
printf '%-12s %5s %8s %8s %8s\n' shape depth scalar sse2 avx2
for shape in minimal short wrk techempower browser; do
    for depth in 1 16; do
        printf '%-12s %5s' "$shape" "$depth"
        for implementation in 1 2 3; do
            valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=measured \
                "$program" "$shape" "$depth" "$implementation" 2> "$program.out"
            awk '/Collected/ { printf " %8.1f", $NF / 16000 }' "$program.out"
        done
        echo
    done
done
