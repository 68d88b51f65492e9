"""`ctl status` and `ctl tree`: what runs, what does not, and what comes next."""

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

_SETTLED = ("running", "completed")


def _arguments(parser: ArgumentParser) -> None:
    add_names(parser, "only these, with what is below them")


def status(args: Namespace) -> int:
    with Root.of(args) as root:
        data = root.ask("status", names=args.names)
    if args.json:
        table.print_json(data)
        return DONE
    at = times.now()
    _headline(data, at)
    rows = [
        (
            "  " * depth + child["name"],
            table.state(child["state"]),
            _number(child.get("pid")),
            _up(child, at),
            _number(child.get("restarts")) if child["type"] == "worker" else "",
            remark(child, at),
        )
        for depth, child in _walk(data["children"])
    ]
    if rows:
        table.show(("NAME", "STATE", "PID", "UP", "RESTARTS", "REASON / NEXT"), rows, right=("PID", "UP", "RESTARTS"))
    if data["jobs"] and not args.names:
        print(_jobs(data["jobs"]))
    return DONE


def tree(args: Namespace) -> int:
    with Root.of(args) as root:
        data = root.ask("tree", names=args.names)
    if args.json:
        table.print_json(data)
        return DONE
    at = times.now()
    _headline(data, at)
    rows: list[tuple[str | table.Cell, ...]] = [(data["tree"], table.state(data["state"]), "", _rules(data))]
    rows += [
        (drawn + child["name"], table.state(child["state"]), _number(child.get("pid")), _tree_remark(child, at))
        for drawn, child in _draw(data["children"])
    ]
    table.show((), rows)
    return DONE


def remark(child: dict[str, Any], now: float) -> str:
    """Why a child is as it is and what comes next, in a few words."""
    said = []
    reason, hold, last = child.get("reason"), child.get("hold"), child.get("last_exit")
    settled = child["state"] in _SETTLED
    if reason:
        said.append(reason)
    elif last and child["state"] in ("failed", "completed", "backoff"):
        said.append(last["reason"])
    if hold and (settled or not reason):  # else the reason says it
        why = f": {hold['reason']}" if hold.get("reason") else ""
        said.append(f"{'stop' if hold.get('wish') == 'down' else 'hold'} by {hold.get('by') or 'the tree file'}{why}")
    if child.get("status") and child["status"] not in (reason or ""):
        said.append(child["status"])
    if child["state"] == "running" and child.get("health") in (False, "unhealthy"):
        said.append("unhealthy")
    if not settled and child["state"] != "degraded" and child.get("since"):
        said.append(times.relative(times.unix(child["since"]), now))
    if child.get("next_attempt"):
        said.append(f"next try {times.relative(times.unix(child['next_attempt']), now)}")
    return ", ".join(said)


def _jobs(jobs: list[dict[str, Any]]) -> str:
    """All jobs in a line."""
    states = [job["state"] for job in jobs]
    said = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    for key, word in (("failures", "failing"), ("missed", "missed"), ("overdue", "late")):
        names = [job["name"] for job in jobs if job[key]]
        if names:
            said.append(table.paint(f"{word}: {', '.join(names)}", "red"))
    return f"jobs: {', '.join(said)} (`supervisor-tree ctl jobs`)"


def _headline(data: dict[str, Any], now: float) -> None:
    state = table.state(data["state"])
    since = f" for {times.age(data['since'], now)}" if data.get("since") else ""
    print(
        f"{table.paint(data['tree'], 'bold')} {table.paint(state.text, state.colour)}{since}"
        f" · {data['file']} · keeper {data['keeper']}, root {data['root']}"
    )
    for what in ("journal", "view"):
        if data.get(what):
            print(f"{what} {table.paint(data[what], 'red')}")


def _tree_remark(child: dict[str, Any], now: float) -> str:
    return ", ".join(part for part in (_rules(child), remark(child, now)) if part)


def _rules(child: dict[str, Any]) -> str:
    """A supervisor's strategy and how soon it gives up; nothing for a worker."""
    if not child.get("strategy"):
        return ""
    if "intensity" not in child:
        return str(child["strategy"])
    if child["intensity"] is None:
        return f"{child['strategy']}, never gives up"
    return f"{child['strategy']}, gives up after {child['intensity']} in {times.span(child['period'])}"


def _walk(children: list[dict[str, Any]], depth: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    for child in children:
        yield depth, child
        yield from _walk(child.get("children") or [], depth + 1)


def _draw(children: list[dict[str, Any]], before: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for i, child in enumerate(children):
        last = i == len(children) - 1
        yield before + ("└─ " if last else "├─ "), child
        yield from _draw(child.get("children") or [], before + ("   " if last else "│  "))


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _up(child: dict[str, Any], now: float) -> str:
    if child["state"] not in ("running", "degraded") or not child.get("since"):
        return "-"
    return times.age(child["since"], now)


VERBS: dict[str, tuple[Callable[[ArgumentParser], None], Callable[[Namespace], int]]] = {
    "status": (_arguments, status),
    "tree": (_arguments, tree),
}
