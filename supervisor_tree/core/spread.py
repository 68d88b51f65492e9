"""A number out of a text: what is spread over the children of a tree needs no dice, and is the same in a replay."""

from __future__ import annotations

from zlib import crc32


def share(text: str) -> float:
    """From 0 to just below 1, the same for the same text.

    Names of one set differ in a letter, and so do their checksums, always in the same bits: multiplied (by 2³² times
    the golden section), they are spread.
    """
    return crc32(text.encode()) * 2654435769 % 2**32 / 2**32
