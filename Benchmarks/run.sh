#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# All benchmarks, as README's table has them. Arguments (--json) go to each.
set -eu
cd "$(dirname "$0")"
../Scripts/pin-packages.sh .
./ring.sh "$@"
./blk.py "$@"
./net.py "$@"
./fuse.py "$@"
