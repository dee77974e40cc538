#!/bin/sh
# Runs the suites given as arguments, one after the other, and adds their verdicts up. The TAP of all of
# them goes to standard output, what failed once more at the end; the last line counts the cases, and any
# failure is the exit status.
set -u
passed=0 failed=0 differ=0 skipped=0 broken=0
output=$(mktemp) again=$(mktemp)
trap 'rm -f "$output" "$again"' EXIT
for suite in "$@"; do
    echo "# suite $(basename "$suite")"
    "$suite" >"$output" 2>&1
    status=$?
    cat "$output"
    awk -v suite="$(basename "$suite")" '
        /^#/ { said = said $0 "\n"; next }
        (/^not ok/ && !/ # TOD[O] /) || (/^ok/ && / # TOD[O] / && !/ # TOD[O] sometimes:/) { printf "%s%s (suite %s)\n", said, $0, suite }
        { said = "" }' "$output" >>"$again"
    counts=$(sed -n 's/^# [a-z_]*: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) differ as listed, \([0-9]*\) listed but passing, \([0-9]*\) skipped$/\1 \2 \3 \4 \5/p' "$output")
    if [ -z "$counts" ]; then
        lost="not ok - $(basename "$suite") ended with status $status before its summary"
        echo "$lost"
        { tail -n 20 "$output"; echo "$lost"; } >>"$again"
        broken=$((broken + 1))
        continue
    fi
    set -- $counts
    passed=$((passed + $1)) failed=$((failed + $2 + $4)) differ=$((differ + $3))
    skipped=$((skipped + $5))
done
failed=$((failed + broken))
[ "$failed" -eq 0 ] || cat "$again"
echo "# $differ cases differ as listed"
echo "conformance: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
