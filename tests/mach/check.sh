#!/bin/sh
# Runs the suites given as arguments, one after the other, and adds their verdicts up. The TAP of all of
# them goes to standard output; the last line counts the cases, and any failure is the exit status.
set -u
passed=0 failed=0 differ=0 skipped=0 broken=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT
for suite in "$@"; do
    echo "# suite $(basename "$suite")"
    "$suite" >"$output" 2>&1
    status=$?
    cat "$output"
    counts=$(sed -n 's/^# [a-z_]*: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) differ as listed, \([0-9]*\) listed but passing, \([0-9]*\) skipped$/\1 \2 \3 \4 \5/p' "$output")
    if [ -z "$counts" ]; then
        echo "not ok - $(basename "$suite") ended with status $status before its summary"
        broken=$((broken + 1))
        continue
    fi
    set -- $counts
    passed=$((passed + $1)) failed=$((failed + $2 + $4)) differ=$((differ + $3))
    skipped=$((skipped + $5))
done
failed=$((failed + broken))
echo "# $differ cases differ as listed"
echo "conformance: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
