#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""4 KiB random reads from a warm file over vhost-user: lgdev beside qemu-storage-daemon.

Both serve the same file in turn, five rounds, the load on one processor and the back-end on the
other. The medians and their ratios are printed, a JSON object a line with --json; absolute figures
mean little on a shared machine. ENGINE=uring|threads chooses lgdev's engine.
"""

import json
import os
import statistics
import sys
import tempfile

from backends import HERE, LGDEV, ROUNDS, SECONDS, BackEnd, build, load

MEBIBYTES = 256


def contenders(folder, image):
    engine = os.environ.get("ENGINE", "auto")
    yield "lgdev", f"{folder}/block0.sock", [
        LGDEV, "serve", "--transport", "vhost-user", "--socket-dir", folder,
        "--block", f"path={image},ro,engine={engine}"]
    yield "qemu-storage-daemon", f"{folder}/qsd.sock", [
        "qemu-storage-daemon",
        "--blockdev", f"driver=file,node-name=disk,filename={image},read-only=on,aio=io_uring",
        "--export", "type=vhost-user-blk,id=export,node-name=disk,"
        f"addr.type=unix,addr.path={folder}/qsd.sock"]


def make_image(path):
    with open(path, "wb") as file:
        for _ in range(MEBIBYTES):
            file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())


def main():
    bench = build("blk-bench") + "/blk-bench"
    with tempfile.TemporaryDirectory(dir=os.path.join(HERE, ".build")) as folder:
        image = os.path.join(folder, "disk.img")
        make_image(image)
        for depth in (1, 32):
            runs = {}
            for _ in range(ROUNDS):
                for name, socket, command in contenders(folder, image):
                    with BackEnd(command, socket) as back_end:
                        result = load(
                            [bench, socket, depth, SECONDS, back_end.process.pid, MEBIBYTES])
                    runs.setdefault(name, []).append(result)
            report(depth, {
                name: {key: statistics.median(run[key] for run in results) for key in results[0]}
                for name, results in runs.items()})


def report(depth, medians):
    ours, theirs = medians["lgdev"], medians["qemu-storage-daemon"]
    ratios = {key: round(ours[key] / max(1, theirs[key]), 2) for key in ours}
    if "--json" in sys.argv:
        print(json.dumps({"depth": depth, **medians, "ratios": ratios}), flush=True)
        return
    print(f"4 KiB random read, depth {depth}, medians of {ROUNDS}")
    for name, row in (*medians.items(), ("lgdev / qemu-storage-daemon", ratios)):
        figures = "  ".join(f"{key} {value}" for key, value in row.items())
        print(f"  {name:28} {figures}", flush=True)


main()
