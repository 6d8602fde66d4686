# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# What the scripts on a test host share. Lines for the runner begin with @@:
#   @@ok TITLE, @@no TITLE: WHY    one for each check
#   @@figure NAME VALUE            a measurement
#   @@end N                        the end, after N checks

checks=0

ok() {
  checks=$((checks + 1))
  echo "@@ok $1"
}

no() {
  checks=$((checks + 1))
  echo "@@no $1: $2"
}

# check TITLE COMMAND...: passes when the command does; else its output is shown.
check() {
  title=$1
  shift
  if "$@" >/tmp/check.out 2>&1; then
    ok "$title"
  else
    no "$title" "exit code $?"
    sed 's/^/  | /' /tmp/check.out | tail -n 60
  fi
}

# has TITLE TEXT: passes when the output of the last `check` or `guest` holds the text.
has() {
  if grep -qF -- "$2" /tmp/check.out; then
    ok "$1"
  else
    no "$1" "'$2' was not printed"
    sed 's/^/  | /' /tmp/check.out | tail -n 60
  fi
}

end() {
  echo "@@end $checks"
}
