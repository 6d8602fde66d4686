#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the documentation with the tree: what a page links to or names must be there.

- The target of each link to a file, and of each link to a headline.
- Each file or folder of this tree that is named in code type, such as `Sources/Linux/Poll.swift`, `Block/` or
  `GuestIO.swift`: from the root, from the page's own folder, from `Sources`, or anywhere under that ending.
- Each `make TARGET`.
"""

import pathlib
import re
import sys

from findings import ROOT, files, report

# Endings that a file of this tree would have. Others are files of the reader's: `disk.img`, `fleet.yaml`.
OURS = re.compile(r"^[\w+./*-]+\.(?:swift|py|sh|c|h|S|md|lds|modulemap)$")
FOLDER = re.compile(r"^[A-Za-z][\w+-]*(?:/[\w+.-]+)*/?$")


def tree():
  """All files that git knows or would add, and their folders, as paths from the root."""
  paths = files()
  return paths, {str(parent) for path in paths for parent in pathlib.PurePath(path).parents} - {"."}


def without_blocks(text):
  """The text without indented and fenced blocks, lines kept in place: those show what a reader types or sees."""
  text = re.sub(r"^```.*?^```", lambda block: re.sub(r"[^\n]", "", block[0]), text, flags=re.M | re.S)
  return re.sub(r"^(?: {4}|\t)(?! *[-*] ).*$", "", text, flags=re.M)


def anchors(page):
  """The names that a page's headlines have as targets of links."""
  heads = re.findall(r"^#+ +(.*)$", without_blocks(page.read_text()), re.M)
  return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


class Page:
  def __init__(self, path, files, folders, targets):
    self.path, self.files, self.folders, self.targets = path, files, folders, targets
    self.folder = pathlib.PurePath(path).parent

  def findings(self):
    for number, line in enumerate(without_blocks((ROOT / self.path).read_text()).splitlines(), 1):
      for target in re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`]*`", "", line)):
        if not self.link_holds(target):
          yield number, f"there is no {target} to link to"
      for span in re.findall(r"`([^`]+)`", line):
        for word in self.names(span):
          if not self.is_there(word):
            yield number, f"there is no {word}"
        for target in re.findall(r"^make ([a-z][\w-]*)", span):
          if target not in self.targets:
            yield number, f"there is no 'make {target}'"

  def link_holds(self, target):
    if re.match(r"[a-z]+:", target):
      return True
    name, _, anchor = target.partition("#")
    page = (ROOT / self.folder / name).resolve() if name else ROOT / self.path
    return page.exists() and (not anchor or page.suffix != ".md" or anchor in anchors(page))

  def names(self, span):
    """The words of a span that name something of this tree."""
    for word in span.split():
      word = word.rstrip(",.;:")
      if OURS.match(word):
        yield word
      elif "/" in word and FOLDER.match(word) and word.split("/")[0] in self.tops():
        yield word.rstrip("/")

  def tops(self):
    return {path.split("/")[0] for path in self.folders}

  def is_there(self, word):
    pattern = re.compile(r"(?:^|.*/)" + re.escape(word).replace(r"\*", r"[^/]*") + "$")
    return any(pattern.match(path) for path in self.files) or any(pattern.match(path) for path in self.folders)


def findings():
  paths, folders = tree()
  targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))
  for path in (path for path in paths if path.endswith(".md")):
    local = ROOT / pathlib.PurePath(path).parent / "Makefile"
    more = set(re.findall(r"^([a-z][\w-]*):", local.read_text(), re.M)) if local.exists() else set()
    for number, finding in Page(path, paths, folders, targets | more).findings():
      yield f"{path}:{number}: {finding}"


if __name__ == "__main__":
  sys.exit(report("check-docs", findings()))
