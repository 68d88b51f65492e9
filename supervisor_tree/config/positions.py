"""Where things stand in a TOML text. `tomllib` gives values without lines and loses the order of headers.

The text is known to be valid TOML when these are called, so the scanner recognises and never judges.
"""

from __future__ import annotations

import re

from supervisor_tree.config.problems import Path

_HEADER = re.compile(
    r"^[ \t]*\[[ \t]*(workers|supervisors)[ \t]*\.[ \t]*(?:([A-Za-z0-9_-]+)|\"([^\"\\\n]*)\"|'([^'\n]*)')", re.MULTILINE
)
_SPACE = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[^\s,\]}#]+(?: [0-9][^\s,\]}#]*)?")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""(?:"(?!"))?(?:"(?!"))?'
    r"|'''(?:[^']|'(?!''))*'''(?:'(?!'))?(?:'(?!'))?"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)


def header_order(text: str, found: int) -> list[tuple[str, str]] | None:
    """(table, name) of the workers and supervisors in the order of their first headers.

    A look at the lines alone, which is enough unless strings span lines or names are written without a header:
    then, or when it does not see ``found`` of them, None, and the full `index` must be asked.
    """
    if '"""' in text or "'''" in text:
        return None
    order = dict.fromkeys((kind, bare or double or single) for kind, bare, double, single in _HEADER.findall(text))
    return list(order) if len(order) == found else None


def index(text: str) -> dict[Path, int]:
    """The line (from 1) of every header, key and array element, in the order of the text."""
    return _Scanner(text.removeprefix("\ufeff")).run()


class _Scanner:
    """One pass over a valid TOML text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.counted = 0
        self.lines: dict[Path, int] = {}
        self.elements: dict[Path, int] = {}

    def run(self) -> dict[Path, int]:
        table: Path = ()
        while self.skip():
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
        return self.lines

    def skip(self) -> bool:
        """Pass over blanks and comments; whether any text is left."""
        found = _SPACE.match(self.text, self.at)
        if found:
            self.at = found.end()
        return self.at < len(self.text)

    def note(self, path: Path) -> None:
        """Remember the present line for the path and for those above it that have none yet."""
        self.line += self.text.count("\n", self.counted, self.at)
        self.counted = self.at
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], self.line)

    def header(self) -> Path:
        array = self.text.startswith("[[", self.at)
        start = self.at
        self.at += 2 if array else 1
        keys = self.keys()
        end = self.at
        path: Path = ()
        for key in keys[:-1]:
            path = (*path, key)
            if path in self.elements:
                path = (*path, self.elements[path])
        path = (*path, keys[-1])
        if array:
            number = self.elements.get(path, -1) + 1
            self.elements[path] = number
            path = (*path, number)
        self.at = start
        self.note(path)
        # A table may be opened under its sub-table's header first; its own header is its line.
        self.lines[path] = self.line
        self.at = end + (2 if array else 1)
        return path

    def keys(self) -> list[str]:
        """A key, dots and all, and what stands before the sign that follows it."""
        keys = []
        while True:
            self.skip()
            if bare := _BARE.match(self.text, self.at):
                keys.append(bare[0])
                self.at = bare.end()
            else:
                keys.append(self.string())
            self.skip()
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def string(self) -> str:
        found = _STRING.match(self.text, self.at)
        if found is None:
            raise ValueError(f"no key at offset {self.at}")
        self.at = found.end()
        written = found[0]
        if written[0] == "'" or "\\" not in written:
            return written[1:-1]
        import tomllib

        value: str = tomllib.loads(f"k = {written}")["k"]
        return value

    def pair(self, table: Path) -> None:
        self.skip()
        start = self.at
        keys = self.keys()
        end = self.at
        path = (*table, *keys)
        self.at = start
        self.note(path)
        self.at = end + 1
        self.value(path)

    def value(self, path: Path) -> None:
        self.skip()
        sign = self.text[self.at]
        if sign == "[":
            self.at += 1
            number = 0
            while self.skip() and self.text[self.at] != "]":
                element = (*path, number)
                self.note(element)
                self.value(element)
                number += 1
                self.comma()
            self.at += 1
        elif sign == "{":
            self.at += 1
            while self.skip() and self.text[self.at] != "}":
                self.pair(path)
                self.comma()
            self.at += 1
        else:
            found = (_STRING if sign in "\"'" else _PLAIN).match(self.text, self.at)
            if found is None:
                raise ValueError(f"no value at offset {self.at}")
            self.at = found.end()

    def comma(self) -> None:
        self.skip()
        if self.text[self.at] == ",":
            self.at += 1
