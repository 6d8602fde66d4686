#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Proof: the ring's core cannot allocate. Taking chains and giving them back, in both formats, compiles in
# Embedded Swift's mode in which any allocation is an error. What a queue needs it gets when it is made,
# from one function (SetupMemory.swift), which stands here as a declaration only: the object file shows
# whoever else would ask for memory as an undefined symbol.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# GuestMemory+Make and Features+OptionSet work with arrays, on the control plane.
core=$(find Sources/VirtioRing -name '*.swift' ! -name SetupMemory.swift \
  ! -name 'GuestMemory+Make.swift' ! -name 'Features+OptionSet.swift')
cat > "$work/Setup.swift" <<'SWIFT'
@_silgen_name("lgdev_allocate_scratch")
func allocateScratch(byteCount: Int) -> UnsafeMutableRawPointer
SWIFT

compile() {
  # shellcheck disable=SC2086 # no file has a space in its name
  swiftc -O -swift-version 6 -enable-experimental-feature Embedded -wmo -no-allocations \
    -parse-as-library -enable-upcoming-feature ExistentialAny \
    -enable-upcoming-feature InternalImportsByDefault -c "$@" $core "$work/Setup.swift" \
    -o "$work/core.o" 2> "$work/errors"
}

verdict() {
  if [ "$1" = 0 ]; then
    passed=$((passed + 1))
    echo "ok    $2"
  else
    failed=$((failed + 1))
    echo "FAIL  $2"
  fi
}

code=0
compile || code=1
[ "$code" = 0 ] || cat "$work/errors"
verdict "$code" "the ring's core compiles where allocations are errors"

# Freeing and reference counts are for the end of a queue's life; the rest is copying and checks.
code=0
nm -u "$work/core.o" | awk '{ print $2 }' | grep -vxE \
  'memset|memmove|memcpy|free|swift_release|swift_retain|swift_bridgeObject.*|lgdev_allocate_scratch|arc4random_buf|getrandom|__stack_chk_fail|swift_(dealloc|slowDealloc|unknownObject).*' \
  > "$work/others" || true
[ ! -s "$work/others" ] || { code=1; sed 's/^/unexpected: /' "$work/others"; }
verdict "$code" "its object file asks for no memory but the set-up's"

# The proof can fail: a function that returns an array is refused.
echo 'public func planted(_ count: Int) -> [Int] { [Int](repeating: 0, count: count) }' \
  > "$work/Planted.swift"
code=1
if ! compile "$work/Planted.swift" && grep -q 'no-allocations mode' "$work/errors"; then code=0; fi
verdict "$code" "a planted allocation is refused"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
