#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""64-byte frames into a tap: lgdev's net device over vhost-user beside the bare tap.

Runs in a network namespace of its own. The bare tap is a program that writes one frame a call and
does nothing else: no device behind a tap can be faster.
"""

import json
import os
import statistics
import sys
import tempfile

from backends import HERE, LGDEV, ROUNDS, SECONDS, BackEnd, build, load


def main():
    if os.environ.get("LGDEV_BENCH_NETNS") is None:
        os.environ["LGDEV_BENCH_NETNS"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    bench = build("net-bench") + "/net-bench"
    ours, bare = [], []
    with tempfile.TemporaryDirectory(dir=os.path.join(HERE, ".build")) as folder:
        socket = f"{folder}/net0.sock"
        command = [LGDEV, "serve", "--transport", "vhost-user", "--socket-dir", folder,
                   "--net", "tap=tap0,address=10.9.0.1/24"]
        for _ in range(ROUNDS):
            with BackEnd(command, socket) as back_end:
                ours.append(load([bench, socket, SECONDS, back_end.process.pid]))
            bare.append(load([bench, "--bare", "tap1", SECONDS]))
    rates = [statistics.median(run["pps"] for run in runs) for runs in (ours, bare)]
    row = {
        "lgdev pps": rates[0], "bare tap pps": rates[1],
        "ratio": round(rates[0] / rates[1], 2),
        "lgdev cpu_ns": statistics.median(run["cpu_ns"] for run in ours)}
    if "--json" in sys.argv:
        print(json.dumps(row))
    else:
        print(f"64-byte frames into a tap, medians of {ROUNDS}")
        print("  " + "  ".join(f"{key} {value}" for key, value in row.items()))


main()
