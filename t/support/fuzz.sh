#!/usr/bin/env bash
# The fuzz harnesses of t/fuzz: each *.c is one, its corpus is t/fuzz/corpus/NAME.
#   fuzz.sh replay            every corpus once, in seconds
#   fuzz.sh SECONDS [NAME…]   searches for that long, shared by the harnesses; findings and new inputs go to build-fuzz/
# Needs clang. With MG_TOTALS=FILE, "passed failed" (harnesses) is appended to FILE.
set -u
what=${1:?usage: fuzz.sh replay|SECONDS [NAME…]}
shift
cd "$(dirname "$0")/../.." || exit 1
folder=build-fuzz

names=${*:-$(find t/fuzz -maxdepth 1 -name '*.c' | sed 's|.*/||; s|\.c$||' | sort)}
[ -n "$names" ] || { echo "t/fuzz holds no harness"; exit 0; }
# shellcheck disable=SC2086
CC=${CLANG:-clang} TARGETS=$(printf 'fuzz-%s ' $names) t/support/build.sh "$folder" -Dsanitize=true -Dfuzz=true || exit 1

run() {
    local name=$1 seconds=$2
    local seeds=t/fuzz/corpus/$name found=$folder/corpus/$name
    mkdir -p "$found"
    if [ "$what" = replay ]; then
        [ -d "$seeds" ] || { echo "t/fuzz/corpus/$name: no corpus" >&2; return 1; }
        "$folder/fuzz-$name" -runs=0 -timeout=10 -rss_limit_mb=1024 "$seeds"
    else
        [ -d "$seeds" ] || seeds=
        # shellcheck disable=SC2086
        "$folder/fuzz-$name" "-max_total_time=$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
            "-artifact_prefix=$folder/finding-$name-" "$found" $seeds
    fi
}

count=$(echo "$names" | wc -w)
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for name in $names; do
    seconds=0
    [ "$what" = replay ] || seconds=$((what / count > 0 ? what / count : 1))
    if run "$name" "$seconds" >"$log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        echo "ok   fuzz $name  $(grep -aoE '^(Done [0-9]+ runs|stat::number_of_executed_units: +[0-9]+)' "$log" | tail -n 1)"
    else
        failed=$((failed + 1))
        echo "FAIL fuzz $name"
        grep -a -v '^INFO' "$log" | tail -n 40
    fi
done
[ -z "${MG_TOTALS:-}" ] || echo "$passed $failed" >>"$MG_TOTALS"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
