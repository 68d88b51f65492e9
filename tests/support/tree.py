"""A real tree in a folder of its own: written, started, asked, killed, and proved gone."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.support.asking import ask
from tests.support.processes import kill, processes_with, told
from tests.support.reading import json_lines
from tests.support.waiting import PATIENCE, eventually, wait_gone

REPOSITORY = Path(__file__).resolve().parents[2]
MARK = "SUPERVISOR_TREE_TEST"
"""In the environment of everything that a test starts, so that it is found even when the tree's own id is not known."""


class Tree:
    """One tree file in ``folder`` and the `supervisor-tree start` that runs it.

    Ended by `close` (the fixture does it): the keeper is killed with SIGKILL if it still runs, and within
    a few seconds nothing of the tree may be left, which is promise 2, asserted at the end of every test.
    """

    def __init__(self, folder: Path, text: str = "", environ: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.dir = folder
        self.file = folder / "tree.toml"
        self.state_dir = folder / ".supervisor-tree"
        self.mark = uuid.uuid4().hex
        self.wrap: list[str] = []
        """A command that becomes `start` in the end, by exec: it keeps its pid."""
        self.environ = clean_environment(environ or {})
        self.keeper: subprocess.Popen[bytes] | None = None
        """The process that `start` made last; its pid is the keeper's."""
        self._spawned: list[subprocess.Popen[bytes]] = []
        self._ids: set[str] = set()
        self._run_dirs: set[Path] = set()
        if text:
            self.write(text)

    def write(self, text: str) -> None:
        """Write the tree file anew (indentation taken off)."""
        self.file.write_text(textwrap.dedent(text))

    # Life

    def start(self, *arguments: str, wait: bool = True, timeout: float = PATIENCE) -> Tree:
        """`supervisor-tree start ARGUMENTS` in the folder. ``wait``: return once the root answers."""
        self.keeper = self.spawn("start", *arguments)
        if wait:
            self.wait_up(timeout)
        return self

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Any command, not waited for, in a session of its own; its output goes to `start-N.out` (see `output`)."""
        with open(self.dir / f"start-{len(self._spawned) + 1}.out", "wb") as out:
            process = subprocess.Popen(
                [*self.wrap, sys.executable, "-m", "supervisor_tree", *arguments],
                cwd=self.dir,
                env={**self.environ, MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._spawned.append(process)
        return process

    def wait_up(self, timeout: float = PATIENCE) -> None:
        """Return once the root of the keeper started last answers on its control socket."""
        keeper = self._keeper()

        def up() -> bool:
            if keeper.poll() is not None:
                raise AssertionError(f"start ended with {keeper.returncode}:\n{self.output()}")
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):  # not written yet
                run = self.run_json()
                return bool(run["keeper"] == keeper.pid and (Path(run["run_dir"]) / "control" / "control").exists())
            return False

        eventually(up, lambda: f"the tree is up; it said:\n{self.output()}", timeout)
        self.ask("status", timeout, names=[])

    def stop(self, signal_number: int = signal.SIGTERM, timeout: float = 30.0) -> int:
        """Ask the tree to end as a service manager does; the exit status of `start`. Fails if anything is left."""
        keeper = self._keeper()
        keeper.send_signal(signal_number)
        status = self.wait_end(timeout)
        self.assert_nothing_left(0.5)
        return status

    def wait_end(self, timeout: float = 30.0) -> int:
        """The exit status of `start`, once it has ended by itself."""
        try:
            return self._keeper().wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"start still runs after {timeout:g} s; it said:\n{self.output()}") from None

    def close(self) -> None:
        """Kill what still runs and assert that nothing of the tree is left."""
        try:
            self._remember()
            for process in self._spawned:
                process.kill()
                process.wait(PATIENCE)
            # How fast is test_deaths.py's business; here that it happens at all, on however loaded a machine.
            self.assert_nothing_left(PATIENCE)
        finally:
            kill(self.processes())
            for run_dir in self._run_dirs:
                shutil.rmtree(run_dir, ignore_errors=True)
            print(self.output())  # shown by pytest where the test fails

    def assert_nothing_left(self, timeout: float = 4.0) -> None:
        """Within ``timeout`` seconds no process of this tree lives (promised: 2 s after the keeper was killed)."""
        eventually(
            lambda: not self.processes(),
            lambda: "nothing of the tree is left; but: " + "; ".join(told(p) for p in self.processes()),
            timeout,
        )

    # Looking

    def processes(self) -> list[Any]:
        """Living processes (psutil) of this tree: all that were started with our mark or the tree's present id."""
        self._remember()
        return processes_with({(MARK, self.mark), *(("SUPERVISOR_TREE_ID", tree_id) for tree_id in self._ids)})

    def run_json(self) -> dict[str, Any]:
        """`state_dir/run.json`: raises OSError before the first start."""
        told: dict[str, Any] = json.loads((self.state_dir / "run.json").read_text())
        return told

    @property
    def run_dir(self) -> Path:
        return Path(self.run_json()["run_dir"])

    def output(self) -> str:
        """All that commands started by `start` and `spawn` have said, stdout and stderr together."""
        files = sorted(self.dir.glob("start-*.out"), key=lambda file: file.stat().st_mtime_ns)
        return "".join(f"--- {file.name}\n{file.read_text(errors='replace')}" for file in files)

    def log(self, name: str) -> str:
        """What worker ``name`` has written to its default log file so far (this file, not the rotated ones)."""
        file = self.state_dir / "logs" / f"{name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def journal(self, event: str | None = None, name: str | None = None) -> list[dict[str, Any]]:
        """The journal's lines that are on disk, oldest first; of this event and about this name where given.

        The root writes them a moment later: while the tree runs, see `events`."""
        lines: list[dict[str, Any]] = []
        for file in sorted((self.state_dir / "journal").glob("[0-9]*.jsonl")):
            lines += json_lines(file)
        return [line for line in lines if event in (None, line["event"]) and name in (None, line["name"])]

    # Asking

    def ask(self, command: str, patience: float = PATIENCE, **args: Any) -> Any:
        """One request on the control socket, without the command line; `Refused` for an error."""
        return ask(self.run_dir, command, patience, **args)

    def cli(self, *arguments: str, status: int | None = 0, timeout: float = 60.0) -> str:
        """stdout of one `supervisor-tree` command run in the folder; its exit status must be ``status`` (None: any)."""
        done = subprocess.run(
            [sys.executable, "-m", "supervisor_tree", *arguments],
            cwd=self.dir,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if status is not None and done.returncode != status:
            raise AssertionError(
                f"{' '.join(arguments)}: exit status {done.returncode}, not {status}\n{done.stdout}{done.stderr}\n"
                f"the tree said:\n{self.output()}"
            )
        return done.stdout

    def ctl(self, *arguments: str, status: int | None = 0, timeout: float = 60.0) -> str:
        """stdout of `supervisor-tree ctl ARGUMENTS`."""
        return self.cli("ctl", *arguments, status=status, timeout=timeout)

    def status(self) -> dict[str, Any]:
        """The JSON of `ctl status`, asked on the socket."""
        data: dict[str, Any] = self.ask("status", names=[])
        return data

    def children(self) -> dict[str, dict[str, Any]]:
        """Every worker and supervisor by its bare name, as in `ctl status --json`."""
        return {child["name"]: child for child in _walk(self.status()["children"])}

    def events(self, event: str | None = None, name: str | None = None) -> list[dict[str, Any]]:
        """As `journal`, but asked of the root: with those that are not on disk yet."""
        lines: list[dict[str, Any]] = self.ask("events", type=[event] if event else [])["events"]
        return [line for line in lines if name in (None, line["name"])]

    def child(self, name: str) -> dict[str, Any]:
        return self.children()[name]

    def pids(self) -> dict[str, int]:
        """Pids of the workers that run, by name."""
        return {name: child["pid"] for name, child in self.children().items() if child["pid"]}

    def root_pid(self) -> int:
        return int(self.status()["root"])

    def logger_pid(self) -> int:
        """The logger is told by its command line, once it has executed: no other child of the keeper runs
        `supervisor_tree.logs`."""

        def there() -> int | None:
            for process in psutil.Process(self._keeper().pid).children():
                with contextlib.suppress(psutil.Error):
                    if "supervisor_tree.logs" in process.cmdline():
                        return int(process.pid)
            return None

        found = eventually(there, "a logger runs")
        assert found is not None
        return found

    # Waiting

    def wait(self, *names: str, state: str = "running", timeout: float = PATIENCE) -> None:
        """`ctl wait NAME… --for STATE`: event-driven, answered by the root."""
        self.ask("wait", timeout + 2, names=list(names), timeout=timeout, **{"for": state})

    def wait_until(self, name: str, timeout: float = PATIENCE, **fields: Any) -> dict[str, Any]:
        """The child's status once each of ``fields`` has this value (or makes this function true)."""

        def fits() -> dict[str, Any] | None:
            child = self.child(name)
            for key, wanted in fields.items():
                if not (wanted(child[key]) if callable(wanted) else child[key] == wanted):
                    return None
            return child

        found = eventually(fits, lambda: f"{name}: {fields}; it is {self.child(name)}", timeout)
        assert found is not None
        return found

    def wait_new_root(self, old: int, timeout: float = PATIENCE) -> int:
        """The pid of the root that answers after ``old``. Promised is 1 s; a loaded machine is given more."""

        def answers() -> int | None:
            # Asked with little patience: a request to the old one's socket is never answered.
            with contextlib.suppress(AssertionError):
                root = int(self.ask("status", 0.5, names=[])["root"])
                return root if root != old else None
            return None

        found = eventually(answers, f"a new root after {old}", timeout)
        assert found is not None
        return found

    @contextlib.contextmanager
    def follow(self, *arguments: str) -> Iterator[Follower]:
        """`supervisor-tree ARGUMENTS` (such as `ctl events -f --json`, `logs -f web`), read line by line.

        Of `ctl events -f --json` the last ten as of now and all that come after, however long the command takes to
        start and however much happens meanwhile."""
        first = 0
        if arguments == ("ctl", "events", "-f", "--json"):
            first = self.ask("events", n=10)["events"][0]["seq"]
            arguments = (*arguments, "-n", "10000")
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor_tree", *arguments],
            cwd=self.dir,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            yield Follower(process, first)
        finally:
            process.kill()
            process.communicate()

    def kill(self, pid: int, signal_number: int = signal.SIGKILL) -> None:
        """Signal a process and, for SIGKILL, return once it is gone."""
        os.kill(pid, signal_number)
        if signal_number == signal.SIGKILL:
            wait_gone(pid)

    def _remember(self) -> None:
        """Keep the id and the run directory of the present life: the next start writes others."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            run = self.run_json()
            self._ids.add(run["id"])
            self._run_dirs.add(Path(run["run_dir"]))

    def _keeper(self) -> subprocess.Popen[bytes]:
        assert self.keeper is not None, "the tree was not started"
        return self.keeper


class Follower:
    """Lines of a command that goes on, each waited for with a deadline."""

    def __init__(self, process: subprocess.Popen[bytes], first: int = 0) -> None:
        assert process.stdout is not None
        self._out = process.stdout
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._rest = b""
        self._first = first
        """The number of the first event that counts."""
        self.process = process

    def line(self, timeout: float = PATIENCE) -> str:
        """The next line, without its end; AssertionError when none came in time or the command ended."""
        end = time.monotonic() + timeout
        while b"\n" not in self._rest:
            ready = self._poll.poll(max(0.0, end - time.monotonic()) * 1000)
            assert ready, f"no line within {timeout:g} s"
            got = os.read(self._out.fileno(), 65536)
            assert got, "the command ended"
            self._rest += got
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")

    def event(self, kind: str, name: str | None = None, timeout: float = PATIENCE) -> dict[str, Any]:
        """The next event (of `ctl events -f --json`) of this kind, about this name where one is given."""
        while True:
            event: dict[str, Any] = json.loads(self.line(timeout))
            if event["seq"] >= self._first and event["event"] == kind and name in (None, event["name"]):
                return event


def clean_environment(more: dict[str, str]) -> dict[str, str]:
    """Ours, without what a tree or service manager above us has put there; the package importable from the checkout."""
    environ = {
        key: value
        for key, value in os.environ.items()
        if key not in ("NOTIFY_SOCKET", "XDG_RUNTIME_DIR", "XDG_STATE_HOME")
        and (not key.startswith("SUPERVISOR_TREE_") or key == "SUPERVISOR_TREE_PORTABLE")
    }
    return {**environ, "PYTHONPATH": str(REPOSITORY), **more}


def _walk(children: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for child in children:
        yield child
        yield from _walk(child.get("children") or [])
