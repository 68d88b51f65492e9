"""A root that speaks the control protocol over real sockets, so that the client is tested as it is."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from supervisor_tree.cli.main import main
from supervisor_tree.system import means

Answer = dict[str, Any]


def end(data: Any) -> Answer:
    return {"kind": "end", "data": data}


def error(code: str, message: str, mend: str = "") -> Answer:
    return {"kind": "error", "code": code, "message": message, "mend": mend, "candidates": []}


class AnsweringRoot:
    """A tree named ``name`` whose answers the test chooses: ``answers[command] = answer | list | function``.

    A list is sent one a time this request is sent; None is silence.
    """

    def __init__(self, runtime: Path, name: str, file: Path) -> None:
        self.name = name
        self.answers: dict[str, Any] = {}
        self.requests: list[dict[str, Any]] = []
        self.run_dir = runtime / "supervisor-tree" / name
        self.run_dir.mkdir(mode=0o700, parents=True)
        (self.run_dir / "control").mkdir(mode=0o700)
        seen = means.process(os.getpid())
        assert seen is not None
        self.run = {
            "tree": name,
            "file": str(file),
            "id": "0" * 32,
            "keeper": os.getpid(),
            "keeper_start": seen.start,
            "run_dir": str(self.run_dir),
            "state_dir": str(file.parent / ".supervisor-tree"),
            "since": "2026-11-22T08:00:00.000Z",
        }
        self.write_run()
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.bind(f"ipc://{self.run_dir}/control/control")
        self._stream = self._context.socket(zmq.PUB)
        self._stream.bind(f"ipc://{self.run_dir}/control/stream")
        self._ended = self._context.socket(zmq.PAIR)
        self._ended.bind(f"inproc://{name}-end")
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def write_run(self) -> None:
        (self.run_dir / "run.json").write_text(json.dumps(self.run))

    def publish(self, event: dict[str, Any]) -> None:
        self._stream.send(f"event.{event['event']} {json.dumps(event)}".encode())

    def asked(self, command: str) -> dict[str, Any]:
        """The arguments of the last request of this kind."""
        return next(dict(request["args"]) for request in reversed(self.requests) if request["command"] == command)

    def close(self) -> None:
        self._ended.send(b"")
        self._thread.join()
        self._ended.close(0)
        self._stream.close(0)
        self._router.close(0)
        self._context.term()

    def _serve(self) -> None:
        ended = self._context.socket(zmq.PAIR)
        ended.connect(f"inproc://{self.name}-end")
        poller = zmq.Poller()
        poller.register(ended, zmq.POLLIN)
        poller.register(self._router, zmq.POLLIN)
        while True:
            if ended in dict(poller.poll()):
                ended.close(0)
                return
            client, text = self._router.recv_multipart()
            request = json.loads(text)
            self.requests.append(request)
            answer = self.answers.get(request["command"], error("usage", f"no such command: {request['command']}"))
            if isinstance(answer, list):
                times = sum(1 for earlier in self.requests if earlier["id"] == request["id"])
                answer = answer[min(times, len(answer)) - 1]
            if callable(answer):
                answer = answer(request["args"])
            if answer is not None:
                self._router.send_multipart([client, json.dumps({"v": 1, "id": request["id"], **answer}).encode()])


MakeRoot = Callable[..., AnsweringRoot]
RunCli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def make_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeRoot]:
    """Make roots of trees that are found as real ones are; none yet. The present folder has no tree file."""
    runtime = Path(tempfile.mkdtemp(prefix="st-"))  # tmp_path can be too long for a socket
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.delenv("SUPERVISOR_TREE_CONFIG", raising=False)
    monkeypatch.setattr("supervisor_tree.cli.target._shared", lambda: str(runtime / "tmp"))
    monkeypatch.chdir(tmp_path)
    roots: list[AnsweringRoot] = []

    def make(name: str = "bot", file: Path | None = None) -> AnsweringRoot:
        roots.append(AnsweringRoot(runtime, name, file or tmp_path / name / "tree.toml"))
        return roots[-1]

    yield make
    for root in roots:
        root.close()
    shutil.rmtree(runtime)


@pytest.fixture
def root(make_root: MakeRoot) -> AnsweringRoot:
    """One running tree, `bot`."""
    return make_root()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> RunCli:
    """Run a command line; exit status, standard output, standard error."""

    def run(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(list(argv))
        told = capsys.readouterr()
        return status, told.out, told.err

    return run
