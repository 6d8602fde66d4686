# SPDX-License-Identifier: Apache-2.0
"""QEMU's vhost-user devices: block on split and packed rings, rng, net; a guest's reboot; sudden
death.
"""

import documents
import guestdisk
import initramfs
import network
from bed import Bed, test
from failure import Failure
from lgdev import Lgdev
from process import until
from qemu import Qemu
from versions import NEWEST, OLDEST


# The newest QEMU is here without what a PC would boot from a network card.
_NO_ROM = ["-global", "virtio-net-pci.romfile="]


class QemuBed(Bed):
  """One daemon, two QEMUs, three boots."""

  name = "qemu"

  @test("QEMU boots Debian's kernel on block, rng and net of one daemon", 120, essential=True)
  def boot(self):
    tools = initramfs.tools_disk(self.room)
    image, packed = self.disk("qemu-vda", 96), self.disk("qemu-vdb", 64)
    self.daemon = self.own(
      Lgdev(
        self.room,
        "qemu-lgdev",
        [
          "--block",
          f"path={image},serial=Q1,queues=2",
          "--block",
          f"path={packed},serial=Q2,queues=2",
          "--block",
          f"path={tools},serial=TOOLS,ro,queues=2",
          "--net",
          f"tap={network.TAP},address={network.HOST}/24",
          "--rng",
        ],
        ["block0", "block1", "block2", "net0", "rng0"],
      )
    )
    self._boot("qemu-1")

  def _boot(self, name, version=OLDEST):
    sockets = self.daemon.sockets
    self.guest = self.own(
      Qemu(
        self.room,
        name,
        blocks=[
          (sockets["block0"], ""),
          (sockets["block1"], ",packed=on"),
          (sockets["block2"], ""),
        ],
        nets=[sockets["net0"]],
        rngs=[sockets["rng0"]],
        version=version,
      )
    )
    self.guest.boot()
    self._mount_tools()

  def _mount_tools(self):
    self.shell = self.guest.shell
    self.shell.run("mount -t ext4 -o ro /dev/vdc /tools", 30)

  @test("the second disk's driver uses a packed ring, the first a split one", 10)
  def rings(self):
    for device, want in (("vda", "0"), ("vdb", "1")):
      bits = self.shell.run(f"cat /sys/block/{device}/device/features")
      if bits[34] != want:
        raise Failure(f"{device}: feature RING_PACKED is {bits[34]}, should be {want}")

  @test("ext4 is made, mounted and written", 90)
  def ext4(self):
    self.digest = guestdisk.make_ext4(self.shell, "vda")

  @test("random writes, 32 in flight, read back equal, on a packed ring", 90)
  def fio(self):
    guestdisk.fio_write(self.shell, "vdb", "24M")

  @test("lgdev stats says exactly what the guest did to its disks", 60)
  def stats(self):
    # The first has a file system, the second is free behind fio's part.
    for disk, device, written in (("vda", "block0", 0), ("vdb", "block1", 40 << 16)):
      before = self._traffic(disk), self.daemon.stats(device)
      if written > 0:
        self.shell.run(f"dd if=/dev/zero of=/dev/{disk} bs=64k count=40 seek=400 oflag=direct", 30)
      self.shell.run(f"dd if=/dev/{disk} of=/dev/null bs=64k count=60 iflag=direct", 30)
      after = self._traffic(disk), self.daemon.stats(device)
      guest, daemon = ([new - old for old, new in zip(*pair)] for pair in zip(before, after))
      if guest[:2] != daemon[:2] or guest[0] < 60 << 16 or guest[1] < written:
        raise Failure(f"{disk}: the guest says {guest[:2]} bytes read and written, lgdev {daemon[:2]}")
      if daemon[2] < guest[2]:
        raise Failure(f"{disk}: {guest[2]} requests of the guest, {daemon[2]} chains of lgdev")

  def _traffic(self, disk):
    """What the guest counts: bytes read, bytes written, requests."""
    fields = [int(field) for field in self.shell.run(f"cat /sys/block/{disk}/stat").split()]
    return fields[2] << 9, fields[6] << 9, fields[0] + fields[4]

  @test("the guest's random numbers come from the device, are complete and differ", 30)
  def rng(self):
    current = self.shell.run("cat /sys/class/misc/hw_random/rng_current")
    if not current.startswith("virtio_rng"):
      raise Failure(f"the guest's source of random numbers is {current}")
    size = 256 << 10
    for name in ("one", "two"):
      self.shell.run(f"head -c {size} /dev/hwrng >/tmp/{name}", 30)
      seen = self.shell.run(f"wc -c </tmp/{name}; gzip -c /tmp/{name} | wc -c").split()
      # Random bytes do not shrink; a buffer that was filled in part (with zeros behind) would.
      if seen[0] != str(size) or int(seen[1]) < size:
        raise Failure(f"{seen[0]} of {size} bytes were read, and they compress to {seen[1]}")
    if self.shell.run("cmp -s /tmp/one /tmp/two; echo $?") == "0":
      raise Failure("the same bytes came twice")

  @test(
    "ping answers both ways, and 100 MB over TCP each way with equal checksums, offloads on", 180
  )
  def net(self):
    network.guest_up(self.shell)
    network.ping(self.shell)
    network.check_offloads(self.shell)
    return network.transfer(self.shell, 100)

  @test("the guest reboots and finds its files", 120, essential=True)
  def reboot(self):
    guestdisk.check_kernel_log(self.shell)
    self.guest.reboot()
    self._mount_tools()
    guestdisk.check_ext4(self.shell, "vda", self.digest)
    guestdisk.fio_check(self.shell, "vdb", "24M")
    network.guest_up(self.shell)
    network.ping(self.shell)
    self.shell.run("[ $(head -c 4096 /dev/hwrng | wc -c) = 4096 ]")
    guestdisk.check_kernel_log(self.shell)

  @test(
    "killed with SIGKILL in mid-transfer of disk, rng and net, it leaves the daemon healthy",
    60,
    essential=True,
  )
  def sudden_death(self):
    self.shell.run("mount -t ext4 /dev/vda /tmp/mnt")
    up = network.Listener()
    self.shell.run(guestdisk.WRITE_FOR_EVER)
    self.shell.run("(cat /dev/hwrng >/dev/null) &")
    self.shell.run(f"(cat /dev/zero | nc {network.HOST} {up.port} >/dev/null) &")
    until(lambda: up.received > 10 << 20, 30, "the transfer did not get under way")
    self.guest.kill()
    self.release(self.guest)
    self.daemon.check_idle()

  @test("the next front-end after it is served: disk, rng, net", 120)
  def next_one(self):
    self._boot("qemu-2")
    guestdisk.check_ext4(self.shell, "vda", self.digest, repair=True)
    self.shell.run("[ $(head -c 4096 /dev/hwrng | wc -c) = 4096 ]")
    network.guest_up(self.shell)
    network.ping(self.shell)
    guestdisk.check_kernel_log(self.shell)
    self._power_off()

  @test("the newest QEMU: both rings, random numbers, ping and TCP, a reboot", 240)
  def newest(self):
    self._boot("qemu-newest", NEWEST)
    self.rings()
    guestdisk.fio_write(self.shell, "vdb", "8M")
    network.guest_up(self.shell)
    network.ping(self.shell)
    network.transfer(self.shell, 10)
    self.guest.reboot()
    self._mount_tools()
    guestdisk.check_ext4(self.shell, "vda", self.digest)
    guestdisk.fio_check(self.shell, "vdb", "8M")
    self.shell.run("[ $(head -c 4096 /dev/hwrng | wc -c) = 4096 ]")
    network.guest_up(self.shell)
    network.ping(self.shell)
    guestdisk.check_kernel_log(self.shell)
    self._power_off()

  def _power_off(self):
    self.guest.power_off()
    self.release(self.guest)
    self.daemon.check_idle()

  @test("README's QEMU starts with four processors, and its disk has a queue for each", 120)
  def readme(self):
    options = ["--block", f"path={self.disk('readme', 16)},format=raw", "--net", "tap=bed1", "--rng"]
    daemon = self.own(Lgdev(self.room, "readme-lgdev", options, ["block0", "rng0", "net0"]), transient=True)
    words = documents.command("README.md", "qemu-system-x86_64")
    for device in ("block0", "rng0", "net0"):
      words = [word.replace(f"/tmp/vm/{device}.sock", daemon.sockets[device]) for word in words]
    # This machine may have no KVM; what the readers' guest boots from is theirs.
    words[words.index("kvm")] = "tcg"
    guest = self.own(
      Qemu.of_words(self.room, "qemu-readme", [*words, "-smp", "4", *_NO_ROM], NEWEST, blocks=1, rngs=1, nets=1),
      transient=True,
    )
    guest.boot()
    queues = guest.shell.run("ls /sys/block/vda/mq | wc -l")
    if queues != "4":
      raise Failure(f"the disk has {queues} queues")
    guest.power_off()
    self.release(guest)
    daemon.check_stop()
    self.release(daemon)

  @test("SIGTERM ends the daemon within a second and leaves nothing behind", 10)
  def end(self):
    self.daemon.check_stop()
