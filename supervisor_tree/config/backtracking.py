"""Regular expressions that may take for ever on a line that they do not match: `(a+)+b`, `(.*a)*b`.

Looked for is a repetition within a repetition, with something behind it that may fail, where the way from the inner one
round the outer one back to the inner one can be gone with characters that the inner one takes itself: then each
character more doubles the ways to share out a text among the rounds. Every such pattern is that slow; not every slow
pattern is found. It is read off the parse tree that Python's `re` makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Item = tuple[Any, Any]
"""What one operator of the parse tree is, and what it holds."""

_ALL = frozenset(range(256))
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT")
_SETS = ("LITERAL", "NOT_LITERAL", "ANY", "IN")
_CATEGORIES = {
    "DIGIT": frozenset(code for code in _ALL if chr(code).isdigit()),
    "SPACE": frozenset(code for code in _ALL if chr(code).isspace()),
    "WORD": frozenset(code for code in _ALL if chr(code).isalnum() or chr(code) == "_"),
}


def may_take_for_ever(pattern: str) -> bool:
    """Whether it is such a pattern; False also where `re` does not show how it reads it."""
    parser = getattr(re, "_parser", None)
    try:
        return parser is not None and _search(list(parser.parse(pattern)), fails=False)
    except RecursionError:
        return False


def _search(items: list[Item], *, fails: bool) -> bool:
    """``fails``: what comes behind these may fail."""
    for at, (op, held) in enumerate(items):
        then = fails or any(_may_fail(item) for item in items[at + 1 :])
        if str(op) in _REPEATS and held[1] > 0xFFFF and then:
            for own, way in _inner(list(held[2]), [], []):
                if all(_fits(item, own) for item in way):
                    return True
        if any(_search(body, fails=then) for body in _bodies(op, held)):
            return True
    return False


def _bodies(op: Any, held: Any) -> list[list[Item]]:
    """What may be matched in one item; several where one of them is enough."""
    if str(op) in _REPEATS:
        return [list(held[2])]
    if str(op) == "SUBPATTERN":
        return [list(held[3])]
    return [list(branch) for branch in held[1]] if str(op) == "BRANCH" else []


def _inner(items: list[Item], before: list[Item], behind: list[Item]) -> Iterator[tuple[frozenset[int], list[Item]]]:
    """Each repetition in the body of another one: the characters that it takes, and the way round back to it."""
    for at, (op, held) in enumerate(items):
        front, rest = [*before, *items[:at]], [*items[at + 1 :], *behind]
        if str(op) in _REPEATS and held[1] > 0xFFFF:
            yield _own(list(held[2])), [*rest, *front]
        for body in _bodies(op, held):
            yield from _inner(body, front, rest)


def _own(body: list[Item]) -> frozenset[int]:
    """The characters of a repetition of one; none: it is of more."""
    while len(body) == 1 and str(body[0][0]) == "SUBPATTERN":
        body = list(body[0][1][3])
    return _set(*body[0]) if len(body) == 1 and str(body[0][0]) in _SETS else frozenset()


def _fits(item: Item, own: frozenset[int]) -> bool:
    """Whether it can match nothing, or some text of these characters only."""
    op, held = item
    if str(op) in _SETS:
        return bool(_set(op, held) & own)
    if str(op) in _REPEATS and held[0] == 0:
        return True
    return any(all(_fits(each, own) for each in body) for body in _bodies(op, held))


def _may_fail(item: Item) -> bool:
    op, held = item
    if str(op) in _REPEATS and held[0] == 0:
        return False
    bodies = _bodies(op, held)
    return not bodies or all(any(_may_fail(each) for each in body) for body in bodies)


def _set(op: Any, held: Any) -> frozenset[int]:
    """The characters that one item matches, of the first 256."""
    match str(op):
        case "LITERAL":
            return frozenset((held,))
        case "NOT_LITERAL":
            return _ALL - {held}
        case "RANGE":
            return frozenset(range(held[0], min(held[1], 255) + 1))
        case "CATEGORY":
            name = str(held).removeprefix("CATEGORY_")
            found = _CATEGORIES[name.removeprefix("NOT_")]
            return _ALL - found if name.startswith("NOT_") else found
        case "IN":
            found = frozenset().union(*(_set(*each) for each in held if str(each[0]) != "NEGATE"))
            return _ALL - found if str(held[0][0]) == "NEGATE" else found
        case _:  # any but the line end
            return _ALL - {10}
