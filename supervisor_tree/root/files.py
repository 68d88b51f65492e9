"""Small files that the root keeps: `run.json` and `logs.json` for readers outside. Replaced whole, never torn."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supervisor_tree.root.clocks import rfc3339, stamp
from supervisor_tree.root.errors import RootError
from supervisor_tree.system.disk import replace

if TYPE_CHECKING:
    from supervisor_tree.config import Plan
    from supervisor_tree.root.shell import Shell


def put_aside(path: str) -> str:
    """Move a file that can't be read out of the way, as `NAME.corrupt-TIME` (UTC), or `NAME.corrupt-TIME-2` and so on
    beside another of the same second; its new path.

    Raises:
        OSError: it stays.
    """
    name = aside = f"{path}.corrupt-{stamp(time.time())}"
    number = 1
    while os.path.lexists(aside):
        number += 1
        aside = f"{name}-{number}"
    os.replace(path, aside)
    return aside


def journal_folder(state_dir: str) -> Path:
    return Path(state_dir) / "journal"


def make_folders(plan: Plan) -> None:
    """`state_dir`, the folders in it, and `make_dirs`.

    Raises:
        RootError: one can't be made.
    """
    wanted = [(plan.state_dir, 0o700), (os.path.join(plan.state_dir, "logs"), 0o700)]
    wanted += [(folder, 0o777) for folder in plan.make_dirs]
    for folder, mode in wanted:
        try:
            os.makedirs(folder, mode, exist_ok=True)
        except OSError as error:
            raise RootError(
                f"can't make {folder}: {error.strerror}", mend="is the disk full, or the folder above not yours?"
            ) from error
    status = os.stat(plan.state_dir)
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        raise RootError(
            f"state_dir {plan.state_dir} belongs to user id {status.st_uid}",
            mend="set tree.state_dir to a folder of your own",
        )


def write_run_json(shell: Shell) -> None:
    """Where this tree runs: in the state directory, in the run directory, and where `trees` looks for it."""
    plan = shell.plan
    known: dict[str, Any] = {
        "tree": plan.name,
        "file": plan.file,
        "id": shell.id,
        "keeper": shell.keeper_pid,
        "keeper_start": shell.keeper_start,
        "run_dir": shell.run_dir,
        "state_dir": plan.state_dir,
        "since": rfc3339(time.time() + shell.tree.root.since - shell.loop.time()),
    }
    data = json.dumps(known, indent=1).encode() + b"\n"
    for target in _run_files(shell):
        try:
            replace(target, data)
        except OSError as error:
            shell.note("file_not_written", None, path=target, error=error.strerror)


def _run_files(shell: Shell) -> list[str]:
    from supervisor_tree.root.rundir import parents, tree_id

    targets = [os.path.join(shell.plan.state_dir, "run.json"), os.path.join(shell.run_dir, "run.json")]
    if os.path.dirname(shell.run_dir) not in parents():
        os.makedirs(parents()[0], 0o700, exist_ok=True)
        targets.append(os.path.join(parents()[0], f"{tree_id(shell.plan.state_dir)}.json"))
    return targets


def remove_run_files(shell: Shell) -> None:
    """At a clean end: the sockets and what tells of them. A folder that somebody else put things in stays."""
    control = os.path.join(shell.run_dir, "control")
    users = [str(folder) for folder in Path(shell.run_dir).glob("u-*")]
    sockets = [os.path.join(control, "control"), os.path.join(control, "stream")]
    sockets += [os.path.join(folder, "heartbeat") for folder in users]
    # Of a life that was killed nobody else removes what its workers were reached by.
    sockets += [str(left) for folder in users for each in ("dump-*", "n[0-9]*") for left in Path(folder).glob(each)]
    for path in (*_run_files(shell), *sockets):
        with contextlib.suppress(OSError):
            os.unlink(path)
    for folder in (control, *users, shell.run_dir):
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def write_logs_json(shell: Shell) -> None:
    """Which log file is whose, for `logs` when no root answers."""
    data = json.dumps(shell.spawning.log_files()).encode()
    path = os.path.join(shell.plan.state_dir, "logs.json")
    try:
        replace(path, data)
    except OSError as error:
        shell.note("file_not_written", None, path=path, error=error.strerror)
