"""What `guard` asks of a running tree: whether it may recover now, an alert, and that what it did is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree.core.recovery import words
from supervisor_tree.core.recovery.progress import Recovery
from supervisor_tree.core.severity import LEVELS
from supervisor_tree.root.control import Request
from supervisor_tree.root.errors import RootError
from supervisor_tree.root.recovery import journal

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell


def recovery(shell: Shell, request: Request, client: bytes) -> dict[str, Any]:
    """``what``: begin, alert, step or ended; ``recovery``: the recovery that it is about.

    Raises:
        RootError: it is none.
    """
    try:
        about = msgspec.convert(request.args.get("recovery"), Recovery)
    except msgspec.ValidationError as error:
        raise RootError(f"recovery: {error}", code="usage") from error
    what = request.text("what")
    match what:
        case "begin":
            return {"refused": shell.recovery.guard_begins(about)}
        case "alert":
            level = request.text("level")
            if level not in LEVELS:
                raise RootError(f"level: {level!r} is none", code="usage", mend=f"one of {', '.join(LEVELS)}")
            shell.alerts.raise_(
                level,
                about.about,
                words.title(about),
                tail=request.names("lines"),
                rule=about.rule.name,
                exit=about.exit,
                outcome=about.outcome,
                matched=list(about.matched),
            )
        case "step":
            fields = request.args.get("fields")
            if not isinstance(fields, dict):
                raise RootError("fields: a table is expected", code="usage")
            journal.stepped(shell, about, {key: fields.get(key) for key in ("rule", "step", "verb", "ok", "text")})
        case "ended":
            shell.recovery.guard_ended(about)
        case _:
            raise RootError(f"recovery: what is {what!r}?", code="usage")
    return {}
