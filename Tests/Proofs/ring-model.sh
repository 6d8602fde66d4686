#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Proof: both rings do what a simple reference model does, a million random chains in each combination of
# format, EVENT_IDX, indirect descriptors and IN_ORDER. SEED=N repeats a run; the seed is printed.
set -eu
cd "$(dirname "$0")/../.."
swift build -c release --product ring-model
program=$(swift build -c release --show-bin-path)/ring-model
# shellcheck disable=SC2086 # no argument at all where there is no seed
SWIFT_BACKTRACE=enable=no exec "$program" 1000000 ${SEED:-}
