#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds and runs the ring benchmark: lgdev's rings beside the same checks in C, by gcc and by clang.
set -eu
cd "$(dirname "$0")"
swift build -c release --product ring-bench 1>&2
out=$(swift build -c release --show-bin-path)
for compiler in gcc clang; do
  $compiler -O2 -shared -fPIC -fno-semantic-interposition -ISources/CRing/include Sources/CRing/cring.c Sources/CRing/serve.c -o "$out/cring-$compiler.so"
done
exec "$out/ring-bench" "$out/cring-gcc.so" "$out/cring-clang.so" "$@"
