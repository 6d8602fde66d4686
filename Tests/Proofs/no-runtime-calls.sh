#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Proof: serving a chain calls nothing of the Swift runtime: no retain, no release, no exclusivity check, no
# allocation. callgrind collects only inside the loop that takes chains and gives them back, and counts calls.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

verdict() {
  if [ "$1" = 0 ]; then
    passed=$((passed + 1))
    echo "ok    $2"
  else
    failed=$((failed + 1))
    echo "FAIL  $2"
  fi
}

swift build -c release --product ring-calls
program=$(swift build -c release --show-bin-path)/ring-calls

# Instructions inside the loop, and the functions that were called there, one a line.
# $1: how many chains of each kind; $2: another argument, if any.
collect() {
  valgrind --tool=callgrind --callgrind-out-file="$work/$1.out" --collect-atstart=no \
    --toggle-collect='*serveChains*' "$program" "$@" 2> "$work/$1.log" || { cat "$work/$1.log"; exit 1; }
  awk '/^summary:|^totals:/ { print $2; exit }' "$work/$1.out" > "$work/$1.instructions"
  # Compressed names: "cfn=(12) name" the first time, "cfn=(12)" from then on.
  awk '/^c?fn=/ {
      line = $0; sub(/^c?fn=/, "", line)
      id = line; sub(/\).*/, ")", id)
      name = line; sub(/^\([0-9]+\) ?/, "", name)
      if (name != "") names[id] = name
      if ($0 ~ /^cfn=/) print names[id]
    }' "$work/$1.out" | sort -u > "$work/$1.calls"
}

collect 1000
collect 4000

few=$(cat "$work/1000.instructions")
many=$(cat "$work/4000.instructions")
code=1
[ "$many" -gt $((few * 3)) ] && grep -q 'Virtqueue' "$work/4000.calls" && code=0
verdict "$code" "the loop is seen: $few instructions for 1000 chains of each kind, $many for 4000"

runtime='^(swift_|malloc|free|calloc|posix_memalign|aligned_alloc|_Zn|_Zd|pthread_)'
code=0
grep -E "$runtime" "$work/4000.calls" > "$work/others" && code=1
[ "$code" = 0 ] || sed 's/^/called: /' "$work/others"
verdict "$code" "no call of the runtime or of the allocator in it"

# The proof can fail: an array made for each chain is seen.
collect 1001 --planted
code=1
grep -qE "$runtime" "$work/1001.calls" && code=0
verdict "$code" "a planted allocation is seen"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
