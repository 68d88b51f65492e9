"""The wheel: what is in it, and that an empty environment with it runs the example tree."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port
from tests.support.processes import kill, processes_with, told
from tests.support.tree import MARK, REPOSITORY, clean_environment
from tests.support.waiting import eventually

EXAMPLE = "import supervisor_tree.config as config; print(config.example_file())"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def call(*command: str | Path, cwd: Path, env: dict[str, str] | None = None, timeout: float = 240) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, REPOSITORY, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that has nothing but the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("venv")
    call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)  # our own pip fills it, as in the Makefile
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python"]
    call(*pip, "install", "--quiet", "--no-compile", wheel, cwd=folder)
    return folder / "bin"


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """As on a machine that has never seen us: its own home, a free port, and none of our checkout."""
    port = str(free_port())
    environ = clean_environment({"HOME": str(tmp_path / "home"), "EXAMPLE_PORT": port, "EXAMPLE_EVERY": "0.2"})
    (tmp_path / "home").mkdir()
    del environ["PYTHONPATH"]
    environ[MARK] = tmp_path.as_uri()
    yield environ
    left = processes_with({(MARK, environ[MARK])})
    kill(left)
    assert not left, [told(process) for process in left]


def test_the_wheel_has_one_name_at_top_level(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"supervisor_tree"}
    assert "supervisor_tree/py.typed" in names
    assert "supervisor_tree/config/examples/example/tree.toml" in names
    assert "supervisor_tree/ipc/clients/heartbeat.mjs" in names
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]


def test_the_licence_is_in_it_and_the_command_too(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = next(name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name)
        assert b"MIT License" in archive.read(f"{info}/licenses/LICENSE")
        assert b"supervisor-tree = supervisor_tree.cli.main:main" in archive.read(f"{info}/entry_points.txt")


def test_check_reads_the_example_where_there_is_no_tree(
    installed: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    said = call(installed / "supervisor-tree", "check", cwd=tmp_path, env=environ)
    assert "example" in said
    assert not (tmp_path / "home" / ".local").exists(), "check writes nothing"


def test_start_brings_the_example_up_and_ends_it_without_a_trace(
    installed: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    command = installed / "supervisor-tree"
    example = call(installed / "python", "-c", EXAMPLE, cwd=tmp_path, env=environ).strip()

    def status() -> dict[str, Any]:
        said = json.loads(call(command, "ctl", "status", "--json", "-c", example, cwd=tmp_path, env=environ))
        return {child["name"]: child for child in said["children"]}

    def tied() -> dict[str, int | None]:
        return {child["name"]: child["pid"] for child in status()["records"]["children"]}

    with open(tmp_path / "start.out", "wb") as out:
        start = subprocess.Popen([command, "start"], cwd=tmp_path, env=environ, stdout=out, stderr=out)
    url = f"http://127.0.0.1:{environ['EXAMPLE_PORT']}"

    def fetch(path: str) -> bytes:
        assert start.poll() is None, (tmp_path / "start.out").read_text()
        try:
            with urllib.request.urlopen(url + path, timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            return b""

    def samples() -> list[str]:
        body = fetch("/figures.json")
        return [sample["time"] for sample in json.loads(body)["samples"]] if body else []

    try:
        first = eventually(samples, lambda: "figures are served; " + (tmp_path / "start.out").read_text(), 60)
        eventually(lambda: len(samples()) > len(first) + 2, "the figures go on")
        assert b"<svg" in fetch("/")

        def running() -> bool:
            states = [child["state"] for child in (*status().values(), *status()["records"]["children"])]
            return states == ["running"] * 6

        eventually(running, lambda: f"all of them run; it is {status()}", 60)
        assert list(status()) == ["host-watcher", "page-builder", "web-server", "records"]

        before = tied()
        os.kill(before["recorder"] or 0, signal.SIGKILL)  # rest_for_one: both are new
        eventually(
            lambda: all(pid not in (None, before[name]) for name, pid in tied().items()),
            "recorder and thresholds were restarted",
            60,
        )
    finally:
        start.send_signal(signal.SIGTERM)
    assert start.wait(20) == 0, (tmp_path / "start.out").read_text()
    eventually(lambda: not processes_with({(MARK, environ[MARK])}), "nothing is left", 4)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["home", "start.out"], "nothing is written here"
