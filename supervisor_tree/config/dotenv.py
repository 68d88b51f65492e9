"""Environment files: ``KEY=VALUE`` lines, ``export``, quotes and comments; no expansion."""

from __future__ import annotations

import re

_LINE = re.compile(
    r"""
    [^\S\n]* (?:export[^\S\n]+)?
    (?P<key>[A-Za-z_][A-Za-z0-9_.]*) [^\S\n]* = [^\S\n]*
    (?: '(?P<single>[^']*)' [^\S\n]* (?:\#[^\n]*)?
      | "(?P<double>(?:[^"\\]|\\.)*)" [^\S\n]* (?:\#[^\n]*)?
      | (?P<plain>(?!['"])[^\n]*?) (?:[^\S\n]+\#[^\n]*)? [^\S\n]*
    ) (?:\n|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"[^\S\n]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$", "`": "`", "\n": ""}


def parse(text: str) -> tuple[dict[str, str], list[int]]:
    """The variables of an environment file, later lines winning, and the numbers of lines that are none.

    Single quotes keep everything, double quotes know ``\\n \\t \\r \\" \\\\ \\$``, both may span lines; an unquoted
    value ends at `` #`` or the end of its line. Nothing is expanded, so that a password may hold a ``$``.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    values: dict[str, str] = {}
    strange: list[int] = []
    at = 0
    while at < len(text):
        if blank := _BLANK.match(text, at):
            at = blank.end()
        elif line := _LINE.match(text, at):
            at = line.end()
            values[line["key"]] = _value(line)
        else:
            strange.append(text.count("\n", 0, at) + 1)
            end = text.find("\n", at)
            at = len(text) if end < 0 else end + 1
    return values, strange


def _value(line: re.Match[str]) -> str:
    if line["single"] is not None:
        return line["single"]
    if line["double"] is not None:
        return _ESCAPE.sub(lambda found: _LETTERS.get(found[1], found[0]), line["double"])
    plain: str = line["plain"]
    # `KEY= # comment` is an empty value: the blanks before the comment went to the `=`.
    return "" if plain.startswith("#") else plain
