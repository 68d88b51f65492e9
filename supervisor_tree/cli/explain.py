"""`ctl why` and `ctl describe`: how a child came to be as it is, and all that is known about it."""

from __future__ import annotations

from supervisor_tree.cli import table, times
from supervisor_tree.cli.ask import Root
from supervisor_tree.cli.errors import DONE
from supervisor_tree.cli.parser import add_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator
    from typing import Any

_QUIET = ("running", "completed", "stopped")


def _why_arguments(parser: ArgumentParser) -> None:
    add_names(parser, "whom it is about (default: all that are not as they should be)")


def _describe_arguments(parser: ArgumentParser) -> None:
    add_names(parser, "whom it is about (default: all)")


def why(args: Namespace) -> int:
    with Root.of(args) as root:
        names = args.names or list(_not_as_they_should_be(root.ask("status")))
        told = [root.ask("why", name=name) for name in names]
    if args.json:
        table.print_json(told[0] if len(args.names) == 1 else told)
        return DONE
    if not told:
        print("nothing is wrong: every worker runs, has completed, or was stopped on purpose; no job fails or is late")
    at = times.now()
    for i, story in enumerate(told):
        if i:
            print()
        _tell(story, at)
    return DONE


def describe(args: Namespace) -> int:
    with Root.of(args) as root:
        names = args.names
        if not names:
            data = root.ask("status")
            names = [each["name"] for each in (*_all(data["children"]), *data["jobs"])]
        told = root.ask("describe", names=names) if names else []
    if args.json:
        table.print_json(told[0] if len(args.names) == 1 else told)
        return DONE
    for i, child in enumerate(told):
        if i:
            print()
        rows = list(_fields(child))
        room = max(len(key) for key, _ in rows)
        print("\n".join(f"{table.paint(key.ljust(room), 'dim')}  {value}" for key, value in rows))
    return DONE


def _not_as_they_should_be(data: dict[str, Any]) -> Iterator[str]:
    yield from (child["name"] for child in _all(data["children"]) if child["state"] not in _QUIET)
    for job in data["jobs"]:
        if job["failures"] or job["missed"] or job["overdue"] or job["state"] in ("waiting", "held"):
            yield job["name"]


def _all(children: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for child in children:
        yield child
        yield from _all(child.get("children") or [])


def _tell(story: dict[str, Any], now: float) -> None:
    state = table.state(story["state"])
    summary = story.get("summary") or f"{story['name']} is {state.text}"
    print(summary.replace(f" is {state.text}", f" is {table.paint(state.text, state.colour)}", 1))
    links = [(times.unix(link["time"]) if link.get("time") else None, str(link["text"])) for link in story["chain"]]
    clocks = [times.clock(at, now) if at is not None else "" for at, _ in links]
    ages = [times.relative(at, now) if at is not None else "" for at, _ in links]
    for clock, age, (_, text) in zip(clocks, ages, links, strict=True):
        print(f"  {clock:>{max(map(len, clocks))}}  {table.paint(age.ljust(max(map(len, ages))), 'dim')}  {text}")
    for line in story.get("output") or ():
        print(f"  │ {line}")
    if story.get("next"):
        print(f"  → {story['next']}")


def _fields(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """``value`` as lines of ``key.key`` and text, in the order the root gave; what is unset only at the top."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _fields(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for i, inner in enumerate(value):
            yield from _fields(inner, f"{name}.{i}")
    elif isinstance(value, list) and value:
        yield name, " ".join(str(item) for item in value)
    elif isinstance(value, bool):
        yield name, "yes" if value else "no"
    elif value not in (None, "", [], {}):
        yield name, str(value)
    elif "." not in name:
        yield name, "-"


VERBS: dict[str, tuple[Callable[[ArgumentParser], None], Callable[[Namespace], int]]] = {
    "why": (_why_arguments, why),
    "describe": (_describe_arguments, describe),
}
