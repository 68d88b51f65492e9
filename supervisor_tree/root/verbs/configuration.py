"""reload, add, remove: the tree file changes under a running tree. What is refused changes nothing."""

from __future__ import annotations

import os
import tomllib
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree import config
from supervisor_tree.core import events as ev
from supervisor_tree.root import files, wishes
from supervisor_tree.root.control import Request, begin
from supervisor_tree.root.errors import RootError
from supervisor_tree.root.operations import Operation
from supervisor_tree.system import disk

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell


def _added_file(shell: Shell) -> str:
    return os.path.join(shell.plan.state_dir, "added.toml")


def _config_error(error: config.ConfigError) -> RootError:
    return RootError(str(error), code="config", mend="nothing was changed")


def reload(shell: Shell, request: Request, client: bytes) -> Operation | None:
    """Read the files anew and apply what changed; with ``plan`` only say what would be done.

    Raises:
        RootError: there is no file to read, for a program describes the tree.
    """
    _refuse_of_program(shell)
    if request.flag("plan"):
        assert shell.control is not None
        shell.control.later(_answer_plan(shell, request, client))
        return None
    operation = begin(shell, request, [])
    shell.note("asked_for", None, command="reload", names=[], by=request.by, operation=operation.id)
    shell.background.begin("reload", _reload(shell, operation))
    return operation


def _refuse_of_program(shell: Shell) -> None:
    if shell.plan.program is not None:
        raise RootError(
            f"this tree is described by a program, {shell.plan.program}",
            code="refused",
            mend="change the program, then `supervisor-tree ctl shutdown` and run it again",
        )


async def _load(shell: Shell, extra: list[tuple[str, str]], edit: dict[str, Any] | None = None) -> config.Plan:
    """The present files as a plan, read in a thread: a slow disk holds up nobody else. ``edit``: as an operation has
    it, for what is wrong in what is added.

    Raises:
        RootError: `config`, with every error; `refused`, for what can't be yet.
    """
    plan = shell.plan

    def read() -> config.Plan:
        loaded = config.load(plan.asked_files, plan.environ, plan.only, extra)
        files.make_folders(loaded)
        return loaded

    try:
        loaded = await shell.loop.run_in_executor(None, read)
    except config.ConfigError as error:
        if edit is not None and edit.get("file"):
            error = config.added.as_given(error, _added_file(shell), edit["toml"], edit["file"])
        raise _config_error(error) from error
    # Two programs of one name the keeper does not tell apart.
    for name in sorted(shell.jobs.begun() & loaded.workers.keys()):
        raise RootError(f"{name} can't be a worker while a run of the job {name} is under way", code="refused")
    for name in sorted({node.name for node in shell.tree.nodes.values() if node.alive} & loaded.jobs.keys()):
        raise RootError(f"{name} can't be a job while the worker {name} runs: `ctl stop {name}` first", code="refused")
    return loaded


def _changes(old: config.Plan, new: config.Plan) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(change) for change in config.diff(old, new)]


async def _answer_plan(shell: Shell, request: Request, client: bytes) -> None:
    control = shell.control
    assert control is not None
    try:
        new = await _load(shell, [])
    except RootError as error:
        control.error(client, request.id, error)
    else:
        control.end(client, request.id, {"changes": _changes(shell.plan, new), "warnings": _warnings(new)})
    shell.flush()


def _warnings(plan: config.Plan) -> list[str]:
    return [str(warning) for warning in plan.warnings]


async def _reload(shell: Shell, operation: Operation) -> None:
    # One after the other: a plan read before another one's change was made would undo it.
    async with shell.reloading:
        await _reload_now(shell, operation)


