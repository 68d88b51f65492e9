"""Damage in the journal: found wherever it is, told of once, kept aside with its place.

`journal/quarantine.jsonl` has one line for each damaged place. The segments stay as they are: readers pass over what is
damaged, and whoever wants to look into it finds it there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from supervisor_tree.store.lines import ENTRY, Found
from supervisor_tree.store.segments import scan, segment_files

_KEPT = 64 * 1024
"""Characters of a damaged place that are kept aside."""
_PLACES = 100
"""Places of one segment that are told of one by one; what follows them is told of together."""


class Damage(msgspec.Struct):
    """A damaged place of a segment, or several."""

    segment: str
    """File name."""
    offset: int
    """Of the first byte."""
    length: int
    """Bytes that are damaged."""
    places: int
    after: int
    """Number of the last line before it."""
    before: int | None
    """Number of the next line behind it; None: there is none."""
    text: str = ""
    """What stands there."""

    @property
    def lost(self) -> int:
        """Lines whose numbers are missing."""
        return 0 if self.before is None else max(0, self.before - self.after - 1)


def check(folder: Path, pause: Callable[[], object] = lambda: None) -> Iterator[Damage]:
    """All damage in the journal, oldest first. ``pause`` is called now and then.

    Raises:
        OSError: the disk does not answer as it should.
    """
    paths = segment_files(folder)
    for number, path in enumerate(paths):
        following = int(paths[number + 1].stem) if number + 1 < len(paths) else None
        try:
            file = path.open("rb")
        except FileNotFoundError:  # retention
            continue
        with file:
            found = scan(file, finished=following is not None)
            yield from _damage(path.name, int(path.stem) - 1, following, found, pause)


def _damage(
    segment: str, last: int, following: int | None, found: Iterator[Found], pause: Callable[[], object]
) -> Iterator[Damage]:
    open_: Damage | None = None
    told = 0
    for number, one in enumerate(found):
        if number % 500 == 499:
            pause()
        seq = None if one.line is None else _seq(one.line)
        if seq is None:
            if open_ is None:
                open_ = Damage(segment, one.offset, one.length, 1, last, None)
            elif open_.before is None:
                open_.length += one.length
            else:  # more of those that are told of together
                open_.length += one.length
                open_.places += 1
                open_.before = None
            continue
        last = seq
        if open_ is not None and open_.before is None:
            open_.before = seq
            if told < _PLACES:
                told += 1
                yield open_
                open_ = None
    if open_ is not None:
        if open_.before is None:
            open_.before = following
        yield open_


def _seq(line: bytes) -> int | None:
    try:
        return ENTRY.decode(line).seq
    except msgspec.DecodeError:  # a checksum by chance
        return None


def known(folder: Path) -> dict[tuple[str, int], Damage]:
    """What was told of before, by segment and place; of segments that are still there."""
    there = {path.name for path in segment_files(folder)}
    found: dict[tuple[str, int], Damage] = {}
    try:
        with open(folder / "quarantine.jsonl", "rb") as file:
            for line in file:
                try:
                    damage = msgspec.json.decode(line, type=Damage)
                except msgspec.DecodeError:
                    continue
                if damage.segment in there:
                    found[damage.segment, damage.offset] = damage
    except FileNotFoundError:
        pass
    return found


def keep_aside(folder: Path, damage: Damage) -> None:
    """Write what stands at a damaged place, and where that is, to `quarantine.jsonl`.

    Raises:
        OSError: the disk is full.
    """
    if not damage.text:
        with open(folder / damage.segment, "rb") as file:
            file.seek(damage.offset)
            damage.text = file.read(min(damage.length, _KEPT)).decode(errors="backslashreplace")
    damage.text = damage.text[:_KEPT]
    with open(folder / "quarantine.jsonl", "ab") as aside:
        os.fchmod(aside.fileno(), 0o600)
        aside.write(msgspec.json.encode(damage) + b"\n")
