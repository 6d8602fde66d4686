# SPDX-License-Identifier: Apache-2.0
"""Whether a guest has the devices that it was given.

Asked after each boot: without a device, what is written to its name goes into a plain file of that name
(`/dev` is in memory), and is read back equal.
"""

from failure import Failure
from process import until


def disk(index):
  return f"vd{chr(ord('a') + index)}"


def check(shell, blocks=0, nets=0, consoles=0, rngs=0, seconds=10):
  """Waits until so many of each kind are there, with their drivers; fails otherwise."""
  wanted = {f"/dev/{disk(index)}": f"[ -b /dev/{disk(index)} ]" for index in range(blocks)}
  for index in range(nets):
    wanted[f"eth{index}"] = f"readlink /sys/class/net/eth{index}/device/driver | grep -q virtio_net"
  for index in range(consoles):
    wanted[f"/dev/hvc{index}"] = f"[ -c /dev/hvc{index} ] && : </dev/hvc{index}"
  if rngs:
    wanted["/dev/hwrng"] = "grep -q ^virtio_rng /sys/class/misc/hw_random/rng_current"
  for name, condition in wanted.items():
    until(
      lambda: shell.run(f"{condition} && echo there", check=False) == "there",
      seconds,
      f"the guest has no {name}",
      step=0.2,
    )


def check_disk(shell, name):
  """Fails unless that name is a disk's."""
  if shell.run(f"[ -b /dev/{name} ] && echo disk", check=False) != "disk":
    raise Failure(f"the guest's /dev/{name} is not a disk")
