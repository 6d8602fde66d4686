#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Proof: counting what a queue does takes no lock, no allocation and no retain, and few instructions. callgrind
# collects only inside the loop that takes chains, counts them and gives them back; the same loop without the counting
# is what it is compared with.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0
# For each chain, in batches of eight.
limit=150

verdict() {
  if [ "$1" = 0 ]; then
    passed=$((passed + 1))
    echo "ok    $2"
  else
    failed=$((failed + 1))
    echo "FAIL  $2"
  fi
}

swift build -c release --product meter-calls
# valgrind cannot read what clang says for debuggers, and needs names only.
program=$work/meter-calls
strip -g -o "$program" "$(swift build -c release --show-bin-path)/meter-calls"

# Instructions inside the loop, and the functions that were called there, one a line.
# $1: a name; the rest: arguments.
collect() {
  name=$1
  shift
  valgrind --tool=callgrind --callgrind-out-file="$work/$name.out" --collect-atstart=no \
    --toggle-collect='*serveChains*' "$program" "$@" 2> "$work/$name.log" || { cat "$work/$name.log"; exit 1; }
  awk '/^summary:|^totals:/ { print $2; exit }' "$work/$name.out" > "$work/$name.instructions"
  # Compressed names: "cfn=(12) name" the first time, "cfn=(12)" from then on.
  awk '/^c?fn=/ {
      line = $0; sub(/^c?fn=/, "", line)
      id = line; sub(/\).*/, ")", id)
      name = line; sub(/^\([0-9]+\) ?/, "", name)
      if (name != "") names[id] = name
      if ($0 ~ /^cfn=/) print names[id]
    }' "$work/$name.out" | sort -u > "$work/$name.calls"
}

collect counted 8000
collect uncounted 8000 --uncounted

counted=$(cat "$work/counted.instructions")
uncounted=$(cat "$work/uncounted.instructions")
each=$(((counted - uncounted) / 8000))
code=1
[ "$uncounted" -gt 800000 ] && [ "$each" -gt 0 ] && [ "$each" -le "$limit" ] && code=0
verdict "$code" "counting a chain takes $each instructions beside the $((uncounted / 8000)) of serving it; at most $limit"

runtime='^(swift_|malloc|free|calloc|posix_memalign|aligned_alloc|_Zn|_Zd|pthread_)'
code=0
grep -E "$runtime" "$work/counted.calls" > "$work/others" && code=1
[ "$code" = 0 ] || sed 's/^/called: /' "$work/others"
verdict "$code" "no call of the runtime or of the allocator in it"

# The functions of the meter, which may be inlined into the loop.
objdump -d --no-show-raw-insn "$program" |
  awk '/^[0-9a-f]+ </ { wanted = /serveChains|QueueMeter/; if (wanted) functions++ }
    wanted && /\tlock |\txchg/ { print } END { print functions > "/dev/stderr" }' \
    > "$work/locks" 2> "$work/functions"
code=1
[ "$(cat "$work/functions")" -gt 0 ] && ! grep -v 'xchg *%ax,%ax' "$work/locks" && code=0
verdict "$code" "no instruction that locks in it"

# The proof can fail: an array made for each chain is seen.
collect planted 800 --planted
code=1
grep -qE "$runtime" "$work/planted.calls" && code=0
verdict "$code" "a planted allocation is seen"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
