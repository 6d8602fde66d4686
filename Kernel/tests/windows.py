# SPDX-License-Identifier: GPL-2.0-only
"""Something terrible at instructions of the Switcher, one after the other.

QEMU's debugger stub stops the machine at the instruction, and goes on after that was done to it. The
script meanwhile runs guests, ends when it is told to, and tells what has come of it.

  Windows     an NMI or machine check is sent, which the machine takes before anything else: as many
              come as were sent
  Selectors   a selector that is about to be loaded is made one that faults, as no guest can do it:
              the guest dies of it, and nobody else. What is mapped at that moment is looked at, too
"""

import re
import socket
import subprocess

from failure import Failure

# A guest does all that it does, and the host what it does meanwhile, in far fewer stays than this. So
# an instruction that is not reached by then is one that this CPU or these guests do not need.
_STAYS = 400
# Seconds after which a machine that does not answer hangs.
_PATIENCE = 120


class _Visit:
  """Give it to a machine as `meanwhile`, after `attach`; then ask `finish`."""

  def __init__(self):
    self._visited = 0
    self._missed = []
    self._done = False

  def attach(self, machine, module):
    self._path = machine.log + ".gdb"
    self._module = module
    machine.command += ["-gdb", f"unix:{self._path},server=on,wait=off"]

  def __call__(self, machine):
    begins = re.search(r"^@@switcher 0x([0-9a-f]+)$", machine.output(), re.MULTILINE)
    if self._done or not begins:
      return
    self._done = True
    try:
      self._visit_all(machine, int(begins[1], 16))
    except OSError as error:
      raise Failure(f"QEMU's debugger stub: {error}") from error

  def _visit_all(self, machine, start):
    stub = _Stub(self._path)
    way_in, places = self._places()
    for offset in places:
      # At the next way in, the host has taken care of the one before.
      stub.run_to(start + way_in)
      if offset == way_in or stub.run_on_to(start + offset, start + way_in):
        self._act(machine, stub)
        self._visited += 1
      else:
        self._missed.append(hex(offset))
    stub.leave()
    machine.say("over")

  def _judge(self, verdict, title, least):
    came = verdict.figures.pop("came", "0")
    if self._visited < least:
      verdict.failed.append(f"{title}: {least} were to be, not reached: {self._missed}")
    elif int(came) != self._visited:
      verdict.failed.append(f"{title}: {came} came")
    else:
      verdict.passed.append(title)


class Windows(_Visit):
  """Visits at least so many instructions; `send` sends something to the machine."""

  def __init__(self, send, least):
    super().__init__()
    self._send = send
    self._least = least

  def _places(self):
    places = _instructions(_disassembly(self._module))
    return places[0], places

  def _act(self, machine, _):
    self._send(machine)

  def finish(self, verdict):
    title = f"{self._visited} instructions of the Switcher, and something at each of them"
    self._judge(verdict, title, self._least)


class Selectors(_Visit):
  """Visits where the way in loads DS, ES, FS and GS from EAX."""

  # Past the end of any descriptor table.
  _BAD = 0xFFF8
  # State page, IDT and the Switcher's text: this many pages above 4 GiB, and one of them writable.
  _HIGH_PAGES = 8

  def __init__(self):
    super().__init__()
    self._maps = []

  def _places(self):
    text = _disassembly(self._module)
    loads = [
      int(re.search(rf"^\s*([0-9a-f]+):\s+mov\s+%eax,%{name}$", text, re.MULTILINE)[1], 16)
      for name in ("ds", "es", "fs", "gs")
    ]
    return _instructions(text)[0], loads

  def _act(self, machine, stub):
    # The guest's page tables are loaded by then.
    self._maps.append(machine.qmp("human-monitor-command", **{"command-line": "info mem"}))
    stub.set_rax(self._BAD)

  def _judge_maps(self, verdict):
    title = "above 4 GiB a guest's tables have the Switcher's few pages, one of them writable"
    for text in self._maps:
      high = [
        (int(size, 16) >> 12, kind)
        for start, size, kind in re.findall(r"^(\w+)-\w+ (\w+) (\S+)", text, re.MULTILINE)
        if int(start, 16) >> 32
      ]
      pages = sum(count for count, _ in high)
      writable = sum(count for count, kind in high if "w" in kind)
      if not 3 <= pages <= self._HIGH_PAGES or writable != 1 or any("u" in kind for _, kind in high):
        verdict.failed.append(f"{title}: {high}")
        return
    if self._maps:
      verdict.passed.append(title)
    else:
      verdict.failed.append(f"{title}: never looked at")

  def finish(self, verdict):
    self._judge_maps(verdict)
    self._judge(verdict, "a fault at each segment that the way in loads kills the guest", 4)


