"""How an operation's end is told: a line a child, and an exit status that says whether all went well."""

from __future__ import annotations

import sys

from supervisor_tree.cli import table
from supervisor_tree.cli.errors import DONE, FAILED, CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervisor_tree.cli.target import Target


def tell(data: dict[str, Any], done: str, as_json: bool) -> int:
    """Print an operation's results, ``done`` being the past tense of its verb; returns the exit status.

    Raises:
        CommandError: it was refused as a whole.
    """
    refuse(data)
    results = data.get("results") or []
    failed = data.get("state") in ("failed", "cancelled") or not all(result["ok"] for result in results)
    if as_json:
        table.print_json(data)
        return FAILED if failed else DONE
    for result in results:
        whom = f"{result['name']}: " if result["name"] else ""  # none: it was about the whole tree
        reason = result.get("reason")
        if result["ok"]:
            print(f"{whom}{done}{f' ({reason})' if reason else ''}")
        else:
            print(f"{whom}{table.paint('failed', 'red')}{f' — {reason}' if reason else ''}")
    if not results:
        print(f"{data.get('state') or 'done'}{f': {reason}' if (reason := data.get('reason')) else ''}")
    return FAILED if failed else DONE


def refuse(data: dict[str, Any]) -> None:
    """Raise the `CommandError` of an operation that was refused as a whole, as by a broken file."""
    if error := data.get("error"):
        raise CommandError(data.get("code") or "config", error, "nothing was changed")


class Progress:
    """What is still under way, on standard error while that is a terminal; silent otherwise.

    Called once a second while an operation takes its time.
    """

    def __init__(self, target: Target, what: str) -> None:
        self._target = target
        self._what = what
        self._seconds = 0
        self._shown = False

    def __call__(self) -> None:
        self._seconds += 1
        if not sys.stderr.isatty():
            return
        under_way = self._under_way()
        text = f"{self._what}, {self._seconds}s" + (f": {', '.join(under_way)}" if under_way else "")
        room = table.width(sys.stderr)
        sys.stderr.write(f"\r\033[K{table.clip(text, room - 1 if room else None)}")
        sys.stderr.flush()
        self._shown = True

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def _under_way(self) -> list[str]:
        from supervisor_tree.ipc.control import Control, ControlError, ControlTimeout

        # a connection of its own: an answer to the operation that comes meanwhile must not be taken for this one's
        control = Control(self._target.run_dir)
        try:
            children = control.request("status", {}, timeout=0.5)["children"]
        except (ControlError, ControlTimeout):
            return []
        finally:
            control.close()
        found, todo = [], list(children)
        while todo:
            child = todo.pop(0)
            if child["type"] == "worker" and child["state"] in ("stopping", "starting", "waiting"):
                found.append(f"{child['name']} {child['state']}")
            todo += child.get("children") or []
        return found
