# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# A hundred thousand requests, one at a time: no kick and no interrupt is lost. On one CPU, where
# nothing waits for an idle processor of the simulated host to wake up.
lguest --kernel /guest --memory 16M --append kicks=100000 --rng </dev/null
ends "a guest kicks a hundred thousand times" 0
has "no kick and no interrupt is lost" "100000 of 100000 kicks were answered"
sed -n 's/^figure /@@figure /p' /tmp/check.out
