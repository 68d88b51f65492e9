"""What clients can ask: one function a verb, listed in `VERBS`.

A verb gets the shell, the request and the client; it returns the answer (a JSON value), an `Operation` that
ends later, or None when it answers by itself. Wrong requests raise `RootError`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from supervisor_tree.root.verbs import change, configuration, history, jobs, recovery, show, waiting, whole

if TYPE_CHECKING:
    from supervisor_tree.root.control import Request
    from supervisor_tree.root.operations import Operation
    from supervisor_tree.root.shell import Shell

Verb = Callable[["Shell", "Request", bytes], "Operation | Any | None"]

VERBS: dict[str, Verb] = {
    "status": show.status,
    "tree": show.status,
    "describe": show.describe,
    "logs_info": show.logs_info,
    "exec_info": show.exec_info,
    "why": history.why,
    "events": history.events,
    "start": change.start,
    "stop": change.stop,
    "restart": change.restart,
    "hold": change.hold,
    "release": change.release,
    "signal": change.signal,
    "reload_names": change.reload_names,
    "wait": waiting.wait,
    "jobs": jobs.jobs,
    "runs": jobs.runs,
    "run": jobs.run,
    "recovery": recovery.recovery,
    "reload": configuration.reload,
    "add": configuration.add,
    "remove": configuration.remove,
    "ops": whole.ops,
    "cancel": whole.cancel,
    "upgrade": whole.upgrade,
    "shutdown": whole.shutdown,
}
