# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
load
check "$FUZZ_COUNT random programs of seed $FUZZ_SEED" fuzz "$FUZZ_SEED" "$FUZZ_FIRST" "$FUZZ_COUNT"
cat /tmp/check.out
unload
check "no page stays pinned" [ "$(pinned)" = 0 ]
