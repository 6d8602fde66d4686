#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs one fuzzer: Fuzz/run.sh TARGET SECONDS, where TARGET is a folder of Fuzz/corpus.
#
# A release build with AddressSanitizer, which sees raw-pointer accesses in release builds only. The
# seeds in the corpus are read and not changed; what the fuzzer learns stays in .build, and a finding
# is written to Fuzz/findings.
set -eu
cd "$(dirname "$0")/.."
target=${1:?usage: Fuzz/run.sh TARGET SECONDS, TARGET one of: $(ls Fuzz/corpus | tr '\n' ' ')}
seconds=${2:?usage: Fuzz/run.sh TARGET SECONDS}
seeds=Fuzz/corpus/$target
if [ ! -d "$seeds" ]; then
  echo "fuzz: there is no target '$target'; there are: $(ls Fuzz/corpus | tr '\n' ' ')" >&2
  exit 2
fi
# ring-split is FuzzRingSplit.
product=Fuzz$(echo "$target" | sed 's/\(^\|-\)\(.\)/\u\2/g')
scratch=.build/fuzz
mkdir -p "$scratch/corpus/$target" "Fuzz/findings/$target"

# --sanitize twice sets up the targets; the last flag alone is what the compiler sees, and it must name
# both, or there is no coverage. Gold, the default linker, does not get through it.
LGDEV_FUZZ=1 swift build -c release --scratch-path "$scratch" --product "$product" \
  --sanitize fuzzer --sanitize address -Xswiftc -sanitize=fuzzer,address -Xswiftc -use-ld=lld

# Swift's own crash reporter must not get in libFuzzer's way: it forks, and the reader of our output
# would wait for the fork for ever. A small quarantine: an input frees its memory as it ends.
log=$scratch/$target.log
status=0
SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=1:quarantine_size_mb=64 \
  "$scratch/release/$product" -max_total_time="$seconds" -max_len=4096 -use_value_profile=1 \
  -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="Fuzz/findings/$target/" \
  "$scratch/corpus/$target" "$seeds" >"$log" 2>&1 || status=$?

grep -E 'INFO: Loaded|INFO: seed corpus' "$log" || true
tail -n 25 "$log"
if ! grep -q 'INFO: Loaded 1 modules' "$log"; then
  echo "fuzz: FAIL: no coverage: the fuzzer was blind (no line 'INFO: Loaded 1 modules' in $log)" >&2
  exit 1
fi
if [ "$status" -ne 0 ]; then
  echo "fuzz: FAIL: $target ended with $status; the input is in Fuzz/findings/$target, the log in $log" >&2
  exit 1
fi
echo "fuzz: $target: $seconds s without a finding"
