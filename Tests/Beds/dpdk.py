# SPDX-License-Identifier: Apache-2.0
"""DPDK's testpmd as a front-end: a driver in user space (virtio-user) with the ring layouts that
Linux guests rarely use. It sends each frame back with its MAC addresses swapped, so what comes back
can be compared.
"""

import re
import signal
import subprocess

from failure import Failure
from process import Process

# Feature bits (virtio 1.3: 5.1.3, 6).
_MRG_RXBUF, _RING_PACKED, _IN_ORDER = ("MRG_RXBUF", 15), ("RING_PACKED", 34), ("IN_ORDER", 35)
MAC = "52:54:00:17:00:09"
BUFFER = 1024  # Bytes of a frame that one of its buffers holds, where buffers can be merged.


class Testpmd:
  """A running testpmd on one net socket."""

  def __init__(self, room, name, path, packed, in_order, mergeable):
    self._wanted = {_RING_PACKED: packed, _IN_ORDER: in_order, _MRG_RXBUF: mergeable}
    device = (
      f"net_virtio_user0,path={path},mac={MAC},queues=1,queue_size=256,packed_vq={packed:d},"
      f"in_order={in_order:d},mrg_rxbuf={mergeable:d}"
    )
    # Frames longer than a buffer are spread over several in both directions.
    long = [f"--mbuf-size={128 + BUFFER}", "--max-pkt-len=9200", "--enable-scatter", "--tx-offloads=0x8000"]
    self.process = Process(
      name,
      # --single-file-segments: without it there are more memory regions than the protocol can name.
      [
        "stdbuf",
        "-oL",
        "dpdk-testpmd",
        "--no-huge",
        "-m",
        "256",
        "--no-pci",
        "--single-file-segments",
        "--file-prefix",
        name,
        "--no-telemetry",
        "-l",
        "0,1",
        "--vdev",
        device,
        "--log-level",
        "pmd.net.virtio.init:debug",
        "--",
        "--total-num-mbufs=8192",
        "--forward-mode=macswap",
        "--auto-start",
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
    self.process.wait_for("Press enter to exit", seconds)
    negotiated = re.findall(r"features after negotiate = ([0-9a-f]+)", self.process.output())
    if not negotiated:
      raise Failure("testpmd does not say which features it negotiated")
    features = int(negotiated[-1], 16)
    for (name, bit), wanted in self._wanted.items():
      if bool(features >> bit & 1) != wanted:
        raise Failure(f"{name} is {'on' if not wanted else 'off'} (features {features:#x})")

  def stop(self):
    """An orderly end."""
    self.process.signal(signal.SIGINT)
    self.process.wait(10)

  def kill(self):
    self.process.kill()
