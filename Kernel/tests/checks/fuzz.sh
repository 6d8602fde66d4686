# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Random guest programs; the runner sets which.
load
# Its output goes straight to the log, so that a dead host tells where it died.
if fuzz "$FUZZ_SEED" "$FUZZ_FIRST" "$FUZZ_COUNT"; then
  ok "$FUZZ_COUNT random programs of seed $FUZZ_SEED"
else
  no "$FUZZ_COUNT random programs of seed $FUZZ_SEED" "exit code $?"
fi
unload
check "no page stays pinned" [ "$(pinned)" = 0 ]