async def _reload_now(shell: Shell, operation: Operation) -> None:
    try:
        text = await shell.loop.run_in_executor(None, _added_text, shell, operation)
        if text is None:
            new = await _load(shell, [])
        else:
            # Committed before the file is written: should this root die, the next one writes the same.
            operation.edit = {**operation.edit, "whole": text}
            shell.operations.changed(operation)
            shell.flush()
            new = await _load(shell, [(_added_file(shell), text)], operation.edit)
            write = partial(disk.replace, _added_file(shell), text.encode(), forced=True)
            await shell.loop.run_in_executor(None, write)
    except (RootError, OSError) as error:
        operation.data = {"error": str(error), "code": error.code if isinstance(error, RootError) else "failed"}
        shell.note("reload_refused", None, error=str(error))
        shell.end_operation(operation.id, [{"name": None, "ok": False, "reason": str(error)}])
    except Exception as error:
        shell.internal_error("reload", error)
        shell.end_operation(operation.id, [{"name": None, "ok": False, "reason": f"internal error: {error!r}"}])
    else:
        apply(shell, operation, new)
    shell.flush()


def apply(shell: Shell, operation: Operation, new: config.Plan) -> None:
    """Make ``new`` the plan of this tree; ends the operation when the core is done with it."""
    old, changes = shell.plan, _changes(shell.plan, new)
    config.carry(old, new)
    shell.plan = new
    shell.spawning.replan()
    shell.store.replan()
    shell.alerts.replan()
    shell.activity.replan()
    shell.retention.begin()
    shell.state("plan", msgspec.json.encode(new))
    operation.data = {"changes": changes, "warnings": _warnings(new)}
    shell.note("reloaded", None, changes=[change for change in changes if change["action"] != "keep"])
    restart = tuple(
        new.paths[change["name"]]
        for change in changes
        if change["action"] == "restart" and change["name"] in new.paths and change["name"] != "root"
    )
    for change in changes:
        if change["action"] == "live" and change["name"] in new.workers:
            program = shell.spawning.log_settings(change["name"])
            if program is not None:
                shell.effect("limits", name=change["name"], log=program)
    added = [change["name"] for change in changes if change["action"] == "add"]
    if operation.command in ("add", "remove"):
        operation.results = _of_jobs(changes, {*old.jobs, *new.jobs})
    shell.tell(ev.Reconfigured(operation.id, new.root, restart))
    shell.outputs.replan()
    shell.recovery.replan()
    shell.jobs.replan(operation.edit.get("names", ()))
    shell.readiness.replan()
    shell.beating.replan()
    if shell.heartbeats is not None:
        shell.heartbeats.replan()
    shell.changed(shell.tree.nodes)
    for name in added:
        if name in new.autostart_off:
            shell.tell(ev.StopRequested("", (new.paths[name],), wishes.NOT_YET))
    shell.after_commit(lambda: files.write_logs_json(shell))


def _of_jobs(changes: list[dict[str, Any]], jobs: set[str]) -> list[dict[str, Any]]:
    """The results of jobs that came or went: they are none of the core's, and nothing of theirs is waited for."""
    return [
        {"name": change["name"], "ok": True, "reason": None}
        for change in changes
        if change["name"] in jobs and change["action"] in ("add", "remove")
    ]


def reload_by_signal(shell: Shell) -> None:
    """SIGHUP to the keeper: a reload that nobody waits for; what is wrong is in the journal."""
    request = Request(v=1, id=os.urandom(16).hex(), command="reload", by="signal HUP")
    try:
        _refuse_of_program(shell)
        operation = begin(shell, request, [])
    except RootError as error:
        shell.note("reload_refused", None, error=str(error))
        return
    shell.background.begin("reload", _reload(shell, operation))


def resume(shell: Shell) -> None:
    """After a root's death: what it was reading when it died, its core never heard of; it is read again."""
    known = set(shell.tree.pending_requests())
    for operation in shell.operations.all.values():
        reads = operation.state == "running" and operation.command in ("reload", "add", "remove")
        if reads and operation.id not in known:
            shell.background.begin("reload", _reload(shell, operation))


