"""What is wrong with a configuration, said so that it can be mended."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

Key = str | int
Path = tuple[Key, ...]


class Problem(Struct, frozen=True, order=True):
    """One thing to mend or to know; ``line`` counts from 1."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        return f"{self.file}:{self.line}: {key}{self.message}"


class ConfigError(Exception):
    """The configuration can't be used. ``errors`` holds every problem of all files, in order of file and line."""

    def __init__(self, errors: list[Problem]) -> None:
        super().__init__(errors)
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))


class UnknownName(ConfigError):
    """A name that was asked for is in no table of the configuration."""


class Held(Exception):
    """The child can't be started now; the text says why and is shown by ``ctl why``."""


def dotted(path: Path) -> str:
    """The path as it is printed: ``workers.web.health[1].every``; what is no bare key is quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = part.replace("-", "_").replace("@", "_")
            shown = part if (plain.isascii() and plain.isidentifier()) or plain.isalnum() else quoted(part)
            text += f".{shown}" if text else shown
    return text


def quoted(text: str) -> str:
    """The text in double quotes, on one line, shortened when it is long."""
    shown = text if len(text) <= 60 else text[:57] + "…"
    return '"' + shown.translate(_ESCAPES) + '"'


_ESCAPES = {i: f"\\u{i:04x}" for i in (*range(32), *range(127, 160))}
_ESCAPES |= {ord("\n"): "\\n", ord("\t"): "\\t", ord('"'): '\\"', ord("\\"): "\\\\"}


def nearest(word: str, known: list[str]) -> str | None:
    """The known word most like this one, if any is like it."""
    return _nearest(word, tuple(known))


@lru_cache(maxsize=1024)
def _nearest(word: str, known: tuple[str, ...]) -> str | None:
    # Remembered, for one mistake is often made a thousand times over, and difflib is slow.
    from difflib import get_close_matches

    swapped = word.replace("_", "-") if word.replace("_", "-") in known else word.replace("-", "_")
    if swapped in known:
        return swapped
    if len(known) > _MANY:
        known = tuple(one for one in known if one[:1] == word[:1] and abs(len(one) - len(word)) < 3)[:_MANY]
    found = get_close_matches(word[:_MANY], known, n=1, cutoff=0.6)
    return found[0] if found else None


_MANY = 200
"""Words, or letters of one, that are looked through for a likeness; of more only those that begin alike."""


def did_you_mean(word: str, known: list[str], otherwise: str = "") -> str:
    """`` (did you mean "x"?)``, or ``otherwise`` when nothing is near."""
    near = nearest(word, known)
    return f' (did you mean "{near}"?)' if near else otherwise