def _disassembly(module):
  return subprocess.run(
    ["objdump", "-d", "--no-show-raw-insn", "-j", ".text.switcher", module],
    capture_output=True, text=True, check=True,
  ).stdout


def _instructions(text):
  """Offsets in the Switcher of the way in, the way out, the reflection, and of two stubs."""
  symbols = {name: int(at, 16) for at, name in re.findall(r"^([0-9a-f]+) <(\w+)>:$", text, re.M)}
  found = [
    int(at, 16)
    for at, what in re.findall(r"^\s*([0-9a-f]+):\s+(\S+)", text, re.MULTILINE)
    if what not in ("int3", "nop", "nopl", "nopw", "endbr64")
  ]
  page_fault = symbols["lg_stubs"] + 14 * 16
  hypercall = symbols["lg_stubs"] + 0x1F * 16
  return [
    at for at in found
    if symbols["lg_switch"] <= at < symbols["lg_trap_in_switcher"]
    or page_fault <= at < page_fault + 16 or hypercall <= at < hypercall + 16
  ]


class _Stub:
  """As much of the debugger's protocol as it takes to stop at an address."""

  def __init__(self, path):
    self._socket = socket.socket(socket.AF_UNIX)
    self._socket.connect(path)
    self._socket.settimeout(_PATIENCE)
    self._buffer = b""
    # The machine stops for whoever comes, and may say so unasked: before it answers this.
    self._say("qSupported")
    while not self._receive().startswith("PacketSize"):
      pass

  def run_to(self, address):
    """Goes on until the instruction at the address is next."""
    self._ask(f"Z1,{address:x},1")
    self._ask("c")
    self._ask(f"z1,{address:x},1")

  def run_on_to(self, address, way_in):
    """The same, from the way in; False if that is passed so often that it will never be."""
    for place in (address, way_in):
      self._ask(f"Z1,{place:x},1")
    for _ in range(_STAYS):
      # Over the instruction where it stands, at which it would stop again.
      self._ask("s")
      if self._next() != address:
        self._ask("c")
      reached = self._next() == address
      if reached:
        break
    for place in (address, way_in):
      self._ask(f"z1,{place:x},1")
    return reached

  def _next(self):
    # All registers, of 8 bytes each: the instruction pointer is the seventeenth.
    return int.from_bytes(bytes.fromhex(self._ask("g")[256:272]), "little")

  def set_rax(self, value):
    # One register by itself can be set by those who have asked what registers there are.
    self._ask("qXfer:features:read:target.xml:0,100")
    answer = self._ask(f"P0={value.to_bytes(8, 'little').hex()}")
    if answer != "OK":
      raise Failure(f"QEMU's debugger stub does not set a register: {answer}")

  def leave(self):
    self._ask("D")
    self._socket.close()

  def _say(self, text):
    data = text.encode()
    self._socket.sendall(b"$%s#%02x" % (data, sum(data) & 255))

  def _ask(self, text):
    self._say(text)
    return self._receive()

  def _receive(self):
    while True:
      packet = re.search(rb"\$([^#]*)#..", self._buffer)
      if packet:
        self._buffer = self._buffer[packet.end():]
        self._socket.sendall(b"+")
        return packet[1].decode()
      more = self._socket.recv(4096)
      if not more:
        raise Failure("QEMU's debugger stub has gone")
      self._buffer += more
