# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping back-ends, and loading them: shared by the benchmarks."""

import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LGDEV = os.environ.get("LGDEV", os.path.join(HERE, "../.build/release/lgdev"))
ROUNDS = 5
SECONDS = 2


def build(*products):
    """Builds products of this package; returns the folder that they are in."""
    swift = ["swift", "build", "-c", "release", "--package-path", HERE]
    for product in products:
        subprocess.run([*swift, "--product", product], check=True, stdout=sys.stderr)
    shown = subprocess.run([*swift, "--show-bin-path"], check=True, capture_output=True, text=True)
    return shown.stdout.strip()


def load(command):
    """Runs a load on processor 0; returns what it has measured."""
    done = subprocess.run(
        ["taskset", "-c", "0", *map(str, command)], check=True, capture_output=True, text=True,
        timeout=60)
    return json.loads(done.stdout)


class BackEnd:
    """A back-end on processor 1, for as long as the `with` block lasts."""

    def __init__(self, command, socket):
        self.command = command
        self.socket = socket

    def __enter__(self):
        self.process = subprocess.Popen(
            ["taskset", "-c", "1", *self.command], stderr=subprocess.PIPE)
        for _ in range(200):
            if os.path.exists(self.socket):
                return self
            if self.process.poll() is not None:
                sys.exit(f"{self.command[0]}: {self.process.stderr.read().decode()}")
            time.sleep(0.05)
        self.process.kill()
        sys.exit(f"{self.command[0]}: {self.socket} did not appear")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            # One version of the storage daemon ignores SIGTERM once a client was connected.
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        if os.path.exists(self.socket):
            os.unlink(self.socket)
