"""From `Supervisor` and `Child` to the tables of a tree file."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from enum import Enum
from typing import Any

import msgspec

from supervisor_tree.api.child import Child
from supervisor_tree.api.errors import ConfigError
from supervisor_tree.api.supervisor import Supervisor
from supervisor_tree.core.spec import SupervisorSpec, WorkerSpec
from supervisor_tree.workers import Worker

_OTP_WORKER = WorkerSpec(name="")
_OTP_SUPERVISOR = SupervisorSpec(name="")
NO_BACKOFF = 0
INSIDE = ("restart", "shutdown", "significant", "backoff", "enabled")
"""Keys of `[supervisors.NAME]` that `[tree]` does not have."""
OUTSIDE = ("dir", "state_dir", "run_dir", "env_file", "make_dirs", "on_give_up", "keep_awake", "max_runs")
"""Keys of `[tree]` that `[supervisors.NAME]` does not have."""


class Tables:
    """The tables of one tree, and whom they are about."""

    def __init__(self, root: Supervisor) -> None:
        """
        Raises:
            ConfigError: with everything that can't be written as tables.
        """
        self._problems: list[str] = []
        self._workers: dict[str, dict[str, Any]] = {}
        self._supervisors: dict[str, dict[str, Any]] = {}
        self._code: dict[str, str] = {}
        self._seen: dict[str, object] = {}
        self.program = _program()
        self._dir = os.path.abspath(
            root.options.get("dir", os.path.dirname(self.program) if self.program else os.getcwd())
        )
        self._tree = self._root(root)
        if self._problems:
            raise ConfigError(self._problems)

    @property
    def state_dir(self) -> str:
        return str(os.path.join(self._dir, os.path.expanduser(self._tree["state_dir"])))

    def data(self) -> dict[str, Any]:
        """The whole, as `config.load` reads it from a file of JSON."""
        return {
            "program": {"file": self.program or "a program without a file", "code": self._code},
            "tree": self._tree,
            "supervisors": self._supervisors,
            "workers": self._workers,
        }

    def _wrong(self, whom: str, key: str, message: str) -> None:
        self._problems.append(f"{whom}: {key}: {message}" if key else f"{whom}: {message}")

    def _root(self, root: Supervisor) -> dict[str, Any]:
        self._seen[""] = root
        for key in INSIDE:
            if key in root.options:
                self._wrong("Supervisor", key, "is for a supervisor inside the tree, not for the tree itself")
        table = {
            "dir": self._dir,
            "state_dir": ".supervisor-tree",
            "intensity": _OTP_SUPERVISOR.intensity,
            "period": _OTP_SUPERVISOR.period,
            "on_give_up": _OTP_SUPERVISOR.on_give_up,
            **self._values("Supervisor", {key: value for key, value in root.options.items() if key != "dir"}),
            "children": self._children("Supervisor", root),
        }
        return table if root.name is None else {"name": root.name, **table}

    def _children(self, whom: str, supervisor: Supervisor) -> list[str]:
        names = []
        for child in supervisor.children:
            one: object = child
            if not isinstance(one, Child | Supervisor):
                self._wrong(whom, "", f"its children must be Child or Supervisor, not {child!r}")
            elif not isinstance(child.name, str) or not child.name:
                self._wrong(whom, "", "a supervisor inside it has no name: give it one, Supervisor([…], name=…)")
            elif child.name in self._seen:
                self._wrong(told(child), "", "is there twice: names are unique in a tree")
            else:
                self._seen[child.name] = child
                names.append(child.name)
                if isinstance(child, Child):
                    self._workers[child.name] = self._worker(child)
                else:
                    # Its place is its parent's, before those of its children.
                    self._supervisors[child.name] = {}
                    self._supervisors[child.name] = self._supervisor(child)
        return names

    def _supervisor(self, supervisor: Supervisor) -> dict[str, Any]:
        whom = told(supervisor)
        for key in OUTSIDE:
            if key in supervisor.options:
                self._wrong(whom, key, "is for the whole tree: give it to the outermost Supervisor")
        return {
            "intensity": _OTP_SUPERVISOR.intensity,
            "period": _OTP_SUPERVISOR.period,
            "backoff": NO_BACKOFF,
            **self._values(whom, supervisor.options),
            "children": self._children(whom, supervisor),
        }

    def _worker(self, child: Child) -> dict[str, Any]:
        options = dict(child.options)
        target = options.get("run")
        if target is not None and not isinstance(target, str):
            options["run"] = self._target(child, target)
        return {"shutdown": _OTP_WORKER.shutdown, "backoff": NO_BACKOFF, **self._values(told(child), options)}

    def _values(self, whom: str, options: Mapping[str, Any]) -> dict[str, Any]:
        values = {}
        for key, value in options.items():
            try:
                values[key] = msgspec.to_builtins(value, builtin_types=(timedelta,), str_keys=True, enc_hook=_plain)
                values[key] = _seconds(values[key])
            except (TypeError, ValueError, RecursionError) as error:
                self._wrong(whom, key, f"can't be written down: {error}")
        return values

    # -- what is run ----------------------------------------------------------------------------

    def _target(self, child: Child, target: Callable[..., object]) -> str:
        """``module:attribute``; of what goes by value, a name to show."""
        from supervisor_tree.api import packing

        shown = packing.shown(target)
        one: object = target
        if not callable(one) or (isinstance(one, type) and not issubclass(one, Worker)):
            self._wrong(told(child), "run", f'must be a function, a Worker class or "module:attribute", not {target!r}')
            return shown
        known = [*self._known(child)]
        try:
            if "python" in child.options:
                return packing.by_name(target)
            name = packing.importable(target, known)
            if name is None:
                self._code[child.name] = packing.pack(target, known)
        except packing.CannotSend as error:
            self._wrong(told(child), "run", str(error))
            return shown
        return name or shown

    def _known(self, child: Child) -> Iterator[str]:
        """The folders that a worker imports from by itself."""
        yield self._dir
        yield os.path.abspath(os.path.join(self._dir, child.options.get("cwd", ".")))
        for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep):
            if folder:
                yield os.path.abspath(folder)
        yield from {*sysconfig.get_paths().values()}


def told(one: Child | Supervisor) -> str:
    """Whom a message is about."""
    kind = type(one).__name__
    return f"{kind} '{one.name}'" if one.name is not None else kind


def _program() -> str | None:
    """The file of the program that is run; None for what has none (a session, ``-c``)."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return os.path.abspath(file) if file and os.path.exists(file) else None


def _plain(value: object) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} is neither text, number, list nor table")


def _seconds(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {key: _seconds(inner) for key, inner in value.items()}
    return [_seconds(inner) for inner in value] if isinstance(value, list | tuple) else value
