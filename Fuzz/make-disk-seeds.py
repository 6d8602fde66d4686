#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzzer of disk layouts: Fuzz/corpus/disk-layout.

A seed is an image in pieces, as DiskHarness/DiskInput.swift takes it apart. Beside the folder stands a file
of what each seed must lead to: the table, the partitions' numbers, and the kinds of file systems, that of the
whole disk first. The replay test compares.
"""

import pathlib
import struct
import uuid

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
MIB = 1 << 20
LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le


class Seed:
  """An image in pieces, with the choices beside it."""

  def __init__(self, size=MIB, known=0, repairs=False):
    self.size, self.choices, self.pieces = size, known | (4 if repairs else 0), []

  def put(self, offset, data):
    self.pieces.append((offset, data))
    return self

  @property
  def data(self):
    pieces = b"".join(struct.pack("<QH", offset, len(data)) + data for offset, data in self.pieces)
    return struct.pack("<BQ", self.choices, self.size) + pieces

  def mbr(self, *entries, sector=0, size=512):
    """Entries are (type, start, count) or (type, start, count, flag)."""
    table = b"".join(
      struct.pack("<B3xB3xII", entry[3] if len(entry) > 3 else 0, *entry[:3]) for entry in entries)
    return self.put(sector * size + 446, table.ljust(64, b"\0") + b"\x55\xaa")

  def gpt(self, *entries, sector=512, first=True, last=True, **words):
    """Entries are (first, last). Words replace those of the headers."""
    self.mbr((0xEE, 1, 0xFFFFFFFF))
    end = self.size // sector - 1
    table = b"".join(
      struct.pack("<16s16sQQQ72s", LINUX, bytes([index + 1] * 16), *entry, 0, "name".encode("utf-16-le"))
      for index, entry in enumerate(entries))
    for present, here, there, entries_at in [(first, 1, end, 2), (last, end, 1, end - 4)]:
      if not present:
        continue
      header = {
        "signature": b"EFI PART", "header": 92, "here": here, "there": there, "from": 6, "to": end - 5,
        "table": entries_at, "count": 4, "size": 128} | words
      self.put(here * sector, struct.pack(
        "<8sIIIIQQQQ16sQII", header["signature"], 0x10000, header["header"], 0, 0, header["here"],
        header["there"], header["from"], header["to"], b"0123456789abcdef", header["table"],
        header["count"], header["size"]))
      self.put(entries_at * sector, table)
    return self


def ext(at, compatible=0, incompatible=0, read_only=0):
  return (at + 1024 + 0x38, struct.pack(
    "<H2xH", 0xEF53, 0) + bytes(0x1E) + struct.pack("<III", compatible, incompatible, read_only)
    + b"U" * 16 + b"ext label")


def fat(at, sectors, table, root_entries=0, wide=False):
  sector = b"\xeb\x3c\x90mkfs.fat" + struct.pack(
    "<HBHBHHBHHHII", 512, 1, 1, 1, root_entries, 0 if wide else sectors, 0xF8, 0 if wide else table, 0, 0,
    0, sectors if wide else 0)
  if wide:
    sector += struct.pack("<IHHIHH12x", table, 0, 0, 2, 0, 0)
  return at, sector + b"\x80\0\x29\1\2\3\4NO NAME    FAT     "


def repeated(builder, items):
  for item in items:
    builder.put(*item)
  return builder


def seeds():
  two = [(64, 999), (1000, 1999)]
  yield "gpt", "gpt 1,2 -", Seed(repairs=True).gpt(*two)
  yield "gpt-4096", "gpt 1,2 -", Seed(4 * MIB, repairs=True).gpt(*two[:1], (1000, 1010), sector=4096)
  yield "gpt-backup-only", "gpt 1,2 -", Seed(repairs=True).gpt(*two, first=False)
  yield "gpt-without-backup", "gpt 1,2 -", Seed(repairs=True).gpt(*two, last=False)
  yield "gpt-bad-checksums", "none - -", Seed().gpt(*two)
  yield "gpt-wild-extents", "gpt 1,3 -", Seed(repairs=True).gpt(
    (0, 2**64 - 1), (2**64 - 1, 0), (2047, 2**63), (5000, 6000))
  yield "gpt-many-entries", "none - -", Seed(repairs=True).gpt(*two, count=0xFFFFFFFF)
  yield "gpt-large-entries", "gpt 1 -", Seed(repairs=True).gpt(*two, size=1024, count=2)
  yield "gpt-odd-entries", "none - -", Seed(repairs=True).gpt(*two, size=136)
  yield "gpt-table-outside", "none - -", Seed(repairs=True).gpt(*two, table=2**64 - 1)
  yield "gpt-header-size", "none - -", Seed(repairs=True).gpt(*two, header=4096)
  yield "gpt-on-huge-image", "gpt 1,2 -", Seed(2**64 - 1, repairs=True).gpt(*two)
  yield "gpt-without-mbr", "gpt 1,2 -", Seed(repairs=True).gpt(*two).put(510, b"\0\0")
  yield "gpt-hybrid", "gpt 1,2 -", Seed(repairs=True).gpt(*two).mbr((0xEE, 1, 63), (0x83, 64, 936))
  yield "mbr", "mbr 1,2 -", Seed().mbr((0x83, 64, 100, 0x80), (0x82, 164, 100))
  yield "mbr-4096", "mbr 1 -", Seed(known=2).mbr((0x83, 64, 100))
  yield "mbr-bad-flags", "none - -", Seed().mbr((0x83, 64, 100, 0x55))
  yield "mbr-wild-extents", "mbr 1 -", Seed().mbr(
    (0x83, 1, 2**32 - 1), (0x83, 2**32 - 1, 2**32 - 1), (5, 2**32 - 1, 2**32 - 1))
  yield "mbr-logicals", "mbr 1,5,6 -", Seed().mbr((5, 100, 1000)).mbr(
    (0x83, 1, 99), (5, 200, 200), sector=100).mbr((0x83, 1, 99), sector=300)
  yield "mbr-loop", "mbr 1,5,6 -", Seed().mbr((5, 100, 1000)).mbr(
    (0x83, 1, 99), (5, 200, 200), sector=100).mbr((0x83, 1, 99), (5, 0, 200), sector=300)
  yield "mbr-broken-chain", "mbr 1,5 -", Seed().mbr((15, 100, 1000)).mbr(
    (0x83, 1, 99), (5, 0xFFFFFF00, 200), sector=100)
  yield "mbr-two-chains", "mbr 1,2,5,6 -", Seed().mbr((5, 100, 100), (0x85, 300, 100)).mbr(
    (0x83, 1, 99), sector=100).mbr((0x83, 1, 99), sector=300)
  yield "too-small", "none - -", Seed(511).mbr((0x83, 0, 1))
  yield "empty", "none - -", Seed(0)

  systems = {
    "ext2": [ext(0)], "ext3": [ext(0, compatible=4)], "ext4": [ext(0, 4, 0x2C2 & ~8, 0x46B)],
    "jbd": [ext(0, incompatible=8)],
    "xfs": [(0, b"XFSB" + struct.pack(">I", 4096) + bytes(24) + b"U" * 16 + bytes(40) + struct.pack(
      ">I10xH4x12s", 4, 512, b"xfs label"))],
    "btrfs": [(65536 + 32, b"U" * 16 + bytes(16) + b"_BHRfS_M"), (65536 + 0x12B, b"btrfs label")],
    "swap": [(4086, b"SWAPSPACE2"), (1024, struct.pack("<III", 1, 99, 0) + b"U" * 16 + b"swap label")],
    "swsuspend": [(65526, b"LINHIB0001"), (1024, struct.pack(">III", 1, 99, 0))],
    "squashfs": [(0, b"hsqs" + bytes(24) + b"\4\0\0\0")],
    "f2fs": [(1024, struct.pack("<IHH", 0xF2F52010, 1, 16)), (1024 + 0x7C, "label".encode("utf-16-le"))],
    "erofs": [(1024, struct.pack("<I", 0xE0F5E1E2)), (1024 + 64, b"erofs")],
    "crypto_LUKS": [(0, b"LUKS\xba\xbe\0\2"), (24, b"label"), (168, b"01234567-89ab")],
    "LVM2_member": [(512, b"LABELONE" + bytes(12) + struct.pack("<I", 32) + b"LVM2 001" + b"L" * 32)],
    "iso9660": [(32768, b"\1CD001"), (32768 + 40, b"ISO LABEL"), (32768 + 830, b"2026010203040506"),
                (34816, b"\2CD001"), (34816 + 40, "Joliet".encode("utf-16-be")), (34816 + 88, b"%/E")],
    "ntfs": [(3, b"NTFS    " + struct.pack("<HB", 512, 2)), (0x30, struct.pack("<Q", 4)), (0x40, b"\xf6"),
             (0x48, b"12345678"), (4096 + 3072, b"FILE"), (4096 + 3072 + 0x14, b"\x38\0"),
             (4096 + 3072 + 0x38, struct.pack("<IIQIH2x", 0x10, 32, 0, 0, 0)), (
               4096 + 3072 + 0x58, struct.pack("<IIQIH2x", 0x60, 40, 0, 8, 24) + "NTFS".encode("utf-16-le"))],
    "exfat": [(3, b"EXFAT   "), (88, struct.pack("<III", 10, 100, 4)), (100, b"\1\2\3\4\0\1\0\0\x09\1"),
              (14 * 512, b"\x83\5" + "exfat".encode("utf-16-le"))],
    "vfat": [fat(0, 1000, 2, 32), (1536, b"ROOT LABEL \x08")],
  }
  for kind, pieces in systems.items():
    yield "fs-" + kind.lower(), f"none - {kind}", repeated(Seed(), pieces)
  yield "fs-fat32", "none - vfat", repeated(
    Seed(), [fat(0, 100000, 800, wide=True), (512 + 8, struct.pack("<I", 3)), (
      512 * 801, b"".join(b"\xe5".ljust(32, b"a") for _ in range(16))), (512 * 802, b"FAT32 LABEL\x08")])
  yield "fs-fat32-loop", "none - vfat", repeated(
    Seed(), [fat(0, 100000, 800, wide=True), (512 + 8, struct.pack("<I", 2)), (
      512 * 801, b"".join(b"\xe5".ljust(32, b"a") for _ in range(16)))])
  yield "fs-hostile-label", "none - ext2", repeated(Seed(), [
    ext(0), (1024 + 0x78, b"../\x1b[\xff\xfe\n\x7f\xe2\x80\xae")])
  yield "fs-left-over", "mbr 1 -", repeated(Seed().mbr((0x83, 64, 100)), [ext(0)])
  yield "fs-hybrid-iso", "mbr 1 iso9660,ext2", repeated(
    Seed().mbr((0x83, 100, 100)), systems["iso9660"][:1] + [ext(51200)])


def main():
  folder = CORPUS / "disk-layout"
  folder.mkdir(parents=True, exist_ok=True)
  for old in folder.iterdir():
    old.unlink()
  lines = []
  for name, expected, seed in seeds():
    (folder / name).write_bytes(seed.data)
    lines.append(f"{name} {expected}\n")
  (CORPUS / "disk-layout.expected").write_text("".join(sorted(lines)))
  print(f"{len(lines)} seeds in {folder.relative_to(CORPUS.parent.parent)}")


if __name__ == "__main__":
  main()
