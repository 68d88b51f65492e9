"""What a run needs and how it is had: the two C programs, and the peers from PyPI, Debian and npm.

Everything that can be is put under ``.bench/`` in the repository; s6 and runit come from the system's packages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / ".bench"
_PYPI = ["supervisor==4.3.0", "circus==0.19.0"]
_NPM = "pm2@7.0.4"
_PYTHON_CHILD = ["numpy==2.4.6", "pandas==3.1.1"]
"""What a child in Python imports: in an environment of its own, which nothing else that is measured uses."""
_DEBIAN = {"s6": "s6-svscan", "runit": "runsvdir"}


class Tools(NamedTuple):
    """Where the programs are. ``absent``: system → why it can't be measured here."""

    child: Path
    floor: Path
    venv: Path
    pm2: Path
    absent: dict[str, str]
    python: Path | None = None
    """An interpreter with numpy and pandas; None where they can't be had."""

    def with_python_child(self) -> Tools:
        """The same, with `python_child.py` as the child.

        Raises:
            ValueError: numpy and pandas can't be had here.
        """
        if self.python is None:
            raise ValueError(f"no interpreter with {' and '.join(_PYTHON_CHILD)}: {self.absent.get('python')}")
        folder = BENCH / "python-child"
        folder.mkdir(exist_ok=True)
        text = Path(__file__).with_name("python_child.py").read_text()
        (folder / "python_child.py").write_text(text)
        program = folder / "python_child"
        program.write_text(f"#!{self.python}\n{text}")
        program.chmod(0o755)
        return self._replace(child=program)


class BuildError(Exception):
    """Something without which nothing can be measured is missing."""


def prepare(wanted: Sequence[str]) -> Tools:
    """Compile, and install what is missing of the ``wanted`` systems.

    Raises:
        BuildError: the C programs can't be built; the message says what to install.
    """
    BENCH.mkdir(exist_ok=True)
    (BENCH / ".gitignore").write_text("*\n")
    absent: dict[str, str] = {}
    child = _compile("child", ["-static"])
    floor = _compile("floor", [])
    venv = BENCH / "venv" / "bin"
    for name, program in (("supervisord", "supervisord"), ("circus", "circusd")):
        if name in wanted and not (venv / program).exists():
            _say(f"installing {' '.join(_PYPI)} into .bench/venv")
            failed = _run([sys.executable, "-m", "venv", str(BENCH / "venv")]) or _run(
                [str(venv / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PYPI]
            )
            if failed:
                absent[name] = f"pip: {failed}"
    for name, program in _DEBIAN.items():
        if name in wanted and not shutil.which(program):
            if shutil.which("apt-get") is None or os.geteuid() != 0:
                absent[name] = (
                    f"{program} is missing, and only root on Debian can install it here: apt-get install {name}"
                )
                continue
            _say(f"installing {name} (apt-get)")
            install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", name]
            failed = _run(install) and (_run(["apt-get", "update", "-q"]) or _run(install))
            if failed:
                absent[name] = f"apt-get: {failed}"
    pm2 = BENCH / "pm2" / "node_modules" / ".bin" / "pm2"
    if "pm2" in wanted and not pm2.exists():
        if shutil.which("npm") is None:
            absent["pm2"] = "npm is not installed"
        else:
            _say(f"installing {_NPM} into .bench/pm2")
            failed = _run(["npm", "install", "--prefix", str(BENCH / "pm2"), "--no-audit", "--no-fund", _NPM])
            if failed:
                absent["pm2"] = f"npm: {failed}"
    python: Path | None = BENCH / "python" / "bin" / "python"
    if not list((BENCH / "python").glob("lib/python*/site-packages/pandas")):
        _say(f"installing {' '.join(_PYTHON_CHILD)} into .bench/python")
        failed = _run([sys.executable, "-m", "venv", str(BENCH / "python")]) or _run(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PYTHON_CHILD]
        )
        if failed:
            absent["python"] = f"pip: {failed}"
            python = None
    return Tools(child, floor, venv, pm2, absent, python)


def first_line(command: Sequence[str]) -> str:
    """The first line that a command prints, empty if it can't be run or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return ""
    return done.stdout.split("\n")[0].strip() if done.returncode == 0 else ""


def _compile(name: str, flags: list[str]) -> Path:
    source = Path(__file__).with_name(f"{name}.c")
    program = BENCH / name
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise BuildError("no C compiler: install gcc (Debian: apt-get install gcc libc6-dev)")
    failed = _run([compiler, "-O2", "-Wall", "-Wextra", *flags, str(source), "-o", str(program)])
    if failed:
        raise BuildError(f"{source.name} does not compile: {failed}")
    return program


def _run(command: Sequence[str]) -> str:
    """Run; empty if it worked, else the last line that it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = (done.stderr or done.stdout).strip().splitlines()
    return "" if done.returncode == 0 else (said[-1] if said else f"exit status {done.returncode}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
