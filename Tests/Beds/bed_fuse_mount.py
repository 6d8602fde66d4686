# SPDX-License-Identifier: Apache-2.0
"""Mounts of `lgdev export`: who may have them, how they come about, and how they end."""

import contextlib
import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import termios

from bed import test
from export import refusal
from exportbed import MIB, ExportBed, content, expect, loop_device, same
from failure import Failure
from lgdev import Lgdev, program
from patience import patience
from process import Process, run, until


class FuseMountBed(ExportBed):
  """Exports that are refused, shared, signalled, killed, and whose storage hangs or goes."""

  name = "fuse-mount"

  @test("storage that hangs: signals and unmounting end the export all the same, with a line", 240)
  def hanging(self):
    # The image lies on a file system whose process is stopped.
    image = self.disk("fuse-hang", 4)
    below = self._mount("below", "-o", "nopassthrough", image)
    place = self.room.socket("above")
    os.makedirs(place)
    self._halt(below.process)
    try:
      disk = f"{below.folder}/disk"
      serve = ["serve", "--socket-dir", place, "--console", "stdio", "--block", f"path={disk},ro"]
      for number, arguments in enumerate((["export", disk, place], serve)):
        for ending in (signal.SIGTERM, signal.SIGINT):
          self._check_end_at_start([program(), *arguments], ending, f"hang-start{number}-{ending}")
      below.process.signal(signal.SIGCONT)
      for ending in ("SIGTERM", "fusermount3 -u"):
        mounted = self._mount("hang", "-o", "nopassthrough", f"{below.folder}/disk")
        self._halt(below.process)
        # It looks after its image each second.
        self._await_hang(mounted.process)
        if ending == "SIGTERM":
          mounted.process.signal(signal.SIGTERM)
        else:
          run(["fusermount3", "-u", mounted.folder])
        mounted.process.wait_for("do not finish; ending without them", 20)
        until(lambda m=mounted: not os.path.ismount(m.folder), 20, f"{ending}: it is still mounted")
        # What the kernel has still to do with the image waits for the storage.
        below.process.signal(signal.SIGCONT)
        same(mounted.process.wait(20), 1, f"the exit code after {ending}")
        self.release(mounted)
    finally:
      below.process.signal(signal.SIGCONT)
    self._unmount(below)

  def _check_end_at_start(self, command, ending, name):
    """A signal ends one whose image cannot be opened, and its terminal is as it was."""
    # Programs inherit that it is ignored, as it is behind a shell's '&'.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    user, line = os.openpty()
    try:
      before = termios.tcgetattr(line)
      starting = self.own(
        Process(name, command, self.room.file(f"{name}.log"), stdin=line), transient=True
      )
      starting.logs = [starting.log]
      self._await_hang(starting)
      starting.signal(ending)
      same(starting.wait(20), -ending, f"{name}: the exit code")
      same(termios.tcgetattr(line) == before, True, f"{name}: that the terminal is as it was")
      self.release(starting)
    finally:
      os.close(user)
      os.close(line)

  def _halt(self, process):
    """Stops it, and waits until all its threads stand still: nothing is answered any more."""
    process.signal(signal.SIGSTOP)

    def halts():
      try:
        return all(
          self._state(process, task) == b"T" for task in os.listdir(f"/proc/{process.pid}/task")
        )
      except (FileNotFoundError, ProcessLookupError):
        return False  # A thread that has ended.

    until(halts, 120, f"{process.name} does not stop")

  def _state(self, process, task):
    """A letter: what a thread does, see proc(5)."""
    return content(f"/proc/{process.pid}/task/{task}/stat").rpartition(b")")[2].split()[0]

  @contextlib.contextmanager
  def _held(self, path):
    """The file is open, perhaps longer than it is there."""
    fd = os.open(path, os.O_RDONLY)
    try:
      yield
    finally:
      try:
        os.close(fd)
      except OSError as error:
        same(error.errno, errno.ENOTCONN, "what is wrong with the file at its end")

  def _await_hang(self, process):
    """Waits until a thread waits for a file system in user space to answer."""

    def hangs():
      try:
        tasks = os.listdir(f"/proc/{process.pid}/task")
        return any(
          content(f"/proc/{process.pid}/task/{task}/wchan") == b"request_wait_answer" for task in tasks
        )
      except FileNotFoundError:
        return False  # A thread that has ended.

    until(hangs, 20, f"{process.name} does not hang", still=process.alive)

  @test("an image that shrinks or is removed is named; nothing hangs and nothing is written", 120)
  def shrinking(self):
    image = self.disk("fuse-shrink", 16)
    mounted = self._mount("shrink", "-v", image)
    os.truncate(image, 4 * MIB)
    mounted.process.wait_for("the image has shrunk", 20)
    until(
      lambda: os.stat(f"{mounted.folder}/disk").st_size == 4 * MIB, 20, "the disk's size did not follow"
    )
    os.unlink(image)
    mounted.process.wait_for("the image was removed", 20)
    same(len(content(f"{mounted.folder}/disk")), 4 * MIB, "what is left")
    self._unmount(mounted)
    image = self._image("fuse-cut", 16, "label: gpt\nstart=4096, size=16384\n")
    mounted = self._mount("cut", "--writable", image)
    fd = os.open(f"{mounted.folder}/part1", os.O_RDWR)
    try:
      os.truncate(image, 4 * MIB)
      expect(errno.EIO, "a write behind the cut", lambda: os.pwrite(fd, b"x", 4 * MIB))
      same(os.pwrite(fd, b"x", MIB), 1, "a write before the cut")
    finally:
      os.close(fd)
    same(os.stat(image).st_size, 4 * MIB, "the image's size")
    self._unmount(mounted)

  @test("disks that are served: an image that is removed is named, and a stopped daemon unmounts", 120)
  def served(self):
    image, other = self.disk("fuse-served", 4), self.disk("fuse-served2", 2)
    place = self.room.socket("served")
    os.makedirs(place)
    options = ["--export", place, "--block", f"path={image}", "--block", f"path={other}"]
    daemon = self.own(Lgdev(self.room, "fuse-lgdev", options, ["block0", "block1"]), transient=True)
    same(sorted(os.listdir(place)), ["block0", "block1"], "the directories")
    run(["cmp", f"{place}/block1/disk", other])
    os.truncate(image, MIB)
    daemon.process.wait_for("block0: its size is 1 MiB now", 20)
    same(os.stat(f"{place}/block0/disk").st_size, MIB, "the disk's size")
    os.unlink(image)
    daemon.process.wait_for("the image was removed", 20)
    with open(f"{place}/block0/disk", "rb") as file:
      same(len(file.read()), MIB, "what is left")
      daemon.check_stop()
      same(os.path.ismount(place), False, "that it is mounted after the daemon's end")
      expect(errno.ENOTCONN, "reading a file that is still open", lambda: os.pread(file.fileno(), 1, 0))
    self.release(daemon)

  @test("a signal waits for who uses a writable export, and nothing that was written is lost", 240)
  def in_use(self):
    image = self.disk("fuse-in-use", 16)
    run(["mkfs.ext4", "-q", "-F", image])
    mounted = self._mount("in-use", "--writable", image)
    place = self.room.socket("in-use-mnt")
    os.makedirs(place)
    run(["mount", "-o", "loop", f"{mounted.folder}/disk", place])
    try:
      with open(f"{place}/before", "wb") as file:
        file.write(b"before the signal" * 1000)
      mounted.process.signal(signal.SIGTERM)
      mounted.process.wait_for(f"{mounted.folder}: used by /dev/loop", 20)
      said = f"(disk, mounted on {place}); waiting for that to end; another SIGTERM or SIGINT ends"
      same(said in mounted.process.output(), True, f"what is said: {mounted.process.output()}")
      with open(f"{place}/after", "wb") as file:
        file.write(b"after the signal" * 1000)
      same(os.path.ismount(mounted.folder), True, "that it is mounted")
    finally:
      run(["umount", place])
    same(mounted.process.wait(20), 0, "the exit code")
    same(os.path.ismount(mounted.folder), False, "that it is mounted after the end")
    self.release(mounted)
    for name, text in (("before", b"before the signal"), ("after", b"after the signal")):
      out = run(["debugfs", "-R", f"dump {name} {self.room.file('in-use-file')}", image])
      same(content(self.room.file("in-use-file")), text * 1000, f"{name} in the image ({out})")

  @test("another signal does not wait: a line says what may be lost, and the exit code is 1", 240)
  def impatience(self):
    image = self.disk("fuse-impatient", 4)
    for ending in (signal.SIGTERM, signal.SIGINT):
      mounted = self._mount(f"impatient-{ending}", "--writable", image)
      with self._held(f"{mounted.folder}/disk"):
        mounted.process.signal(signal.SIGHUP)
        mounted.process.wait_for(f"(process {os.getpid()}); waiting for that to end", 20)
        # Sooner than that a signal is an echo of the first.
        until(lambda m=mounted, e=ending: (m.process.signal(e), m.process.exit_code)[1] is not None, 20,
              "it does not end", step=0.5)  # fmt: skip
      same(mounted.process.exit_code, 1, "the exit code")
      same("ended while it was used by " in mounted.process.output(), True, "that it says so")
      same("; what was written there may be lost" in mounted.process.output(), True, "that it says what")
      same(os.path.ismount(mounted.folder), False, "that it is mounted after the end")
      self.release(mounted)

  @test("what can be read only is unmounted at once, and who used it is named", 120)
  def read_only_in_use(self):
    image = self.disk("fuse-used", 4)
    mounted = self._mount("used", image)
    with self._held(f"{mounted.folder}/disk"):
      mounted.check_stop()
    said = f"unmounted while it was used by {content('/proc/self/comm').decode().strip()} (process {os.getpid()})"
    same(said in mounted.process.output(), True, f"what is said: {mounted.process.output()}")
    self.release(mounted)

  @test("nobody reads what it says: signals end it, also where storage hangs", 240)
  def unread(self):
    image = self.disk("fuse-unread", 4)
    below = self._mount("unread-below", "-o", "nopassthrough", image)
    try:
      for hangs in (False, True):
        place = self.room.socket(f"unread-{hangs}")
        os.makedirs(place)
        reading, writing = self._full_pipe()
        with os.fdopen(reading, "rb"), os.fdopen(writing, "wb"):
          command = [program(), "export", "-v", "-o", "nopassthrough", f"{below.folder}/disk", place]
          # The descriptor's number stands for a file's name.
          process = self.own(
            Process("unread", command, f"/proc/self/fd/{writing}", pass_fds=[writing]), transient=True
          )
          process.logs = []
          until(lambda p=place: os.path.ismount(p), 20, "it is not mounted", still=process.alive)
          if hangs:
            self._halt(below.process)
            self._await_hang(process)
          process.signal(signal.SIGTERM)
          if hangs:
            until(lambda p=process: self._state(p, p.pid) == b"Z", 30, "it does not end")
            below.process.signal(signal.SIGCONT)
          same(process.wait(20), 1 if hangs else 0, f"the exit code (hangs: {hangs})")
          same(os.path.ismount(place), False, "that it is mounted after the end")
          self.release(process)
    finally:
      below.process.signal(signal.SIGCONT)
    self._unmount(below)

  def _full_pipe(self):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
      while True:
        os.write(writing, b"." * 4096)
    except BlockingIOError:
      os.set_blocking(writing, True)
    return reading, writing

  @test("what nohup has started goes on when the terminal goes", 120)
  def nohup(self):
    image = self.disk("fuse-nohup", 4)
    place = self.room.socket("nohup")
    os.makedirs(place)
    process = self.own(
      Process("nohup", ["nohup", program(), "export", image, place], self.room.file("nohup.log")), transient=True
    )
    process.logs = [process.log]
    until(lambda: os.path.ismount(place), 20, "the export is not mounted", still=process.alive)
    process.signal(signal.SIGHUP)
    os.truncate(image, MIB)
    process.wait_for("the image has shrunk", 20)
    same(len(content(f"{place}/disk")), MIB, "the disk's size")
    process.signal(signal.SIGTERM)
    same(process.wait(20), 0, "the exit code")
    self.release(process)

  @test("permissions: others see what --mode lets them, and nothing without allow_other", 120)
  def permissions(self):
    image = self.disk("fuse-mode", 1)
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    mounted = self._mount("mode", "-o", "allow_other,mode=0444,uid=12,gid=34", image)
    run([*nobody, "cat", f"{mounted.folder}/disk"])
    status = os.stat(f"{mounted.folder}/disk")
    same((status.st_uid, status.st_gid, status.st_mode & 0o777), (12, 34, 0o444), "owner and mode")
    self._unmount(mounted)
    for options in ([], ["-o", "allow_other"]):
      mounted = self._mount("closed", *options, image)
      out = run([*nobody, "cat", f"{mounted.folder}/disk"], check=False)
      same("Permission denied" in out, True, f"that nobody reads with {options}")
      self._unmount(mounted)

  @test("an ordinary user exports through fusermount3", 120)
  def unprivileged(self):
    home = self.room.socket("nobody")
    os.makedirs(f"{home}/mnt")
    image = f"{home}/disk.raw"
    with open(image, "wb") as file:
      file.write(os.urandom(MIB))
    for path in (home, f"{home}/mnt", image):
      os.chown(path, 65534, 65534)
    shutil.copy(program(), f"{home}/lgdev")
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    process = self.own(
      Process("nobody", [*nobody, f"{home}/lgdev", "export", image, f"{home}/mnt"], self.room.file("nobody.log")),
      transient=True,
    )
    process.logs = [process.log]
    read = [*nobody, "cat", f"{home}/mnt/disk"]
    until(
      lambda: "disk" in run([*nobody, "ls", f"{home}/mnt"], check=False),
      20,
      "nobody's export is not there",
      still=process.alive,
    )
    done = subprocess.run(read, capture_output=True, check=True)
    same(done.stdout == content(image), True, "that nobody reads the image")
    run([*nobody, "fusermount3", "-u", f"{home}/mnt"])
    same(process.wait(10), 0, "the exit code after fusermount3 -u")
    self.release(process)
    self._check_user_in_use(nobody, home, image)
    os.chown(f"{home}/mnt", 0, 0)
    out = run([*nobody, f"{home}/lgdev", "export", image, f"{home}/mnt"], check=False).strip()
    same("may not write" in out and "\n" not in out, True, f"a mount point that is root's: {out}")
    os.chown(f"{home}/mnt", 65534, 65534)
    settings = self.room.file("fuse.conf")
    with open(settings, "w", encoding="utf-8") as file:
      file.write("#user_allow_other\n")
    run(["mount", "--bind", settings, "/etc/fuse.conf"])
    try:
      others = ["-o", "allow_other", image, f"{home}/mnt"]
      out = run([*nobody, f"{home}/lgdev", "export", *others], check=False).strip()
      same("no line 'user_allow_other'" in out and "\n" not in out, True, f"allow_other for others than root: {out}")
    finally:
      run(["umount", "/etc/fuse.conf"])

  def _check_user_in_use(self, nobody, home, image):
    """A user's writable export waits, too."""
    process = self.own(
      Process(
        "nobody-rw", [*nobody, f"{home}/lgdev", "export", "--writable", image, f"{home}/mnt"],
        self.room.file("nobody-rw.log"),
      ),
      transient=True,
    )  # fmt: skip
    process.logs = [process.log]
    until(
      lambda: "disk" in run([*nobody, "ls", f"{home}/mnt"], check=False), 20, "the export is not there",
      still=process.alive,
    )  # fmt: skip
    user = self.own(
      Process("user", [*nobody, "sh", "-c", f"exec 3>{home}/mnt/disk; read line; printf x >&3"],
              self.room.file("user.log"), stdin=subprocess.PIPE), transient=True,
    )  # fmt: skip
    user.logs = [user.log]
    until(lambda: os.path.lexists(f"/proc/{user.pid}/fd/3"), 20, "nobody opens it", still=user.alive)
    process.signal(signal.SIGTERM)
    process.wait_for(f"{home}/mnt: used by sh (process {user.pid})", 20)
    user.type(b"\n")
    same(user.wait(20), 0, "the exit code of who writes")
    same(process.wait(20), 0, "the exit code of the export")
    same(content(image, 0, 1), b"x", "what was written last")
    self.release(user)
    self.release(process)

  @test("mount -t fuse.lgdev works, so a line in /etc/fstab does", 120)
  def fstab(self):
    image = self.disk("fuse-fstab", 2)
    place = self.room.socket("fstab-mnt")
    os.makedirs(place)
    # In this mount namespace alone.
    run(["mount", "-t", "tmpfs", "tmpfs", "/usr/local/sbin"])
    try:
      os.symlink(program(), "/usr/local/sbin/lgdev")
      run(["mount", "-t", "fuse.lgdev", image, place, "-o", "noexec,allow_other,x-systemd.automount"])
      same(content(f"{place}/disk") == content(image), True, "that the mount shows the image")
      same("fuse.lgdev" in run(["findmnt", "-n", place]), True, "the mount's type")
      expect(errno.EROFS, "writing", lambda: open(f"{place}/disk", "r+b"))
      self._check_system_log(lambda: os.truncate(image, MIB), f"{image}: the image has shrunk")
      run(["umount", place])
      helper = "/usr/local/sbin/mount.fuse.lgdev"
      os.symlink(program(), helper)
      run([helper, image, place, "-f", "-o", "rw,writable"])
      same(os.path.ismount(place), False, "that mount -f mounts nothing")
      run(["mount", "-r", "-t", "fuse.lgdev", image, place, "-o", "writable,growable"])
      expect(errno.EROFS, "writing after mount -r", lambda: open(f"{place}/disk", "r+b"))
      run(["umount", place])
      table = self.room.file("fstab")
      with open(table, "w", encoding="utf-8") as file:
        file.write(f"{image} {place} fuse.lgdev writable,growable,nofail,x-systemd.automount 0 0\n")
      # The second time it is mounted already.
      for _ in range(2):
        run(["mount", "-T", table, "-a"])
      os.truncate(f"{place}/disk", 3 * MIB)
      run(["umount", place])
      same(os.stat(image).st_size, 3 * MIB, "the image's size")
      out = run(["mount", "-t", "fuse.lgdev", f"{image}.not", place], check=False)
      same("there is no such file" in out, True, "what a missing image gives")
      same(os.path.ismount(place), False, "that nothing is mounted then")
    finally:
      run(["umount", "/usr/local/sbin"])

  def _check_system_log(self, body, words):
    """What a mount without a terminal has to say comes to the system's log."""
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(self.room.socket("log"))
    made = not os.path.exists("/dev/log")
    if made:
      open("/dev/log", "wb").close()
    try:
      # In this mount namespace alone.
      run(["mount", "--bind", self.room.socket("log"), "/dev/log"])
      body()
      log.settimeout(patience(20))
      line = ""
      while words not in line:
        line = log.recv(4096).decode()
      same(re.match(r"<28>.* lgdev\[\d+\]: warning: ", line) is not None, True, f"how it begins: {line}")
    except TimeoutError:
      raise Failure(f"nothing in the system's log has '{words}'") from None
    finally:
      run(["umount", "/dev/log"], check=False)
      if made:
        os.unlink("/dev/log")
      log.close()

  @test("a writable export and QEMU keep each other out, and read-only users share", 240)
  def locks(self):
    image = self.disk("fuse-lock", 4)
    read = ["qemu-io", "-r", "-f", "raw", "-c", "read 0 512", image]
    write = ["qemu-io", "-f", "raw", "-c", "write 0 512", image]
    mounted = self._mount("lock-ro", image)
    run(read)
    same("Failed to get" in run(write, check=False), True, "that QEMU cannot write")
    other = self._mount("lock-ro2", image)
    same("which wants nobody else to write" in refusal(self.room, "--writable", image), True, "a writable one beside")
    self._unmount(other)
    self._unmount(mounted)
    mounted = self._mount("lock-rw", "--writable", image)
    same("Failed to get" in run(write, check=False), True, "that QEMU cannot write")
    same("which may write to it" in refusal(self.room, image), True, "a read-only one beside")
    serve = run([program(), "serve", "--socket-path", self.room.socket("lock.sock"), "--blk-file", image], check=False)
    same("it is in use by another process" in serve, True, "what lgdev serve says")
    self._unmount(mounted)
    daemon = self.own(
      Process(
        "qsd",
        ["qemu-storage-daemon", "--blockdev", f"driver=file,node-name=f,filename={image}",
         "--nbd-server", f"addr.type=unix,addr.path={self.room.socket('nbd')}",
         "--export", "type=nbd,id=e,node-name=f,writable=on"],
        self.room.file("fuse-qsd.log"),
      ),
      transient=True,
    )  # fmt: skip
    daemon.logs = [daemon.log]
    until(lambda: os.path.exists(self.room.socket("nbd")), 20, "qemu-storage-daemon is not there", still=daemon.alive)
    for options in ([], ["--writable"]):
      same("it is in use by another process" in refusal(self.room, *options, image), True, f"an export with {options}")
    daemon.kill()
    self.release(daemon)

  @test("bad images and mount points: one clear line each, exit code 1, nothing mounted", 240)
  def refusals(self):
    image = self.disk("fuse-good", 1)
    small = self.room.file("fuse-small.img")
    with open(small, "wb") as file:
      file.write(b"short")
    folder = self.room.socket("refused")
    os.makedirs(f"{folder}/full/entry")
    os.makedirs(f"{folder}/empty")
    open(f"{folder}/file", "wb").close()
    os.mkfifo(f"{folder}/fifo")
    socket.socket(socket.AF_UNIX).bind(f"{folder}/socket")
    empty = f"{folder}/empty"
    cases = [
      (["/nothing/here.img", empty], "there is no such file"),
      ([folder, empty], "neither a regular file nor a block device"),
      ([f"{folder}/socket", empty], "it is a socket"),
      (["/dev/null", empty], "neither a regular file nor a block device"),
      ([small, empty], "less than a block"),
      ([image, f"{folder}/missing"], "there is no such directory"),
      ([image, f"{folder}/full"], "is not empty"),
      ([image, f"{folder}/fifo"], "neither a directory nor a plain file"),
      ([image, image, f"{folder}/file"], "can become one disk, not 2"),
    ]
    for arguments, want in cases:
      out = run([program(), "export", *arguments], check=False).strip()
      same(want in out and "\n" not in out, True, f"'{want}' in one line: {out}")
    with loop_device(image, "-r") as device:
      same("the device is read-only" in refusal(self.room, "--writable", device), True, "a device that is")
      self._unmount(self._mount("device", device))
    run(["mkfs.ext2", "-q", "-F", image])
    with loop_device(image) as device:
      run(["mount", device, empty])
      try:
        same("it is mounted, or" in refusal(self.room, "--writable", device), True, "a device that is mounted")
        self._unmount(self._mount("mounted", device))
      finally:
        run(["umount", empty])
      self._unmount(self._mount("unmounted", "--writable", device))
    mounted = self._mount("busy", image)
    out = run([program(), "export", image, mounted.folder], check=False)
    same("is busy: fuse.lgdev" in out, True, f"a busy mount point: {out.strip()}")
    self._unmount(mounted)

  @test("kill -9: the mount is stale, which the next export says, with the remedy", 120)
  def killed(self):
    image = self.disk("fuse-kill", 1)
    mounted = self._mount("kill", image)
    mounted.process.signal(signal.SIGKILL)
    mounted.process.wait(10)
    try:
      os.listdir(mounted.folder)
      raise Failure("a look at a stale mount goes well")
    except OSError as error:
      # A request that was on its way is aborted.
      same(error.errno in (errno.ENOTCONN, errno.ECONNABORTED), True, f"a look at a stale mount: {error}")
    out = run([program(), "export", image, mounted.folder], check=False)
    same("is stale" in out and f"fusermount3 -u {mounted.folder}" in out, True, f"the line: {out}")
    run(["fusermount3", "-u", mounted.folder])
    same(os.listdir(mounted.folder), [], "the mount point")
    self.release(mounted)

  @test("auto_unmount: after kill -9 nothing is mounted", 120)
  def auto_unmount(self):
    image = self.disk("fuse-auto", 1)
    mounted = self._mount("auto", "-o", "auto_unmount", image)
    mounted.process.signal(signal.SIGKILL)
    mounted.process.wait(10)
    until(lambda: not os.path.ismount(mounted.folder), 20, "the mount is still there")
    self.release(mounted)
