#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Guest disks as files: lgdev export against qemu-storage-daemon, nbdfuse and the plain file.

usage: fuse.py [--json] [--rounds N] [--seconds S] [--size MiB] [--only NAME,...] [--jobs NAME,...]

All show the same image, a file on tmpfs, so that the servers are measured and not a storage device. fio
reads and writes it, past the caches of the mounted file system. The servers take turns: each round measures
every server at every job, and the table has the medians. "us" is the server's processor time for each
operation, from the scheduler's count for its threads (/proc/PID/task/*/schedstat). Needs root, fio,
qemu-utils or qemu-system-x86 (qemu-storage-daemon), and libnbd-bin with nbdkit (nbdfuse); what is not
installed is left out and said.
"""

import argparse
import glob
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
JOBS = {
  "read 1 MiB": ["--rw=read", "--bs=1M", "--ioengine=psync"],
  "write 1 MiB": ["--rw=write", "--bs=1M", "--ioengine=psync"],
  "randread 4 KiB, depth 1": ["--rw=randread", "--bs=4k", "--ioengine=psync"],
  "randread 4 KiB, depth 16": ["--rw=randread", "--bs=4k", "--ioengine=libaio", "--iodepth=16"],
  "randwrite 4 KiB, depth 1": ["--rw=randwrite", "--bs=4k", "--ioengine=psync"],
  "randwrite 4 KiB, depth 16": ["--rw=randwrite", "--bs=4k", "--ioengine=libaio", "--iodepth=16"],
}


def lgdev():
  return os.environ.get("LGDEV", f"{ROOT}/.build/release/lgdev")


def qsd(image, file, aio):
  return [
    "qemu-storage-daemon",
    "--blockdev", f"driver=file,node-name=f,filename={image},aio={aio}",
    "--export", f"type=fuse,id=e,node-name=f,mountpoint={file},writable=on,growable=on",
  ]  # fmt: skip


# Each: the program that must be there, and its command line for an image and a plain file to mount on.
SERVERS = {
  "lgdev": (lgdev, lambda i, f: [lgdev(), "export", "--writable", "--growable", i, f]),
  "lgdev, no passthrough": (
    lgdev,
    lambda i, f: [lgdev(), "export", "--writable", "--growable", "-o", "nopassthrough", i, f],
  ),
  "qsd, threads": (lambda: "qemu-storage-daemon", lambda i, f: qsd(i, f, "threads")),
  "qsd, io_uring": (lambda: "qemu-storage-daemon", lambda i, f: qsd(i, f, "io_uring")),
  "nbdfuse": (
    lambda: "nbdfuse",
    lambda i, f: ["nbdfuse", f, "--command", "nbdkit", "-s", "file", i],
  ),
  "plain file": (lambda: "fio", None),
}


class Server:
  """A running server with the image mounted on a plain file; a context manager."""

  def __init__(self, name, folder, image):
    self.command = SERVERS[name][1]
    self.file = f"{folder}/disk" if self.command else image
    self.image = image

  def __enter__(self):
    self.child = None
    if self.command:
      open(self.file, "wb").close()
      self.child = subprocess.Popen(
        self.command(self.image, self.file), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
      )
      size = os.path.getsize(self.image)
      while os.stat(self.file).st_size != size:
        if self.child.poll() is not None:
          sys.exit(f"fuse.py: {' '.join(self.child.args)} has ended ({self.child.returncode})")
        time.sleep(0.01)
    return self

  def __exit__(self, *_):
    if self.child:
      subprocess.run(["fusermount3", "-u", self.file], check=False)
      self.child.send_signal(signal.SIGTERM)
      try:
        self.child.wait(10)
      except subprocess.TimeoutExpired:
        self.child.kill()
        self.child.wait()
      subprocess.run(["umount", "-l", self.file], check=False, stderr=subprocess.DEVNULL)

  def processor_time(self):
    """In nanoseconds, of the server and its children."""
    if not self.child:
      return 0
    total = 0
    pids = [self.child.pid]
    for pid in pids:
      for task in glob.glob(f"/proc/{pid}/task/*"):
        try:
          with open(f"{task}/schedstat") as file:
            total += int(file.read().split()[0])
          with open(f"{task}/children") as file:
            pids += [int(word) for word in file.read().split()]
        except FileNotFoundError:
          pass  # The thread has ended meanwhile.
    return total


def measure(server, job, seconds):
  """(operations a second, server's microseconds for each, fio's own)."""
  before = server.processor_time()
  command = [
    "fio", "--name=job", f"--filename={server.file}", "--direct=1", f"--runtime={seconds}",
    "--time_based", "--output-format=json", "--randrepeat=1", "--overwrite=1", "--fallocate=none",
    f"--size={os.path.getsize(server.image)}", *JOBS[job],
  ]  # fmt: skip
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  after = server.processor_time()
  if done.returncode != 0:
    sys.exit(f"fuse.py: {' '.join(command)}: {done.stderr.strip()}")
  result = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
  side = result["read"] if "read" in JOBS[job][0] else result["write"]
  count = side["total_ios"]
  client = (result["usr_cpu"] + result["sys_cpu"]) / 100 * result["job_runtime"] * 1000 / count
  return side["iops"], (after - before) / 1000 / count, client


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument("--json", action="store_true")
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--seconds", type=float, default=2)
  parser.add_argument("--size", type=int, default=512)
  parser.add_argument("--only")
  parser.add_argument("--jobs")
  options = parser.parse_args()
  names = [
    name
    for name, (program, _) in SERVERS.items()
    if not options.only or any(word == name for word in options.only.split(";"))
  ]
  for name in list(names):
    if not shutil.which(SERVERS[name][0]()):
      print(f"{name}: not installed, left out", file=sys.stderr)
      names.remove(name)
  jobs = [job for job in JOBS if not options.jobs or any(word in job for word in options.jobs.split(";"))]
  results = {}
  with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
    image = f"{folder}/disk.img"
    block = os.urandom(1 << 20)
    with open(image, "wb") as file:
      for _ in range(options.size):
        file.write(block)
    for _ in range(options.rounds):
      for name in names:
        with Server(name, folder, image) as server:
          for job in jobs:
            results.setdefault((job, name), []).append(measure(server, job, options.seconds))
  table = {
    key: [statistics.median(column) for column in zip(*rows)] for key, rows in results.items()
  }
  for (job, name), (rate, cost, client) in table.items():
    if options.json:
      print(
        json.dumps(
          {"job": job, "server": name, "iops": round(rate), "server_us": round(cost, 2),
           "client_us": round(client, 2)}
        )
      )  # fmt: skip
    else:
      print(f"{job:28}{name:24}{rate:10.0f}/s{cost:10.1f} us{client:10.1f} us fio")


if __name__ == "__main__":
  main()
