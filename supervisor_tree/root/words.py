"""Durations, sizes and shares as people read them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """`350 ms`, `4.2 s`, `3m 20s`, `2h 05m`, `3d 4h`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole // 60 % 60:02}m"
    return f"{whole // 86400}d {whole // 3600 % 24}h"


def size(count: float) -> str:
    """`512 bytes`, `85 kB`, `1.62 GB`: in powers of 1000, as sizes in the tree file are."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.3g} {unit}"
    return f"{count / 1000:.4g} TB"


def cores(number: float) -> str:
    """`1 core`, `1.5 cores`."""
    return f"{number:.3g} core{'' if number == 1 else 's'}"
