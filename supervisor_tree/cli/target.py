"""Which running tree a command is about, found without reading more than has to be read.

`-c FILE`, else `-t NAME`, else `$SUPERVISOR_TREE_CONFIG`, else `./tree.toml`, else the only tree of this user that
runs. Every run directory holds a `run.json` that names its tree, file and keeper; so a tree file itself is only read
when no running tree says that it came from it. A keeper counts as living when its pid still has the start time that
was written down.
"""

from __future__ import annotations

import json
import os
import stat

from supervisor_tree.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

DEFAULT_FILE = "tree.toml"


class Target:
    """A running tree, as its `run.json` says."""

    __slots__ = ("file", "id", "keeper", "keeper_start", "name", "run_dir", "since", "state_dir")

    def __init__(self, run: Mapping[str, Any]) -> None:
        """Take what `run.json` says.

        Raises:
            KeyError, TypeError, ValueError: it is not the `run.json` of a tree.
        """
        self.name = str(run["tree"])
        self.file = str(run["file"])
        self.id = str(run.get("id") or "")
        self.keeper = int(run["keeper"])
        self.keeper_start = run.get("keeper_start")
        self.run_dir = str(run["run_dir"])
        self.state_dir = str(run["state_dir"])
        self.since = run.get("since")

    def lives(self) -> bool:
        """Whether the keeper that wrote it is still there."""
        from supervisor_tree.system import means

        seen = means.process(self.keeper)
        return seen is not None and not seen.dead and self.keeper_start in (None, seen.start)

    def wait_gone(self) -> None:
        """Wait until the keeper has ended."""
        import select
        import time

        from supervisor_tree.system import means

        fd = means.watch_process(self.keeper)
        try:
            while self.lives():
                if fd is None:
                    time.sleep(0.02)  # noqa: TID251 - the system can't wait for a process that is nobody's child
                else:
                    select.select([fd], [], [])
        finally:
            if fd is not None:
                os.close(fd)


def find(config: list[str] | None, tree: str | None = None, environ: Mapping[str, str] = os.environ) -> Target:
    """The running tree that is meant.

    Raises:
        CommandError: none runs, or it is not clear which (``not_running``); the file is wrong (``config``); it runs but
            its socket is gone (``unreachable``).
    """
    if config and tree:
        raise CommandError("usage", "-c and -t both say which tree", "give one of them")
    if tree:
        return _the_only([run for run in running() if run.name == tree], f"no tree named {tree} is running")
    files = config or _files_of(environ)
    if files:
        return _of_file(files, environ)
    return _the_only(running(), "no tree is running")


def place(
    config: list[str] | None, tree: str | None, environ: Mapping[str, str] = os.environ, *, example: bool = False
) -> tuple[str, str]:
    """Name and state directory of the tree that is meant, whether it runs or not (a tree file must say it then).

    ``example``: as for `start`, no tree file means the example that comes with the package.

    Raises:
        CommandError: as `find`, but for a tree file whose tree does not run.
    """
    files = None if tree else config or _files_of(environ)
    if example and not tree and not files:
        from supervisor_tree.config import example_file

        files = [str(example_file())]
    if files:
        said = _from_file(files)
        return (said.name, said.state_dir) if said is not None else _state_dir_of(files, environ)
    found = find(config, tree, environ)
    return found.name, found.state_dir


def running() -> list[Target]:
    """All living trees of this user, by name."""
    found = {(run.keeper, run.state_dir): run for run in _registered() if run.lives()}
    return sorted(found.values(), key=lambda run: (run.name, run.file))


def _files_of(environ: Mapping[str, str]) -> list[str] | None:
    named = environ.get("SUPERVISOR_TREE_CONFIG")
    if named:
        return [name for name in named.split(os.pathsep) if name]
    return [DEFAULT_FILE] if os.path.exists(DEFAULT_FILE) else None


def _registered() -> list[Target]:
    """What lies in this user's run directories, living or not."""
    found = []
    for parent in _parents():
        for name in sorted(os.listdir(parent)):
            path = os.path.join(parent, name)
            run = read(path if name.endswith(".json") else os.path.join(path, "run.json"))
            if run is not None:
                found.append(run)
    return found


