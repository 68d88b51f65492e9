"""The workers of the example tree, each run by itself, without a tree."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from supervisor_tree.workers.example.figures import encode
from supervisor_tree.workers.example.host_watcher import sample
from supervisor_tree.workers.example.recorder import LONGEST_REQUEST, Database
from tests.support.tree import clean_environment
from tests.support.waiting import PATIENCE, eventually, wait_gone

Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "web").mkdir()
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Iterator[Run]:
    """``run(target, **args)`` in the folder."""
    running: list[subprocess.Popen[str]] = []

    def start(target: str, **args: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor_tree.workers", target, json.dumps(args)],
            cwd=folder,
            env=clean_environment({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.terminate()  # no tree is here to end what a killed shim would leave
        process.communicate(timeout=PATIENCE)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


HERE = "supervisor_tree.workers.example"
HOST_WATCHER = f"{HERE}.host_watcher:HostWatcher"
PAGE_BUILDER = f"{HERE}.page_builder:build"
RECORDER = f"{HERE}.recorder:Recorder"
THRESHOLDS = f"{HERE}.thresholds:watch"
SHIM = "supervisor_tree.workers.shim:ShimWorker"

WATCH = {"to": "data/figures.jsonl", "tick_interval": 0.05}
BUILD = {"figures": "data/figures.jsonl", "alerts": "data/alerts.json", "web": "web"}
RECORD = {"figures": "data/figures.jsonl", "database": "data/figures.db", "socket": "data/recorder.sock"}
LIMITS = {"recorder": "data/recorder.sock", "alerts": "data/alerts.jsonl", "standing": "data/alerts.json"}
SERVER = [sys.executable, "-m", f"{HERE}.web_server", "--folder", "web", "--port"]


@pytest.mark.parametrize(
    ("target", "args"),
    [(PAGE_BUILDER, BUILD), (RECORDER, RECORD), (SHIM, {"command": [*SERVER, "0"]})],
)
def test_each_ends_at_once_and_well_when_asked(run: Run, target: str, args: dict[str, object]) -> None:
    process = run(target, **args)
    assert first_line(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


def test_the_watcher_ends_at_once_and_well_when_asked(run: Run, folder: Path) -> None:
    process = run(HOST_WATCHER, to="data/figures.jsonl", tick_interval=60)
    eventually((folder / "data" / "figures.jsonl").exists, "the first sample is taken")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


def test_the_watcher_samples_and_the_page_follows(run: Run, folder: Path) -> None:
    run(PAGE_BUILDER, **BUILD)
    run(HOST_WATCHER, **WATCH)
    figures = folder / "web" / "figures.json"

    def samples() -> int:
        with contextlib.suppress(FileNotFoundError):
            return len(json.loads(figures.read_bytes())["samples"])
        return 0

    eventually(lambda: samples() >= 5, "the page has five samples")
    assert b"<polyline" in (folder / "web" / "index.html").read_bytes()


def test_the_server_serves_its_folder_and_nothing_else(run: Run, folder: Path) -> None:
    (folder / "secret").write_text("secret")
    (folder / "web-too").mkdir()
    (folder / "web" / "index.html").write_text("hello")
    (folder / "web" / "empty").mkdir()
    (folder / "web" / "out").symlink_to(folder / "secret")
    process = run(SHIM, command=[*SERVER, "0"])
    url = first_line(process).split(" on ")[1]
    assert get(url) == (200, b"hello")
    port = int(url.rsplit(":", 1)[1].strip("/"))
    for path in ("/../secret", "/%2e%2e/secret", "/out", "/empty/", "/../web-too/", "/%00", "//etc/passwd", "/x"):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:  # urllib would tidy the path up
            client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = client.makefile("rb").read()
            assert answer.split()[1] == b"404", (path, answer)
            assert b"secret" not in answer.split(b"\r\n\r\n", 1)[1].replace(path.encode(), b"")


def test_a_port_that_is_taken_is_said_without_a_traceback(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = run(SHIM, command=[*SERVER, str(taken.getsockname()[1])])
        said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "choose another with --port" in said
    assert "Traceback" not in said


def test_the_recorder_catches_up_after_it_was_killed_and_stores_nothing_twice(run: Run, folder: Path) -> None:
    file = folder / "data" / "figures.jsonl"
    file.write_bytes(b"".join(encode(sample(Path("/"))) + b"\n" for _ in range(3)))
    process = run(RECORDER, **RECORD)
    assert first_line(process).startswith("caught up with 3 samples")
    process.kill()
    process.wait()
    with open(file, "ab") as more:
        more.write(encode(sample(Path("/"))) + b"\n")
    process = run(RECORDER, **RECORD)
    assert first_line(process).startswith("caught up with 1 sample")
    with contextlib.closing(sqlite3.connect(folder / "data" / "figures.db")) as database:
        assert database.execute("SELECT count(*), max(memory_percent) > 0 FROM figures").fetchone() == (4, 1)


def test_thresholds_live_from_the_recorder_and_end_with_it(run: Run, folder: Path) -> None:
    thresholds = run(THRESHOLDS, **LIMITS, cpu=101, disk=0, over=0.2)  # before the recorder: it waits
    recorder = run(RECORDER, **RECORD)
    assert first_line(thresholds).startswith("watching ")
    run(HOST_WATCHER, **WATCH)
    assert first_line(thresholds).startswith("disk_percent over 0:")
    standing = folder / "data" / "alerts.json"
    eventually(lambda: standing.exists() and standing.read_bytes().startswith(b'[{"time"'), "the alert stands")
    os.kill(recorder.pid, signal.SIGKILL)
    wait_gone(recorder.pid)
    assert thresholds.wait(PATIENCE) == 1
    assert thresholds.stdout is not None
    assert "the recorder has gone" in thresholds.stdout.read()


def test_who_is_asked_to_end_cuts_nobody_off_in_a_line(run: Run, folder: Path) -> None:
    file = folder / "data" / "figures.jsonl"
    file.write_bytes(b"".join(encode(sample(Path("/"))) + b"\n" for _ in range(1200)))
    recorder = run(RECORDER, **RECORD)
    first_line(recorder)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(os.path.relpath(folder / "data" / "recorder.sock"))
        client.settimeout(PATIENCE)
        client.sendall(b"3600\n")
        heard = client.recv(1 << 20)
        recorder.send_signal(signal.SIGTERM)
        while part := client.recv(1 << 20):
            heard += part
    assert heard.endswith(b"\n")
    assert recorder.communicate(timeout=PATIENCE)[0] == ""
    assert recorder.returncode == 0
    assert not (folder / "data" / "recorder.sock").exists()


def test_the_recorder_checks_that_its_database_is_still_the_one(tmp_path: Path) -> None:
    path = tmp_path / "figures.db"
    database = Database(path, timedelta(days=1))
    assert database.trouble() is None
    path.rename(tmp_path / "elsewhere.db")
    assert database.trouble() == f"{path} was removed: what is stored now is lost"
    path.write_bytes((tmp_path / "elsewhere.db").read_bytes())
    assert database.trouble() == f"{path} was replaced: what is stored now is lost"
    database.close()
    assert str(database.trouble()).startswith(f"{path}: Cannot operate on a closed database")


def test_a_client_that_does_not_speak_does_not_stop_the_others(run: Run, folder: Path) -> None:
    file = folder / "data" / "figures.jsonl"
    file.write_bytes(encode(sample(Path("/"))) + b"\n")
    recorder = run(RECORDER, **RECORD)
    first_line(recorder)
    path = os.path.relpath(folder / "data" / "recorder.sock")  # a socket's path is short
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(4)]
        for client in clients:
            client.settimeout(PATIENCE)
            client.connect(path)
        silent, rude, gone, good = clients
        rude.sendall(b"x" * (LONGEST_REQUEST + 1))
        gone.close()
        good.sendall(b"3600\n")
        assert good.recv(65536).count(b"\n") == 1
        assert rude.recv(1) == b""
        assert silent.fileno() >= 0
