#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The examples of linking the libraries build against their public API alone, run, and say what they should.
set -eu
cd "$(dirname "$0")/../.."
swift build --product toy-vmm
said=$("$(swift build --show-bin-path)/toy-vmm") || {
  echo "$said"
  echo "examples: toy-vmm ended with an error"
  exit 1
}
echo "$said"
[ "$(echo "$said" | tail -n 1)" = "all went as it should" ] || {
  echo "examples: toy-vmm has not come to its end"
  exit 1
}
