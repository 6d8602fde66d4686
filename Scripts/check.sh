#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Every check runs, whatever those before it find; the exit code is 0 when none found anything.
set -u
cd "$(dirname "$0")/.."
failed=

check() {
  name=$1
  shift
  echo "check: $name"
  "$@" || failed="$failed, $name"
}

# Formatting, and that every public symbol is documented (.swift-format).
format() {
  # shellcheck disable=SC2046 # no file has a space in its name
  swift format lint --strict --parallel $(git ls-files -co --exclude-standard '*.swift')
}

check "format and documentation" format
check "fences and licences" python3 Scripts/check-sources.py
check "features and their tests" python3 Scripts/check-features.py
check "links and names in the documentation" python3 Scripts/check-docs.py
# Warnings are errors and strict memory safety is on in Package.swift.
check "strict build" swift build --build-tests

if [ -n "$failed" ]; then
  echo "check: failed: ${failed#, }"
  exit 1
fi
echo "check: all passed"
