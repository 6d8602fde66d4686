#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Proof: no wake-up is lost between two processors, in either direction, with either ring format. The program is
# built with optimisation: without it there is too much between a store and a load for them to change places.
set -eu
cd "$(dirname "$0")/../.."
swift build -c release --product ring-fences
SWIFT_BACKTRACE=enable=no exec "$(swift build -c release --show-bin-path)"/ring-fences