def _parents() -> list[str]:
    places = [_shared()]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        places.insert(0, os.path.join(runtime, "supervisor-tree"))
    return [place for place in places if _ours(place)]


def _shared() -> str:
    return f"/tmp/supervisor-tree-{os.getuid()}"


def _ours(path: str) -> bool:
    """Whether a folder is this user's own: in /tmp somebody else may have made it before us, to be asked for us."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and (status.st_uid == os.getuid() or os.getuid() == 0)


def read(path: str) -> Target | None:
    """What a `run.json` says; None where there is none."""
    try:
        with open(path, "rb") as file:
            return Target(json.load(file))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _from_file(files: list[str]) -> Target | None:
    """The one living tree that says it came from these files."""
    real = os.path.realpath(files[0])
    said = [run for run in _registered() if os.path.realpath(run.file) == real and run.lives()]
    return said[0] if len(said) == 1 else None


def _of_file(files: list[str], environ: Mapping[str, str]) -> Target:
    said = _from_file(files)
    if said is not None:
        return _reachable(said)
    name, state_dir = _state_dir_of(files, environ)
    run = read(os.path.join(state_dir, "run.json"))
    if run is not None and run.lives():
        return _reachable(run)
    if _locked(state_dir):
        raise CommandError(
            "unreachable", f"tree {name} is running, but unreachable", f"the lock {state_dir}/lock is held; try again"
        )
    others = ", ".join(run.name for run in running())
    mend = f"start it with `supervisor-tree start -c {files[0]}`"
    raise CommandError(
        "not_running",
        f"tree {name} ({files[0]}) is not running",
        f"{mend}; running: {others} (-t NAME)" if others else mend,
    )


def _the_only(runs: list[Target], otherwise: str) -> Target:
    if len(runs) == 1:
        return _reachable(runs[0])
    if not runs:
        others = ", ".join(run.name for run in running())
        mend = f"running: {others}" if others else "start one with `supervisor-tree start -c FILE`"
        raise CommandError("not_running", otherwise, mend)
    trees = ", ".join(f"{run.name} ({run.file})" for run in runs)
    raise CommandError("not_running", f"{len(runs)} trees are running: {trees}", "say which with -c FILE or -t NAME")


def _reachable(run: Target) -> Target:
    """``run``, once it is certain that who listens there is its owner.

    Raises:
        CommandError: the run directory is somebody else's.
    """
    if os.path.exists(run.run_dir) and not _ours(run.run_dir):
        raise CommandError("refused", f"run_dir {run.run_dir} belongs to somebody else", "set tree.run_dir")
    return run


def _state_dir_of(files: list[str], environ: Mapping[str, str]) -> tuple[str, str]:
    """Name and state directory of the tree that ``files`` describe."""
    import tomllib

    tree: dict[str, Any] = {}
    for path in files:
        try:
            with open(path, "rb") as file:
                # a program's tree is described in JSON
                tree |= (json if path.endswith(".json") else tomllib).load(file).get("tree", {})
        except OSError as error:
            raise CommandError("config", f"{path}: {error.strerror}", "say which file with -c FILE") from error
        except ValueError as error:
            raise CommandError("config", f"{path}: {error}", "run `supervisor-tree check`") from error
    folder = os.path.dirname(os.path.realpath(files[0]))
    told = [tree.get("dir", "."), tree.get("state_dir", ".supervisor-tree"), tree.get("name", os.path.basename(folder))]
    if "include" in tree or not all(isinstance(value, str) and "$" not in value for value in told):
        from supervisor_tree import config  # variables and includes are its business, and take it 100 ms

        try:
            plan = config.load(files, environ)
        except config.ConfigError as error:
            raise CommandError("config", str(error)) from error
        return plan.name, plan.state_dir
    base = os.path.join(folder, os.path.expanduser(told[0]))
    return told[2], os.path.realpath(os.path.join(base, os.path.expanduser(told[1])))


def _locked(state_dir: str) -> bool:
    import fcntl

    try:
        lock = os.open(os.path.join(state_dir, "lock"), os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
