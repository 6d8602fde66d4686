#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads, writes and flushes of one file over vhost-user: lgdev beside qemu-storage-daemon and plain C.

All serve the same file in turn, the load on one processor and the back-end on the other. The medians
and their ratios are printed, a JSON object a row with --json; absolute figures mean little on a shared
machine. C is Sources/CBlock/blkd.c, each of its engines; the ratio is to the one that takes the least processor time.

  blk.py [--json] [ROW …]      rows whose names contain one of the words, by default all

ENGINE=auto|uring|threads chooses lgdev's engine, ROUNDS and SECONDS how long a row takes.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile

from backends import HERE, LGDEV, BackEnd, build, load

MEBIBYTES = 256
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = int(os.environ.get("SECONDS", "1"))
QSD = "qemu-storage-daemon"
C_ENGINES = ("pread", "uring", "defer")

ROWS = [
    (f"{cache} {kind} {name} depth {depth}", cache, kind, size, depth)
    for cache in ("buffered", "direct") for kind in ("read", "write")
    for name, size, depth in (("4k", 4096, 1), ("4k", 4096, 32), ("4k", 4096, 128),
                              ("128k", 131072, 8))
] + [("flush with nothing written depth 1", "buffered", "flush", 512, 1)]


def contenders(folder, image, cache):
    """Names, sockets and commands of the back-ends."""
    engine = os.environ.get("ENGINE", "auto")
    direct = cache == "direct"
    yield "lgdev", f"{folder}/block0.sock", [
        LGDEV, "serve", "--transport", "vhost-user", "--socket-dir", folder,
        "--block", f"path={image},engine={engine},cache={'none' if direct else 'writeback'}"]
    yield QSD, f"{folder}/qsd.sock", [
        QSD, "--blockdev", f"driver=file,node-name=disk,filename={image},aio=io_uring,"
        f"cache.direct={'on' if direct else 'off'}",
        "--export", "type=vhost-user-blk,id=export,node-name=disk,writable=on,"
        f"addr.type=unix,addr.path={folder}/qsd.sock"]
    for name in C_ENGINES:
        yield f"C {name}", f"{folder}/c.sock", [
            f"{folder}/blkd", f"{folder}/c.sock", image, name] + ["direct"] * direct


def make_image(path):
    # In small pieces: of what was written in large ones the page cache has large folios, and the kernel's work for
    # a small write into one of those is ten times that of everybody else.
    with open(path, "wb", buffering=0) as file:
        for _ in range(MEBIBYTES << 8):
            file.write(os.urandom(4096))
        file.flush()
        os.fsync(file.fileno())


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    bench = build("blk-bench") + "/blk-bench"
    with tempfile.TemporaryDirectory(dir=os.path.join(HERE, ".build")) as folder:
        subprocess.run(
            ["gcc", "-O2", "-o", f"{folder}/blkd", f"{HERE}/Sources/CBlock/blkd.c", "-luring",
             "-lpthread"], check=True)
        image = os.path.join(folder, "disk.img")
        make_image(image)
        for name, cache, kind, size, depth in ROWS:
            if words and not any(word in name for word in words):
                continue
            runs = {}
            for _ in range(ROUNDS):
                for contender, socket, command in contenders(folder, image, cache):
                    with BackEnd(command, socket) as back_end:
                        result = load([
                            bench, socket, kind, size, depth, SECONDS, back_end.process.pid,
                            MEBIBYTES])
                    runs.setdefault(contender, []).append(result)
            report(name, {
                contender: {
                    key: statistics.median(run[key] for run in results) for key in results[0]}
                for contender, results in runs.items()})


def report(name, medians):
    ours = medians["lgdev"]
    best = min((f"C {engine}" for engine in C_ENGINES), key=lambda c: medians[c]["cpu_ns"])
    ratios = {
        peer: {key: round(ours[key] / max(1, medians[peer][key]), 2) for key in ours}
        for peer in (QSD, best)}
    if "--json" in sys.argv:
        print(json.dumps({"row": name, **medians, "ratios": ratios}), flush=True)
        return
    print(f"{name}, medians of {ROUNDS}")
    rows = [*medians.items(), *((f"lgdev / {peer}", ratio) for peer, ratio in ratios.items())]
    for label, row in rows:
        figures = "  ".join(f"{key} {value}" for key, value in row.items())
        print(f"  {label:28} {figures}", flush=True)


main()