def add(shell: Shell, request: Request, client: bytes) -> Operation:
    """Tables of a tree file into `added.toml` (``to``: under that supervisor; ``file``: where they stand, for what is
    wrong in them), or one instance of a template.

    Raises:
        RootError: nothing to add, or no such supervisor.
    """
    if request.text("supervisor"):
        return _add_instance(shell, request)
    text = request.text("toml")
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RootError(f"no TOML: {error}", code="config", mend="nothing was changed") from error
    named = [*tables.get("workers", {}), *tables.get("supervisors", {}), *tables.get("jobs", {})]
    if not named:
        raise RootError(
            "nothing to add", code="usage", mend="give [workers.NAME], [supervisors.NAME] or [jobs.NAME] tables"
        )
    present = [name for name in named if _is_there(shell, name)]
    if present:
        raise RootError(
            f"already in the tree: {', '.join(present)}",
            code="refused",
            mend="`ctl remove` it first, or edit the tree file and `ctl reload`",
        )
    operation = begin(shell, request, named)
    operation.edit = {"toml": text, "to": request.text("to") or None, "file": request.text("file")}
    shell.note("asked_for", None, command="add", names=named, by=request.by, operation=operation.id)
    shell.background.begin("reload", _reload(shell, operation))
    return operation


def _added_text(shell: Shell, operation: Operation) -> str | None:
    """What `added.toml` is to hold for this operation; None: it stays as it is."""
    edit = operation.edit
    if not edit or "whole" in edit:
        return edit.get("whole")
    old = _read(_added_file(shell))
    if "toml" in edit:
        return config.added.join(old, edit["toml"], edit["to"], shell.plan)
    return config.added.without(old, edit["names"])


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _add_instance(shell: Shell, request: Request) -> Operation:
    supervisor, instance = request.text("supervisor"), request.text("instance")
    path = shell.directory.find(supervisor)
    if path is None or not instance:
        raise RootError(f"no such supervisor: {supervisor}", code="no_such_name")
    try:
        settings, spec = config.template(shell.plan, supervisor, instance, request.names("args"))
    except config.ConfigError as error:
        raise _config_error(error) from error
    operation = begin(shell, request, [settings.name])
    shell.plan.workers[settings.name] = settings
    shell.state("plan", msgspec.json.encode(shell.plan))
    shell.note("asked_for", None, command="add", names=[settings.name], by=request.by, operation=operation.id)
    shell.tell(ev.StartChildCalled(request.id, path, child=spec, instance=settings.name))
    return operation


def _is_there(shell: Shell, name: str) -> bool:
    return shell.directory.find(name) is not None or name in shell.plan.jobs


def _is_dynamic(shell: Shell, name: str) -> bool:
    """Made at run time from a template."""
    path = shell.directory.find(name)
    return path is not None and name not in shell.plan.paths and shell.directory.node(path).dynamic


def remove(shell: Shell, request: Request, client: bytes) -> Operation:
    """Stop, then delete, what was added at run time.

    Raises:
        RootError: the tree file defines it.
    """
    asked = request.names()
    mine = shell.plan.added
    instances = [name for name in asked if name not in mine and _is_dynamic(shell, name)]
    foreign = [name for name in asked if name not in mine and name not in instances]
    if foreign or not asked:
        raise RootError(
            f"not added at run time: {', '.join(foreign) or 'nothing named'}",
            code="refused" if all(_is_there(shell, name) for name in foreign) else "no_such_name",
            mend="remove it from the tree file and `supervisor-tree ctl reload`",
        )
    if instances and len(asked) > 1:
        # Each is a call of its own to its supervisor, with an end of its own: one operation can't have several.
        raise RootError(
            f"made from a template: {', '.join(instances)}", code="refused", mend="remove such children one at a time"
        )
    operation = begin(shell, request, asked)
    shell.note("asked_for", None, command="remove", names=asked, by=request.by, operation=operation.id)
    if instances:
        (name,) = instances
        path = shell.directory.find(name)
        assert path is not None
        shell.tell(ev.TerminateChildCalled(request.id, path.rpartition("/")[0], name))
        shell.plan.workers.pop(name, None)
        shell.plan.instances.pop(name, None)
        shell.state("plan", msgspec.json.encode(shell.plan))
        return operation
    operation.edit = {"names": asked}
    shell.background.begin("reload", _reload(shell, operation))
    return operation
