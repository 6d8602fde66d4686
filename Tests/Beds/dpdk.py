# SPDX-License-Identifier: Apache-2.0
"""DPDK's testpmd as a front-end: a driver in user space (virtio-user) with the ring layouts that
Linux guests rarely use. It sends each frame back with its MAC addresses swapped, so what comes back
can be compared.
"""

import functools
import os
import re
import signal
import subprocess

import versions
from failure import Failure
from process import Process, run, until
from versions import NEWEST, OLDEST

# Feature bits (virtio 1.3: 5.1.3, 6).
_MRG_RXBUF, _RING_PACKED, _IN_ORDER = ("MRG_RXBUF", 15), ("RING_PACKED", 34), ("IN_ORDER", 35)
MAC = "52:54:00:17:00:09"
_PROMPT = "testpmd> "
_SAFE = "/mnt"
BUFFER = 1024  # Bytes of a frame that one of its buffers holds, where buffers can be merged.


class Testpmd:
  """A running testpmd on one net socket. `interactive`: it takes commands."""

  def __init__(
    self, room, name, path, packed=False, in_order=False, mergeable=False, version=OLDEST,
    interactive=False,
  ):
    self._interactive = interactive
    self._wanted = {_RING_PACKED: packed, _IN_ORDER: in_order, _MRG_RXBUF: mergeable}
    device = (
      f"net_virtio_user0,path={path},mac={MAC},queues=1,queue_size=256,packed_vq={packed:d},"
      f"in_order={in_order:d},mrg_rxbuf={mergeable:d}"
    )
    # Frames longer than a buffer are spread over several in both directions.
    long = [f"--mbuf-size={128 + BUFFER}", "--max-pkt-len=9200", "--enable-scatter", "--tx-offloads=0x8000"]
    # Without it there are more memory regions than the protocol can name; newer ones know that by themselves.
    segments = ["--single-file-segments"] if version == OLDEST else []
    self.process = Process(
      name,
      [
        "stdbuf",
        "-oL",
        versions.program(room.cache, "dpdk-testpmd", version),
        *_drivers(room.cache, version),
        "--no-huge",
        "-m",
        "256",
        "--no-pci",
        *segments,
        "--file-prefix",
        name,
        "--no-telemetry",
        "-v",
        "-l",
        "0,1",
        "--vdev",
        device,
        "--log-level",
        "pmd.net.virtio.init:debug",
        "--",
        "--total-num-mbufs=8192",
        "--forward-mode=macswap",
        *(["--interactive"] if interactive else ["--auto-start"]),
        *(long if mergeable else []),
      ],
      room.file(f"{name}.log"),
      stdin=subprocess.PIPE,
      environment={"RUNTIME_DIRECTORY": room.short},
    )
    self.logs = [self.process.log]

  def start(self, seconds=20):
    """Waits until frames are forwarded, and checks that the ring is of the kind that was asked
    for.
    """
    if self._interactive:
      self.process.wait_for(_PROMPT, seconds)
      self.command("start", seconds)
    else:
      self.process.wait_for("Press enter to exit", seconds)
    negotiated = re.findall(r"features after negotiate = ([0-9a-f]+)", self.process.output())
    if not negotiated:
      raise Failure("testpmd does not say which features it negotiated")
    features = int(negotiated[-1], 16)
    for (name, bit), wanted in self._wanted.items():
      if bool(features >> bit & 1) != wanted:
        raise Failure(f"{name} is {'on' if not wanted else 'off'} (features {features:#x})")

  def command(self, line, seconds=20):
    """Types a command, and waits for the next prompt."""
    prompts = self.process.output().count(_PROMPT)
    self.process.type(line.encode() + b"\n")
    until(
      lambda: self.process.output().count(_PROMPT) > prompts,
      seconds,
      f"{self.process.name} did not do '{line}'",
      still=self.process.alive,
    )

  def quit(self):
    """An orderly end of an interactive one."""
    self.process.type(b"quit\n")
    self.process.wait(10)

  def stop(self):
    """An orderly end."""
    self.process.signal(signal.SIGINT)
    self.process.wait(10)

  def kill(self):
    self.process.kill()


def _drivers(cache, version):
  """The options that name the drivers, where the program would look for them in the system's folders."""
  if version != NEWEST:
    return []
  options = []
  for name in ("bus_vdev", "mempool_ring", "net_virtio"):
    path = versions.file(cache, f"/usr/lib/x86_64-linux-gnu/dpdk/pmds-*/librte_{name}.so.*", version)
    _bind(os.path.dirname(path))
    options += ["-d", f"{_SAFE}/{os.path.basename(path)}"]
  return options


@functools.cache
def _bind(folder):
  """Shows a folder at a path of which nobody but root may write to any part, such as /tmp: DPDK takes drivers from
  nowhere else. The mount is the sandbox's own.
  """
  run(["mount", "--bind", folder, _SAFE])
